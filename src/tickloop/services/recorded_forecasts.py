"""The forecasts of a session, each where the bot had it, checked against the bars that the replay makes anew."""

from __future__ import annotations

from tickloop.domain.bot_session import Fact, Forecasted, MinutesAsked
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.window import to_datetime
from tickloop.errors import DataError
from tickloop.services.desk import Answer
from tickloop.services.session_log import bars_sum


class RecordedForecasts:
    """Implements `desk.MinuteForecasts` for one market.

    What does not fit what the replay comes to is a DataError that says so.

    Attributes:
        is_filling: candles of missed minutes were on their way, so the bot had no answer.
    """

    def __init__(self, market: str) -> None:
        self._market = market
        self._facts: list[MinutesAsked | Forecasted] = []
        self._is_whole = True
        self.is_filling = False

    def prepare(self, facts: tuple[Fact, ...], *, is_whole: bool) -> None:
        """Take the facts of the frame that is decided on next."""
        self._facts = [
            fact for fact in facts if isinstance(fact, MinutesAsked | Forecasted) and fact.market == self._market
        ]
        self._is_whole = is_whole

    def answer(self, recent: RecentBars, minute_ms: int) -> Answer | None:
        if self.is_filling:
            return None
        fact = self._facts.pop(0) if self._facts else None
        if fact is None and not self._is_whole:
            return None
        told = f"the session tells {_words(fact)}"
        if fact is None or fact.minute_ms != minute_ms:
            raise DataError(f"{told} where the forecast of {_minute(self._market, minute_ms)} is due")
        try:
            missing = recent.close(minute_ms)
        except DataError as exc:
            missing = []
            if isinstance(fact, MinutesAsked) or not fact.reason:
                raise DataError(f"{told}, the replay that {exc}") from exc
        if isinstance(fact, MinutesAsked):
            if list(fact.missing) != missing:
                raise DataError(f"{told}, the replay misses {len(missing)} minutes")
            self.is_filling = True
            return None
        if missing:
            raise DataError(f"{told}, but {len(missing)} minutes are missing in the replay")
        if not fact.reason and bars_sum(recent.frame()) != fact.bars:
            raise DataError(f"{told}, made from other bars than those of the replay")
        return Answer(fact.forecast)

    def check_used(self) -> None:
        """Refuse a forecast that the session has where none is due."""
        if self._facts:
            raise DataError(f"the session tells {_words(self._facts[0])}, and none is due")


def _words(fact: MinutesAsked | Forecasted | None) -> str:
    if fact is None:
        return "of no forecast"
    if isinstance(fact, MinutesAsked):
        return f"of {len(fact.missing)} minutes asked for before {_minute(fact.market, fact.minute_ms)}"
    price = "none" if fact.forecast is None else fact.forecast.price
    return f"of the forecast of {_minute(fact.market, fact.minute_ms)} ({price})"


def _minute(market: str, minute_ms: int) -> str:
    return f"{market} {to_datetime(minute_ms):%Y-%m-%dT%H:%M}"
