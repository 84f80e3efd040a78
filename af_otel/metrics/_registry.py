"""Every instrument of this process by its name, and the way of its numbers to the exporter."""

from __future__ import annotations

import math
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry.metrics import Observation

from af_otel.metrics import _names
from af_otel.metrics._instruments import DECADES, Histogram, Instrument
from af_otel.metrics._points import Points
from af_otel.metrics._producer import Producer
from af_otel.metrics._warn import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    Kind = TypeVar("Kind", bound=Instrument)

MOST_INSTRUMENTS = 200
_BOUNDARIES = 50

_lock = threading.RLock()
# By the full name, and by kind and name as users wrote it: the fast way for a call in a loop.
_instruments: dict[str, Instrument] = {}
_met: dict[tuple[type[Instrument], str], Instrument] = {}
points = Points()
_connected = False


def instrument(
    kind: type[Kind], name: Any, unit: str, description: str, boundaries: Sequence[float] = ()
) -> Kind:
    """Return the instrument of this name, made at first use; one that goes nowhere for a bad name.

    An existing one keeps its unit, description and buckets.
    """
    unit = unit if type(unit) is str else _text(unit)
    found = _met.get((kind, name)) if type(name) is str else None
    if found is None or (unit and unit != found.unit):
        with _lock:
            found = _look_up(kind, name, unit, description, boundaries)
    return found  # type: ignore[return-value]


def _look_up(
    kind: type[Kind], name: Any, unit: str, description: str, boundaries: Sequence[float]
) -> Instrument:
    connect()
    full = _names.metric_name(name)
    if full is None:
        return kind("", "", "")
    found = _instruments.get(full)
    if found is not None and type(found) is not kind:
        mine = f"{full}.{kind.kind}"
        warn(
            name,
            f"is a {found.kind} already, so this {kind.kind} is another metric, "
            f"`{_names.prometheus(mine, unit, kind.suffixes[0])}`",
        )
        full, found = mine, _instruments.get(mine)
    if found is None:
        found = _new(kind, full, unit, description, boundaries)
    elif unit and unit != found.unit:
        warn(name, f"has the unit {found.unit!r} already; {unit!r} is not taken")
    if found.name and len(_met) < 2 * MOST_INSTRUMENTS:
        _met[kind, name] = found
    return found


def _new(
    kind: type[Kind], full: str, unit: str, description: str, boundaries: Sequence[float]
) -> Instrument:
    made = kind(full, unit, _text(description), _buckets(kind, full, boundaries))
    if len(_instruments) >= MOST_INSTRUMENTS:
        warn(
            "limit",
            f"{MOST_INSTRUMENTS} metrics are there; `{full}` and further ones are not recorded. "
            "What tells cases apart belongs into labels, not into names",
        )
        return kind("", "", "")
    for other in _instruments.values():
        common = made.families & other.families
        if common:
            warn(
                full,
                f"would be `{min(common)}` in Prometheus, which `{other.name}` is already, so it "
                "is not recorded; choose another name",
            )
            return kind("", "", "")
    _instruments[full] = made
    return made


def _text(value: Any) -> str:
    return value[:500] if isinstance(value, str) else ""


def _buckets(kind: type[Instrument], name: str, given: Sequence[float]) -> Sequence[float]:
    """Return a histogram's boundaries, rising and few; ours (with a warning) for what is not."""
    if not issubclass(kind, Histogram):
        return ()
    try:
        numbers = [float(bound) for bound in given]
        # As prometheus_client has its last one; here what lies above the last is always counted.
        numbers = numbers[:-1] if numbers[-1:] == [math.inf] else numbers
        rising = numbers == sorted(set(numbers)) and all(map(math.isfinite, numbers))
    except Exception:
        rising = False
    if not rising or len(numbers) > _BOUNDARIES:
        warn(
            name,
            f"its buckets are not {_BOUNDARIES} rising numbers at most; the default is used",
        )
        return DECADES
    return numbers


def connect() -> None:
    """Let the exporter of this process know of us, or say that there is none."""
    global _connected  # noqa: PLW0603
    if _connected:
        return
    _connected = True
    boot = sys.modules.get("_af_otel_boot")
    if boot is None or boot.role is None:
        warn(
            "nothing listens",
            "this process is not instrumented, so its numbers go nowhere; start it with "
            "`af-otel run -- COMMAND`, or in a facility that has af-otel",
        )
        return
    from af_otel.runtime import _producers
    from af_otel.runtime.activate import meters

    _producers.known.append(Producer(_instruments, points))
    # The SDK sends nothing as long as it has nothing of its own.
    meters(boot.role).get_meter("af_otel.metrics._registry").create_observable_gauge(
        "user.metrics",
        callbacks=[lambda _options: [Observation(len(_instruments))]],
        unit="{metric}",
        description="Metrics of the user's own in this process",
    )


def _after_fork() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()
    for known in _instruments.values():
        known.after_fork()
    points.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
