"""Model families by name: found by the entry-point group `tickloop.models`, so that a package can bring its own."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from tickloop.errors import MissingExtraError, UsageError
from tickloop.ports import Model, ModelFamily, ModelRegistry, ModelVersion

GROUP = "tickloop.models"


def family_named(name: str) -> ModelFamily:
    """Load one family.

    Raises:
        UsageError: if none of this name is installed.
        MissingExtraError: if its module cannot be imported for want of another package.
    """
    found = entry_points(group=GROUP)
    if name not in found.names:
        raise UsageError(f"model family {name!r} is not installed; valid: {', '.join(sorted(found.names)) or 'none'}")
    try:
        return cast("ModelFamily", found[name].load())
    except ImportError as exc:
        raise MissingExtraError(f"the model family {name} ({exc})", "models") from exc


def load_model(registry: ModelRegistry, version: ModelVersion) -> Model:
    """Rebuild a registered model from its saved files.

    Raises:
        DataError: naming the file and the field that is wrong.
        UsageError: if its family is no longer installed.
    """
    return family_named(version.family).load(registry.files(version))
