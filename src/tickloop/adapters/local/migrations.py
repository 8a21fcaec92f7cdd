"""The warehouse's schema, version by version. A released version's statements are never edited: add a version.

Times are INTEGER epoch milliseconds UTC (`ts_received`: nanoseconds), enums and decimals TEXT. Each primary key holds
the columns of the table's key, ordered so that a market's window lies together; trades lie in trade order. STRICT
tables would need SQLite 3.37, which Python 3.11 does not promise; types are checked before rows come here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tickloop.errors import SchemaTooNewError


class Migration(NamedTuple):
    version: int
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        1,
        (
            """
            CREATE TABLE trade (
                market TEXT NOT NULL, trade_id INTEGER NOT NULL, ts_event INTEGER NOT NULL,
                ts_received INTEGER NOT NULL, arrival INTEGER NOT NULL, price REAL NOT NULL, qty_e8 INTEGER NOT NULL,
                side TEXT NOT NULL, change TEXT NOT NULL, source TEXT NOT NULL,
                PRIMARY KEY (market, ts_event, arrival, trade_id)
            ) WITHOUT ROWID
            """,
            "CREATE UNIQUE INDEX trade_by_id ON trade (market, trade_id)",
            """
            CREATE TABLE bar_1m (
                market TEXT NOT NULL, ts_open INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL,
                low REAL NOT NULL, close REAL NOT NULL, vwap REAL, mean_price REAL, volume REAL NOT NULL,
                notional REAL, trades INTEGER, buy_volume REAL, sell_volume REAL, change_mode TEXT, state TEXT NOT NULL,
                PRIMARY KEY (market, ts_open)
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE ledger (
                market TEXT NOT NULL, minute INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT, our_volume REAL,
                candle_volume REAL, trades INTEGER NOT NULL, is_rounded INTEGER NOT NULL,
                PRIMARY KEY (market, minute)
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE repair (
                market TEXT NOT NULL, minute INTEGER NOT NULL, asked_at INTEGER NOT NULL, outcome TEXT NOT NULL,
                trades INTEGER NOT NULL,
                PRIMARY KEY (market, minute)
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE feature (
                market TEXT NOT NULL, ts_open INTEGER NOT NULL, feature_set TEXT NOT NULL, vector BLOB NOT NULL,
                PRIMARY KEY (market, ts_open, feature_set)
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE forecast (
                market TEXT NOT NULL, target_minute INTEGER NOT NULL, model_version TEXT NOT NULL,
                made_at INTEGER NOT NULL, last_bar INTEGER NOT NULL, last_price REAL NOT NULL, log_return REAL NOT NULL,
                price REAL NOT NULL,
                PRIMARY KEY (market, target_minute, model_version)
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE "order" (
                market TEXT NOT NULL, client_order_id TEXT NOT NULL, venue_order_id TEXT, bot TEXT NOT NULL,
                side TEXT NOT NULL, created_at INTEGER NOT NULL, state TEXT NOT NULL, requested TEXT NOT NULL,
                executed_qty TEXT, executed_funds TEXT, paid_fee TEXT, filled_at INTEGER, forecast_minute INTEGER,
                model_version TEXT, forecast_price REAL,
                PRIMARY KEY (client_order_id)
            ) WITHOUT ROWID
            """,
            'CREATE INDEX order_by_market ON "order" (market, created_at, client_order_id)',
            'CREATE INDEX order_by_time ON "order" (created_at, client_order_id)',
            """
            CREATE TABLE equity (
                market TEXT NOT NULL, bot TEXT NOT NULL, ts INTEGER NOT NULL, cash TEXT NOT NULL,
                lots_value TEXT NOT NULL, equity TEXT NOT NULL,
                PRIMARY KEY (market, ts, bot)
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE backtest (
                market TEXT NOT NULL, slot INTEGER NOT NULL, model_version TEXT NOT NULL, strategy TEXT NOT NULL,
                window_start INTEGER NOT NULL, window_end INTEGER NOT NULL, result TEXT NOT NULL,
                PRIMARY KEY (market, slot, model_version, strategy)
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE run (
                market TEXT NOT NULL, step TEXT NOT NULL, window_start INTEGER NOT NULL, window_end INTEGER NOT NULL,
                state TEXT NOT NULL, sequence INTEGER NOT NULL, finished_at INTEGER NOT NULL, attempts INTEGER NOT NULL,
                detail TEXT NOT NULL,
                PRIMARY KEY (market, window_start, step, window_end)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX run_in_order ON run (window_start, step, market, window_end)",
        ),
    ),
)


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the schema of an open database (in autocommit mode) to our newest version, wholly or not at all.

    Raises:
        SchemaTooNewError: a newer Tickloop wrote it; nothing is changed.
    """
    ours = migrations[-1].version
    if _version(connection) == ours:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)
        if found > ours:
            raise SchemaTooNewError(
                f"{path} has schema version {found}, this Tickloop knows versions up to {ours}; "
                "upgrade Tickloop, or give another home (--home)"
            )
        for migration in migrations:
            if migration.version > found:
                for statement in migration.statements:
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {ours:d}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
