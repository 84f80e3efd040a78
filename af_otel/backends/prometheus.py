"""Prometheus' query API."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from af_otel.backends.http import ANYBODY, Access, Api

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


@dataclass
class Prometheus:
    """A Prometheus at `url`."""

    url: str
    access: Access = ANYBODY

    @cached_property
    def _api(self) -> Api:
        return Api("Prometheus", self.url, self.access)

    def query(self, promql: str, *, at: float | None = None) -> list[Series]:
        """Return the instant vector of `promql`, now or at a time in seconds since the epoch.

        A scalar is one series without labels.
        """
        params: dict[str, str | float] = {"query": promql}
        if at is not None:
            params["time"] = at
        return self._api.get("/api/v1/query", params, read=_instant)

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[Series]:
        """Return the series of `promql` from `start` to `end`, in seconds since the epoch."""
        params: dict[str, str | float] = {
            "query": promql,
            "start": start,
            "end": end,
            "step": step,
        }
        return self._api.get("/api/v1/query_range", params, read=_range)

    def total(self, promql: str, *, at: float | None = None) -> float:
        """Return the sum over all series of `promql`; 0 without any, as before a first count."""
        return math.fsum(series.value for series in self.query(promql, at=at))


def _instant(answer: Any) -> list[Series]:
    data = answer["data"]
    if data["resultType"] == "scalar":
        return [Series({}, (_point(data["result"]),))]
    return [Series(item["metric"], (_point(item["value"]),)) for item in data["result"]]


def _range(answer: Any) -> list[Series]:
    return [
        Series(item["metric"], tuple(_point(point) for point in item["values"]))
        for item in answer["data"]["result"]
    ]


def _point(point: tuple[float, str]) -> tuple[float, float]:
    return float(point[0]), float(point[1])  # "NaN" and "+Inf" are floats to Python, too
