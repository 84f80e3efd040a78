"""Values that wait to be sent one by one, each with a time of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from af_otel.metrics._instruments import MOST_SERIES, OVERFLOW
from af_otel.metrics._warn import warn
from af_otel.runtime import _clock

# They wait for the next export, or for a Collector that is away.
MOST_POINTS = 20_000
_MILLISECOND = 1_000_000  # ns; Prometheus keeps one point a millisecond
_AHEAD = 1000 * _MILLISECOND
MOST_NAMES = 200


class Point(NamedTuple):
    """A value at a time of its own."""

    name: str
    labels: tuple[tuple[str, str], ...]
    time: int
    value: float


class Points:
    """Values that are sent one by one with the time they were made at, as a training's are."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """A child starts from nothing."""
        self._waiting: deque[Point] = deque(maxlen=MOST_POINTS)
        self._last: dict[str, dict[tuple[tuple[str, str], ...], int]] = {}
        self._taken = 0
        self._lock = threading.RLock()

    def add(self, name: str, labels: tuple[tuple[str, str], ...], value: float) -> None:
        """Keep a value until it is sent."""
        with self._lock:
            last = self._last.get(name, {})
            if not last and len(self._last) >= MOST_NAMES:
                warn(
                    "training",
                    f"more than {MOST_NAMES} names in this process; `{name}` and further ones are "
                    "left out",
                )
                return
            if labels not in last and len(last) >= MOST_SERIES:
                warn(
                    name,
                    f"has more than {MOST_SERIES} combinations of labels; further ones are "
                    'one series, `otel_metric_overflow="true"`',
                )
                labels = tuple(OVERFLOW.items())
            at = max(_clock.time_ns(), last.get(labels, 0) + _MILLISECOND)
            if at > _clock.time_ns() + _AHEAD:
                warn(name, "has more than 1,000 values a second; some are left out")
                return
            self._last.setdefault(name, last)[labels] = at
            if len(self._waiting) == MOST_POINTS:
                self._taken = max(0, self._taken - 1)
                warn(
                    name,
                    f"{MOST_POINTS:,} values wait to be sent; the oldest are left out",
                )
            self._waiting.append(Point(name, labels, at, value))

    def take(self) -> list[Point]:
        """Return all that wait; they stay until `sent`."""
        with self._lock:
            self._taken = len(self._waiting)
            return list(self._waiting)

    def sent(self) -> None:
        """Forget what was taken."""
        with self._lock:
            for _ in range(self._taken):
                self._waiting.popleft()
            self._taken = 0
