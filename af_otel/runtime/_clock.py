"""Clocks that users' code does not replace.

freezegun puts its own functions in place of `time.time` and its like, in every loaded module that
has one as an attribute. time-machine replaces them in C, so that a reference held from before
changes as well, but leaves all clocks other than CLOCK_REALTIME alone.
"""

from __future__ import annotations

import importlib
import time
from contextlib import suppress
from functools import partial
from typing import Any

from af_otel.runtime._packages import OPENTELEMETRY

# Not functions of `time` themselves, which freezegun finds in a module by their identity.
monotonic = partial(time.monotonic)
perf_counter = partial(time.perf_counter)


class _Wall:
    """The time of day, measured by a clock that no library replaces.

    It is a fixed distance from CLOCK_REALTIME. CLOCK_TAI is set whenever that is; where the system
    does not have it, the monotonic clock stands in.
    """

    def __init__(self) -> None:
        self._clock = getattr(time, "CLOCK_TAI", time.CLOCK_MONOTONIC)
        self._read = time.clock_gettime_ns
        try:
            self._read(self._clock)
        except OSError:
            self._clock = time.CLOCK_MONOTONIC
        # freezegun leaves this function alone, should time be frozen by now.
        self._offset = self._read(time.CLOCK_REALTIME) - self._read(self._clock)

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self._read(self._clock) + self._offset


time_ns = _Wall().time_ns


class _Time:
    """Stands for the module `time` in modules of OpenTelemetry."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def time() -> float:
        return time_ns() / 1e9

    time_ns = staticmethod(time_ns)
    monotonic = staticmethod(monotonic)
    perf_counter = staticmethod(perf_counter)


# Modules of OpenTelemetry that read clocks, and the names by which they have them.
_READERS = (
    ("sdk.trace", ("time_ns",)),
    ("sdk.metrics._internal", ("time_ns",)),
    ("sdk.metrics._internal.export", ("perf_counter",)),
    ("sdk.metrics._internal.instrument", ("time_ns",)),
    ("sdk.metrics._internal.measurement_consumer", ("time_ns",)),
    ("sdk.metrics._internal.metric_reader_storage", ("time_ns",)),
    ("sdk.metrics._internal._view_instrument_match", ("time_ns",)),
    ("exporter.otlp.common.http", ("time",)),
    ("exporter.otlp.common._exporter_metrics", ("perf_counter",)),
)
_OURS = {"time": _Time(), "time_ns": time_ns, "perf_counter": perf_counter}


def use_our_own() -> None:
    """Have OpenTelemetry read these clocks instead of `time`'s."""
    for module, names in _READERS:
        # Private names: a later SDK may have others, and then reads what it always did.
        with suppress(ImportError):
            reader = importlib.import_module(f"{OPENTELEMETRY}.{module}")
            for name in names:
                if hasattr(reader, name):
                    setattr(reader, name, _OURS[name])
