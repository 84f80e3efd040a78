"""What the product asks of a trace store, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.backends.sessions import Cursor, SessionPage
    from af_otel.backends.spans import Span

Kind = Literal["tempo", "jaeger"]
MAX_TRACES = 1000  # of one search, unless stated otherwise
DAY = 86400  # seconds


@dataclass(frozen=True)
class SessionTraces:
    """The ids of a session's traces, oldest first; `complete` unless there are more of them."""

    ids: Sequence[str]
    complete: bool = True


class TraceStore(Protocol):
    """A store of traces that can be searched.

    Times are seconds since the epoch. Every method raises `NotReachable` when the store does not
    answer within its deadline, and `Refused` when it answers with something unexpected.
    """

    name: str
    """What people call it, such as "Jaeger"."""
    url: str
    """The address of its query API."""
    max_age: float
    """How far back a search may look, in seconds."""

    def sessions(
        self, start: float, end: float, *, before: Cursor | None = None, limit: int = 50
    ) -> SessionPage:
        """Return the newest sessions with a spawn or a cell from `start` to `end`, newest first.

        `before` is the `next` of another page: only sessions older than that page's are returned.
        """

    def session_traces(self, session_id: str, *, start: float) -> SessionTraces:
        """Return the traces with a span of a session; of more than `MAX_TRACES`, the newest."""

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace, each once, in order of their start.

        The list is empty while no span of it has arrived. A trace is found by its id at once; by
        search, some seconds after its last span.
        """

    def spans(
        self, service: str, name: str, *, start: float, end: float | None = None, limit: int = 20
    ) -> list[Span]:
        """Return the spans with a name in the newest `limit` traces with such, oldest first."""

    def newest_trace(self, start: float, *, in_session: bool) -> str | None:
        """Return the id of the newest trace since `start`, or None.

        With `in_session`, only traces that belong to a session count.
        """

    def last_seen(self, service: str, facility: str, *, start: float) -> float | None:
        """Return when a facility's service last ended a trace since `start`, or None."""
