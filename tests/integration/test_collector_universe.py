"""The real collector on an exchange whose markets come and go."""

from pathlib import Path

from collecting import Collecting
from fakes import START_MS
from tickloop.adapters.local.markets import FileMarketLog
from tickloop.domain.window import MINUTE_MS

MARKETS = ("KRW-BTC", "KRW-ETH", "KRW-S001", "KRW-S002")
EXCHANGE = (
    "--recording", "seeded", "--markets", ",".join(MARKETS),
    "--listing", "KRW-S001:+10m", "--delisting", "KRW-S002:+20m",
)  # fmt: skip
SETTINGS = '[collect]\nuniverse = "krw"\ncodes_per_connection = 2\n'


def test_listed_market_is_collected_whole_and_a_delisted_one_is_dropped(tmp_path: Path) -> None:
    """Without a restart: also what the new market traded before its stream began."""
    with Collecting(tmp_path, tmp_path / "home", SETTINGS, speed=60.0, exchange=EXCHANGE, markets=MARKETS) as world:
        world.run_to(1)
        world.until(lambda: world.figure("markets") == 3, "the markets on offer")
        world.run_to(10)
        world.until(lambda: world.figure("markets") == 4, "the listing")
        world.run_to(20)
        world.until(lambda: world.figure("delisted") == ["KRW-S002"], "the delisting")
        world.run_to(27)
        world.until(lambda: world.figure("repairs")["pending"] == 0, "the end of the repairs")
        world.hold()
        expected = {one for one in world.made() if one[0] in ("KRW-BTC", "KRW-ETH", "KRW-S001")}
        world.until(lambda: world.kept() >= expected, "the last trade")

        assert any(market == "KRW-S001" for market, _ in expected)
        spans = FileMarketLog(world.home / "journal" / "markets.json").load()
        assert {market for market, span in spans.items() if span.until_ms is None} == {"KRW-BTC", "KRW-ETH", "KRW-S001"}
        assert (spans["KRW-S002"].until_ms or 0) - START_MS >= 20 * MINUTE_MS
        told = world.command("ledger", "--market", "KRW-S001", "--window", "2024-01-22T00")
        assert (told.returncode, "unknown (never verified)" in told.stdout) == (3, True)
        assert world.command("ledger", "--market", "KRW-NONE").returncode == 2
        assert world.figure("market_check_error") == ""
