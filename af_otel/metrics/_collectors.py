"""An operator's own numbers: functions that are called on a schedule, each on a thread of its own.

    from af_otel.metrics import collector

    @collector(every=300, unit="By")
    def home_used():
        \"\"\"What home directories hold.\"\"\"
        yield 812e9, {"volume": "home"}

`af-otel collect FILE` runs the functions of a file. In Prometheus: `facility_home_used_bytes`.
"""

from __future__ import annotations

import functools
import math
import threading
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from af_otel_semconv import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from af_otel.metrics import _names
from af_otel.metrics._instruments import MOST_SERIES, finite
from af_otel.metrics._warn import warn
from af_otel.runtime import _clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import Meter

    Function = Callable[[], Iterable[Any] | float | None]

PREFIX = "facility."
SHORTEST = 1.0  # s between two calls
# Without a new round for so many intervals, numbers are no longer told: they are not true any more.
STALE = 3
_RIGHT = "return a number, or yield numbers, each alone or with a dict of its labels"


class Collector(NamedTuple):
    """A function and its schedule; `every` is in seconds."""

    function: Function
    name: str
    every: float
    unit: str
    description: str


def collector(
    *, every: float = 60, unit: str = "", name: str = ""
) -> Callable[[Function], Function]:
    """Mark a function as a collector: it returns a number, or yields numbers with their labels.

    Parameters
    ----------
    every
        Seconds from one call's start to the next; a call that takes longer is not called twice.
    unit
        In UCUM, such as `By` or `{job}`.
    name
        Of the metric, below `facility.`; by default the function's. Its docstring's first line is
        the description.

    Raises
    ------
    TypeError, ValueError
        One of them cannot be what it is for: found when the file is read, not on the schedule.
    """
    if not isinstance(every, (int, float)) or not 0 < every < math.inf:
        raise ValueError(f"`every` is {every!r}; write seconds: `@collector(every=60)`")
    if not isinstance(unit, str):
        raise TypeError(f"`unit` is {unit!r}; write one of UCUM, such as `By` or `{{job}}`")

    def mark(function: Function) -> Function:
        doc = (function.__doc__ or "").strip().partition("\n")[0]
        marked = Collector(function, name or function.__name__, every, unit, doc)
        if not _names.is_name(marked.name):
            raise ValueError(f"{marked.name!r} is no name for a metric; write {_names.WHAT}")
        function.af_otel_collector = marked  # type: ignore[attr-defined]
        return function

    return mark


def collectors_of(module: Any) -> list[Collector]:
    """Return the collectors that a module defines or imports, each once, in their order."""
    found = [getattr(value, "af_otel_collector", None) for value in vars(module).values()]
    return list(dict.fromkeys(one for one in found if isinstance(one, Collector)))


class Schedule:
    """Calls collectors until it is stopped, and tells `said` of each round.

    A collector that fails or hangs concerns nobody else. Its last numbers are told for three more
    intervals, then no longer.
    """

    def __init__(
        self, collectors: Iterable[Collector], meter: Meter, said: Callable[[str, str], None]
    ) -> None:
        self._said = said
        self._end = threading.Event()
        self._rounds = {one: _Round() for one in collectors}
        for one, last in self._rounds.items():
            meter.create_observable_gauge(
                f"{PREFIX}{one.name}",
                [functools.partial(_told, last, max(one.every, SHORTEST) * STALE)],
                one.unit,
                one.description,
            )
        self._runs = meter.create_counter(**metrics.COLLECTOR_RUNS.plain)
        self._duration = meter.create_histogram(**metrics.COLLECTOR_DURATION.histogram)

    def run(self, *, once: bool = False) -> bool:
        """Call them until `stop`, or each once; return whether each one's last call succeeded."""
        threads = [
            threading.Thread(target=self._keep, args=(one, once), name=one.name, daemon=True)
            for one in self._rounds
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not self._end.is_set():
                thread.join(0.2)
        return all(last.ok for last in self._rounds.values())

    def stop(self) -> None:
        """End; a call that still runs is left alone."""
        self._end.set()

    def _keep(self, one: Collector, once: bool) -> None:
        while not self._end.is_set():
            began = _clock.monotonic()
            self._call(one)
            if once:
                return
            self._end.wait(max(SHORTEST, one.every - (_clock.monotonic() - began)))

    def _call(self, one: Collector) -> None:
        began = _clock.monotonic()
        try:
            numbers = _numbers(one)
        # A program's `main` ends in `sys.exit`; the schedule does not.
        except (Exception, SystemExit) as error:
            said = "".join(traceback.format_exception_only(type(error), error))
            outcome, text = "error", " ".join(said.split())
        else:
            outcome, text = "ok", f"{len(numbers)} numbers"
            self._rounds[one].set(numbers)
        self._rounds[one].ok = outcome == "ok"
        labels = {"collector": one.name, "outcome": outcome}
        self._runs.add(1, labels)
        self._duration.record(_clock.monotonic() - began, labels)
        self._said(one.name, text)


class _Round:
    """What a collector said last."""

    def __init__(self) -> None:
        self.ok = False
        self.at = float("-inf")
        self.numbers: list[tuple[float, dict[str, str]]] = []

    def set(self, numbers: list[tuple[float, dict[str, str]]]) -> None:
        self.at, self.numbers = _clock.monotonic(), numbers


def _told(last: _Round, stale: float, _options: CallbackOptions) -> list[Observation]:
    if _clock.monotonic() - last.at > stale:
        return []
    return [Observation(value, labels) for value, labels in last.numbers]


def _numbers(one: Collector) -> list[tuple[float, dict[str, str]]]:
    """Call a collector, and check what it says."""
    said = one.function()
    if isinstance(said, (str, bytes, Mapping)):
        raise TypeError(f"it returned a {type(said).__name__}; {_RIGHT}")
    if isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], Mapping):  # noqa: PLR2004
        said = (said,)
    taken: list[tuple[float, dict[str, str]]] = []
    for item in () if said is None else said if hasattr(said, "__iter__") else (said,):
        value, labels = item if isinstance(item, tuple) else (item, {})
        number = finite(one.name, value)
        if number is None:
            continue
        if len(taken) >= MOST_SERIES:
            warn(one.name, f"says more than {MOST_SERIES} numbers; further ones are left out")
            break
        taken.append((number, _names.labels(one.name, labels or {})))
    return taken
