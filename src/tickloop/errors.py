"""Every error that Tickloop raises on purpose, by who must act.

TickloopError                    exit code 1: the message says what was wrong and what would be valid
├── UsageError                   exit code 2: the caller asked for something that cannot be asked
│   ├── StrategyError            a strategy that cannot be loaded, raises, or answers what cannot be done
│   ├── UnknownMarketError
│   └── WindowError
├── CheckFailedError             exit code 3: a check ran and did not hold
├── OperatorError                the machine or the settings need a hand
│   ├── SettingsError
│   ├── HomeBusyError            a second instance on the same home
│   ├── HomeNotWritableError     read-only or full disk
│   │   └── DiskFullError        no room: what waits for some goes on by itself
│   ├── PortInUseError
│   ├── SchemaTooNewError        the database was written by a newer Tickloop
│   ├── WorkerDiedError          a process of a pool was ended from outside, often for want of memory
│   └── MissingExtraError        an optional dependency is not installed
├── WindowBusyError              another runner is at it, or an input is not there yet: the same call may succeed later
├── StoreError                   a server of ours refused: which one, at which setting, and the remedy
│   └── StoreAwayError           it cannot be reached or is overloaded: the same call may succeed later
├── ExchangeError                the exchange said no, or said nothing
│   ├── RetryableError           a read may be repeated after `retry_after_s`
│   ├── RejectedError            the request was understood and refused; `name` is the exchange's own
│   │   └── BadRequestError      our bug: the exchange could not make sense of what we sent
│   ├── UnknownOutcomeError      the answer to a placement was lost: ask for the id, never send again
│   └── AuthError
└── DataError                    data that must not go on
    ├── CorruptRecordingError
    ├── CorruptLineError         one journal line or frame; it goes to the dead letter
    ├── UnsortedTradesError
    └── NotEnoughDataError       a model or back-test has too few rows to say anything
"""

from __future__ import annotations


class TickloopError(Exception):
    exit_code = 1


class UsageError(TickloopError):
    exit_code = 2


class StrategyError(UsageError):
    pass


class UnknownMarketError(UsageError):
    def __init__(self, market: str, known: tuple[str, ...]) -> None:
        shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
        super().__init__(f"market {market!r} is not known here; valid: {shown or 'none'}")


class WindowError(UsageError):
    pass


class CheckFailedError(TickloopError):
    exit_code = 3


class OperatorError(TickloopError):
    pass


class WindowBusyError(TickloopError):
    pass


class StoreError(TickloopError):
    pass


class StoreAwayError(StoreError):
    pass


class SettingsError(OperatorError):
    pass


class HomeBusyError(OperatorError):
    pass


class HomeNotWritableError(OperatorError):
    pass


class DiskFullError(HomeNotWritableError):
    pass


class PortInUseError(OperatorError):
    pass


class SchemaTooNewError(OperatorError):
    pass


class WorkerDiedError(OperatorError):
    pass


class MissingExtraError(OperatorError):
    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}; install it with: pip install 'tickloop[{extra}]'")


class ExchangeError(TickloopError):
    pass


class RetryableError(ExchangeError):
    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RejectedError(ExchangeError):
    def __init__(self, name: str, message: str, status: int) -> None:
        super().__init__(f"the exchange refused the request: {name} ({status}): {message}")
        self.name = name
        self.status = status


class UnknownOutcomeError(ExchangeError):
    pass


class AuthError(ExchangeError):
    pass


class BadRequestError(RejectedError):
    """The exchange could not read our request: a bug here. Nothing was done."""


class DataError(TickloopError):
    pass


class CorruptRecordingError(DataError):
    pass


class CorruptLineError(DataError):
    pass


class UnsortedTradesError(DataError):
    pass


class NotEnoughDataError(DataError):
    pass
