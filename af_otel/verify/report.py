"""What a verification did and found."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from af_otel.errors import AfOtelError

Progress = Literal["waiting", "running", "done", "failed"]


@dataclass
class Step:
    """One thing that the synthetic user, or the proof after it, does."""

    name: str
    detail: str = ""
    progress: Progress = "waiting"
    began: float = 0.0  # by time.monotonic
    seconds: float | None = None

    @property
    def elapsed(self) -> float | None:
        """Seconds it took, or takes so far; None if it was never begun."""
        if self.seconds is None and self.began:
            return time.monotonic() - self.began
        return self.seconds


@dataclass
class HopProof:
    """One hop of the session: its spans, by what they were seen, and what is wrong with them."""

    span: str
    service: str
    comes_from: str  # in words: "child of `run cell`"
    count: int = 0
    processes: int = 0
    seconds: float | None = None  # of its longest span
    pods: list[str] = field(default_factory=list)  # where there are pods
    at_collector: bool | None = None  # None where the Collector keeps no spans
    in_store: bool = False
    problem: str = ""

    @property
    def proven(self) -> bool:
        """Whether all saw it, and its links are right."""
        return self.at_collector is not False and self.in_store and not self.problem


@dataclass
class MetricProof:
    """One metric: how much more it says than before, and how much more was done."""

    metric: str
    promql: str
    expected: float
    exact: bool = False  # nobody else adds to it
    increase: float | None = None

    @property
    def proven(self) -> bool:
        """Whether it counted what was done; by others' work it may have risen more."""
        if self.increase is None:
            return False
        return self.increase == self.expected if self.exact else self.increase >= self.expected


@dataclass
class Report:
    """A verification, so far or complete."""

    facility: str
    user: str = ""
    session: str = ""
    result: str = ""  # of the analysis
    steps: list[Step] = field(default_factory=list)
    hops: list[HopProof] = field(default_factory=list)
    metrics: list[MetricProof] = field(default_factory=list)
    processes: int = 0
    store: str = ""  # the name of the trace store
    collector: str = ""  # what it counted meanwhile, where it keeps no spans
    unproven: str = ""  # what could not be looked up, and why
    seconds: float = 0.0
    broken: str = ""  # the first hop that is
    error: AfOtelError | None = None
    left: AfOtelError | None = None  # why not all is cleaned up, after another error

    @property
    def ok(self) -> bool:
        """Whether every hop is proven."""
        return not self.broken

    @property
    def end(self) -> AfOtelError | None:
        """The error that the command ends with, if it does."""
        if self.error is None:
            return None
        return AfOtelError(
            f"Broken at `{self.broken}`: {self.error.what}",
            where=self.error.where,
            hint=self.error.hint,
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, in the words of the table."""
        return {
            "ok": self.ok,
            "facility": self.facility,
            "user": self.user or None,
            "session": self.session or None,
            "result": self.result or None,
            "seconds": round(self.seconds, 3),
            "processes": self.processes,
            "store": self.store or None,
            "collector": self.collector or None,
            "unproven": self.unproven or None,
            "steps": [
                {
                    "name": step.name,
                    "progress": step.progress,
                    "detail": step.detail,
                    "seconds": None if step.elapsed is None else round(step.elapsed, 3),
                }
                for step in self.steps
            ],
            "hops": [{**vars(hop), "proven": hop.proven} for hop in self.hops],
            "metrics": [{**vars(metric), "proven": metric.proven} for metric in self.metrics],
            "broken": {
                "hop": self.broken,
                "what": self.error.what,
                "where": self.error.where,
                "hint": self.error.hint,
            }
            if self.error
            else None,
            "left": {"what": self.left.what, "where": self.left.where, "hint": self.left.hint}
            if self.left
            else None,
        }
