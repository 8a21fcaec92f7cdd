"""Compiled code is never older than the rules that it holds."""

from pathlib import Path

from tickloop.adapters.local import line_kernel
from tickloop.domain import strategy
from tickloop.domain.kernel import ADAPTERS, RULES, stamp_of


def test_stamp_of_compiled_code_changes_with_any_rule(tmp_path: Path) -> None:
    """A kernel holds kernels of other modules, so an edit in any of them counts."""
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("y = 1\n", encoding="utf-8")
    before = stamp_of.__wrapped__(tmp_path)

    (tmp_path / "b.py").write_text("y = 2\n", encoding="utf-8")

    assert stamp_of.__wrapped__(tmp_path) != before


def test_every_kernel_is_cached_under_the_stamp_of_all_rules() -> None:
    """The door sets the locator, so no kernel can be cached by its own file alone."""
    stamp = strategy.decide._cache._impl.locator.get_source_stamp()  # type: ignore[attr-defined]

    assert stamp == (stamp_of(RULES), stamp_of(RULES))


def test_kernel_of_an_adapter_is_cached_under_the_stamp_of_all_adapters() -> None:
    """The lines of the journal hold the scan of messages, which stands in another folder."""
    stamp = line_kernel._make._cache._impl.locator.get_source_stamp()  # type: ignore[attr-defined]

    assert stamp == (stamp_of(RULES), stamp_of(ADAPTERS))
