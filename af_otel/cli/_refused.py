"""What the Collector refused, as `af-otel status` shows it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from af_otel.backends import refused
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from af_otel.backends.prometheus import Prometheus

_SHOWN: Final = 5


def read(connection: AbstractContextManager[Prometheus]) -> list[refused.Refused] | None:
    """Return what was refused within a day; None if Prometheus does not answer."""
    try:
        with connection as prometheus:
            return refused.read(prometheus)
    except AfOtelError:
        return None


def lines(found: Sequence[refused.Refused] | None) -> list[str]:
    """Return what to print: nothing if nothing was refused."""
    if found is None:
        return ["Refused telemetry: not known, as Prometheus does not answer"]
    if not found:
        return []
    rest = len(found) - _SHOWN
    return [
        f"Refused within {refused.WINDOW} (collector-config/README.md has the bounds):",
        *(f"  {item}" for item in found[:_SHOWN]),
        *([f"  and {rest} more; --json has them all"] if rest > 0 else []),
    ]


def as_json(found: Sequence[refused.Refused] | None) -> list[dict[str, Any]] | None:
    """Return the same as plain data."""
    return None if found is None else [dataclasses.asdict(item) for item in found]
