"""Where a step is killed: each of its writes, and the half of its read."""

from __future__ import annotations

from dataclasses import dataclass

READ = "tickloop.adapters.opensearch.reading:Reading._ask"  # a search; an hour takes one or more
PUT = "tickloop.adapters.s3.bucket:Bucket.put_file"
DELETED = "tickloop.adapters.postgres.warehouse:_refuse_taken"  # after rows that must go are gone, before any comes
COMMIT = "adbc_driver_postgresql.dbapi:Connection.commit"
LEDGER_ROW = "tickloop.services.steps:_record"
MARK = "tickloop.services.verify:_mark_extract"
FILES = "tickloop.adapters.mlflow.rest:ServerClient.log_artifacts"
VERSION = "tickloop.adapters.mlflow.rest:ServerClient.create_model_version"
ALIAS = "tickloop.adapters.mlflow.rest:ServerClient.set_registered_model_alias"
DECISION = "tickloop.adapters.mlflow.registry:MlflowRegistry._log_decision"


@dataclass(frozen=True)
class Kill:
    """Where a step ends: `before` or `after` the n-th call of a function."""

    step: str
    what: str
    when: str
    target: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.step}: {self.what}"


HOUR_KILLS = [
    Kill("extract", "half of the read", "after", READ, 2),
    Kill("extract", "one hour put, the other read", "before", PUT, 2),
    Kill("extract", "all put, ledger without it", "before", LEDGER_ROW),
    Kill("load", "rows deleted, none inserted", "before", DELETED),
    Kill("load", "rows inserted, not committed", "before", COMMIT),
    Kill("load", "committed, ledger without it", "after", COMMIT),
    Kill("verify", "repairs appended, extract not marked", "before", MARK),
    Kill("verify", "extract marked, repairs not noted", "after", MARK),
    Kill("verify", "all written, ledger without it", "before", LEDGER_ROW),
    Kill("bars", "all written, ledger without it", "before", LEDGER_ROW),
    Kill("features", "rows deleted, none inserted", "before", DELETED),
    Kill("features", "all written, ledger without it", "before", LEDGER_ROW),
]

SLOT_KILLS = [
    Kill("train", "run begun, no file of it", "before", FILES),
    Kill("train", "model logged, no version", "before", VERSION),
    Kill("train", "second model logged and versioned, nameless", "after", VERSION, 2),
    Kill("train", "all registered, ledger without it", "before", LEDGER_ROW),
    Kill("backtest", "rows written, ledger without it", "before", LEDGER_ROW),
    Kill("promote", "decision logged, no alias moved", "after", DECISION),
    Kill("promote", "previous moved, champion not", "after", ALIAS, 1),
    Kill("promote", "champion moved, ledger without it", "before", LEDGER_ROW),
]
