"""What a verification needs of the facility that it visits, wherever that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from af_otel.backends.prometheus import Prometheus
    from af_otel.backends.spans import Span
    from af_otel.backends.store import TraceStore
    from af_otel.verify.hops import Hop
    from af_otel.verify.kernel import Kernel
    from af_otel.verify.visitor import Visitor

COLLECTOR = "collector"
TRACE_STORE = "trace store"
PROMETHEUS = "prometheus"


@dataclass(frozen=True)
class Cell:
    """A cell to run, and what is known of it beforehand."""

    name: str
    source: str
    prints: str = ""  # all else is an error
    about: str = ""  # the service that it asks for something


class Place(Protocol):
    """One facility, and a synthetic user's way in and out."""

    name: str
    enters: str  # the first step, in words
    notebook: str  # what is run, for people
    hops: Sequence[Hop]  # of a session here; known when `cells` has returned
    patience: float  # s; from the last cell to the last span and metric
    poll: float  # s; between two looks for them
    store: TraceStore | None  # None where it cannot be asked; `unproven` says why
    unproven: str
    prometheus: Prometheus

    def enter(self, left: Callable[[], float], said: Callable[[str], None]) -> Visitor:
        """Let the synthetic user in; whatever is begun here, `leave` ends."""

    def cells(self, visitor: Visitor, kernel: Kernel, left: Callable[[], float]) -> list[Cell]:
        """What the user runs."""

    def ran(self, cell: Cell) -> None:
        """Look at what a cell has used, while it is there."""

    def leave(self) -> str:
        """Take away all that was made, after whatever happened; what that was, in words."""

    def session(self, from_kernel: str) -> str:
        """The session's id: by the kernel's own word, or by somebody who knows better."""

    def at_collector(self) -> list[Span] | None:
        """The spans that the Collector has let out since the beginning, if it keeps them."""

    def heard(self) -> bool:
        """Whether the Collector has received anything since the beginning."""

    def collector(self) -> str:
        """Where the Collector is, and what it counted, in words."""

    def misplaced(self, span: Span) -> str:
        """What is wrong with where the span says that it comes from; "" if nothing is."""

    def silent(self, about: str) -> bool:
        """Whether the service's process is known to send nothing, however long it is waited for."""

    def advice(self, about: str) -> str:
        """What to read about the service, or about `COLLECTOR`, `TRACE_STORE` or `PROMETHEUS`."""

    def look_at(self, session: str) -> str:
        """What to give to `af-otel`, so that it shows a session."""
