"""From what a person types to the session or trace that is meant."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from af_otel_semconv import attributes as names
from af_otel_semconv import services

from af_otel.backends.http import NotReachable
from af_otel.backends.spans import in_order
from af_otel.backends.story import Story, tell
from af_otel.backends.words import duration
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from af_otel.backends.spans import Span
    from af_otel.backends.store import TraceStore

LAST = "last"
MAX_SPANS = 200_000  # of one session; some hundreds of MB
TIMEOUT = 60.0  # seconds for all that a store is asked for one story
_LOOK_BACK = (900, 86400)  # seconds; then as far as the store allows
_PARALLEL = 4  # requests at once
_SERVERS = {services.JUPYTERHUB, services.JUPYTER_SERVER, services.DASK_GATEWAY, services.COLLECT}
_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


class NotStored(AfOtelError):
    """The store has no such trace or session."""


def story(store: TraceStore, what: str, *, whole_session: bool = False) -> Story:
    """Return the story of the trace or the session with id `what`, or of what ran `last`.

    Raises
    ------
    NotStored
        There is none.
    """
    if what == LAST:
        spans = store.trace(_newest(store))
        session_id = _session_id(spans)
        # A trace that belongs to no session is its own story.
        return session_story(store, session_id) if session_id else tell(spans)
    spans = store.trace(what.lower()) if _TRACE_ID.fullmatch(what) else []
    if not spans:
        return session_story(store, what)
    if not whole_session:
        return tell(spans)
    if not _session_id(spans):
        raise NotStored(
            f"Trace `{what}` belongs to no session",
            where=f"none of its spans has `{names.SESSION_ID}`",
            hint="leave `--session` out to see the trace alone",
        )
    return session_story(store, _session_id(spans))


def trace_story(store: TraceStore, trace_id: str) -> Story:
    """Return the story of one trace.

    Raises
    ------
    NotStored
        There is none.
    """
    spans = store.trace(trace_id.lower()) if _TRACE_ID.fullmatch(trace_id) else []
    if not spans:
        raise _absent(store, "No trace", trace_id)
    return tell(spans)


def session_story(store: TraceStore, session_id: str) -> Story:
    """Return the story of all traces of a session; of very many spans, of the newest traces.

    Raises
    ------
    NotStored
        There is none.
    """
    spans, complete = session_spans(store, session_id, start=time.time() - store.max_age)
    if not spans:
        raise _absent(store, "Neither a trace nor a session", session_id)
    return tell(spans, session_id=session_id, complete=complete)


def session_spans(store: TraceStore, session_id: str, *, start: float) -> tuple[list[Span], bool]:
    """Return the spans of a session's traces since `start`, and whether these are all.

    They are in order of their start. Of more than `MAX_SPANS`, the oldest traces are left out.
    """
    deadline = _Deadline(store)
    found = store.session_traces(session_id, start=start)
    every: list[Span] = []
    complete = found.complete
    newest_first = list(reversed(found.ids))
    with ThreadPoolExecutor(_PARALLEL) as pool:
        # In steps, so that no more is fetched than is kept.
        for first in range(0, len(newest_first), _PARALLEL * 4):
            deadline.check()
            if len(every) > MAX_SPANS:
                complete = False
                break
            for spans in pool.map(store.trace, newest_first[first : first + _PARALLEL * 4]):
                every += spans
    return sorted(every, key=in_order), complete


class _Deadline:
    """The end of the time in which a store has to answer several questions."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._end = time.monotonic() + TIMEOUT

    def check(self) -> None:
        """Raise `NotReachable` if the time is over."""
        if time.monotonic() > self._end:
            raise NotReachable(
                self._store.name,
                f"{self._store.name} did not answer all queries within {TIMEOUT:g} s",
                where=f"`{self._store.url}`",
                hint="it may be overloaded: try again, or ask for a single trace",
            )


def _newest(store: TraceStore) -> str:
    now, deadline = time.time(), _Deadline(store)
    newest = None
    for seconds in (*_LOOK_BACK, store.max_age):
        deadline.check()
        newest = newest or store.newest_trace(now - seconds, in_session=False)
        if newest is None:
            continue
        # What a person ran. Servers are asked for their health, too, in traces of no session.
        if not _is_of_a_server(store.trace(newest)):
            return newest
        if in_session := store.newest_trace(now - seconds, in_session=True):
            return in_session
    if newest:
        return newest
    raise NotStored(
        f"{store.name} has no traces yet",
        where=f"`{store.url}`, the last {duration(store.max_age)}",
        hint="log in to the hub and run a cell, or run `af-otel verify`; then try again",
    )


def _is_of_a_server(spans: Iterable[Span]) -> bool:
    """Return whether a trace has no session, and nothing but spans of a facility's servers."""
    return all(not span.session and span.service in _SERVERS for span in spans)


def _absent(store: TraceStore, what: str, wanted: str) -> NotStored:
    return NotStored(
        f"{what} has the id `{wanted}`",
        where=f"{store.name} at `{store.url}`, the last {duration(store.max_age)}",
        hint="`af-otel trace last` shows the newest; a new one can be found after a few seconds",
    )


def _session_id(spans: Iterable[Span]) -> str:
    return next((span.session for span in spans if span.session), "")
