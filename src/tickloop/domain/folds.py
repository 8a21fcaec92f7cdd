"""A window cut into folds: a span of time to choose on, and the one that follows to try the choice on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tickloop.domain.window import DAY_MS, HOUR_MS, Window
from tickloop.errors import UsageError

MAX_FOLDS = 1_000

_LENGTH = re.compile(r"^([0-9]{1,6})([dh])$")


@dataclass(frozen=True)
class Plan:
    """How a window is cut into folds; lengths in ms.

    Attributes:
        step_ms: from one test part to the next; None is the length of a test part, so that they lie end to end.
        embargo_ms: left out between train and test part, for what the one can tell of the start of the other.
        is_anchored: every train part starts where the window does, and grows; else its length stays (rolling).
    """

    train_ms: int
    test_ms: int
    step_ms: int | None = None
    embargo_ms: int = 0
    is_anchored: bool = False

    @property
    def every_ms(self) -> int:
        return self.test_ms if self.step_ms is None else self.step_ms


@dataclass(frozen=True)
class Fold:
    """`test` starts an embargo after the end of `train`; `number` is from 0."""

    number: int
    train: Window
    test: Window


def folds_of(window: Window, plan: Plan) -> list[Fold]:
    """Cut a window into folds, oldest first; the last test part ends with the window and may be shorter.

    Raises:
        UsageError: if a length is not valid, test parts would overlap, or there is no room for a fold.
    """
    _check(window, plan)
    folds = []
    first = window.start_ms + plan.train_ms + plan.embargo_ms
    for number, start in enumerate(range(first, window.end_ms, plan.every_ms)):
        until = start - plan.embargo_ms
        train = Window(window.start_ms if plan.is_anchored else until - plan.train_ms, until)
        folds.append(Fold(number, train, Window(start, min(start + plan.test_ms, window.end_ms))))
    return folds


def length_ms(text: str, name: str) -> int:
    """Read a length such as `14d` or `36h`.

    Args:
        name: of the option, for the message.

    Raises:
        UsageError: for any other text.
    """
    match = _LENGTH.match(text)
    if match is None:
        raise UsageError(f"{name} {text!r} is not a length of time; valid: whole days or hours, such as 14d or 36h")
    return int(match.group(1)) * (DAY_MS if match.group(2) == "d" else HOUR_MS)


def _check(window: Window, plan: Plan) -> None:
    span = window.end_ms - window.start_ms
    for name, length in (("train", plan.train_ms), ("test", plan.test_ms)):
        if not 0 < length < span:
            raise UsageError(
                f"{name} of {length_text(length)} in a window of {length_text(span)}; valid: above 0, and shorter than"
                " the window"
            )
    if plan.every_ms < plan.test_ms:
        raise UsageError(
            f"step of {length_text(plan.every_ms)} for test parts of {length_text(plan.test_ms)} makes them overlap,"
            " and their profits count twice; valid: at least as long"
        )
    if not 0 <= plan.embargo_ms < span:
        raise UsageError(f"embargo of {length_text(plan.embargo_ms)}; valid: from 0, and shorter than the window")
    room = span - plan.train_ms - plan.embargo_ms
    if room <= 0:
        raise UsageError(
            f"train of {length_text(plan.train_ms)} and embargo of {length_text(plan.embargo_ms)} leave nothing to test"
            f" in a window of {length_text(span)}; valid: shorter ones"
        )
    if -(-room // plan.every_ms) > MAX_FOLDS:
        raise UsageError(f"{-(-room // plan.every_ms):,} folds; valid: at most {MAX_FOLDS:,}, by a longer test or step")


def length_text(ms: int) -> str:
    """Give a length as `length_ms` reads it; what is no whole hour in hours with a fraction."""
    if ms % DAY_MS == 0 and ms:
        return f"{ms // DAY_MS}d"
    return f"{ms / HOUR_MS:g}h"
