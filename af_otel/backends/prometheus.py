"""Prometheus' query API."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel.backends.http import ANYBODY, Access, get_json

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Series:
    """One series of a result: its labels, and its points as (seconds since the epoch, value)."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The newest value."""
        return self.points[-1][1]


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus at `url`."""

    url: str
    access: Access = ANYBODY

    def query(self, promql: str, *, at: float | None = None) -> list[Series]:
        """The instant vector (or scalar, as one series without labels) of `promql`, now or `at`."""
        data = self._get("/api/v1/query", query=promql, **({} if at is None else {"time": at}))
        if data["resultType"] == "scalar":
            return [Series({}, (_point(data["result"]),))]
        return [Series(item["metric"], (_point(item["value"]),)) for item in data["result"]]

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[Series]:
        """The series of `promql` from `start` to `end`, seconds since the epoch."""
        data = self._get("/api/v1/query_range", query=promql, start=start, end=end, step=step)
        return [
            Series(item["metric"], tuple(_point(point) for point in item["values"]))
            for item in data["result"]
        ]

    def total(self, promql: str, *, at: float | None = None) -> float:
        """The sum over all series of `promql`; 0 without any, as for a counter not begun."""
        return math.fsum(series.value for series in self.query(promql, at=at))

    def _get(self, path: str, **params: str | float) -> Any:
        return get_json("Prometheus", self.url, path, params, self.access)["data"]


def _point(point: tuple[float, str]) -> tuple[float, float]:
    return float(point[0]), float(point[1])  # "NaN" and "+Inf" are floats to Python, too
