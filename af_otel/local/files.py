"""Files that travel with the package, in an installation as in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHECKOUT = PACKAGE.parent


def config(name: str) -> Path:
    """A configuration file of the local facility's."""
    return PACKAGE / "local" / "config" / name


def collector_config() -> Path:
    """The directory with the Collector's `base.yaml` and its overlays."""
    return _first(PACKAGE / "collector" / "config", CHECKOUT / "collector-config")


def examples() -> Path:
    """The directory with the example notebooks."""
    return _first(PACKAGE / "examples", CHECKOUT / "examples")


def _first(*candidates: Path) -> Path:
    return next((path for path in candidates if path.is_dir()), candidates[0])
