"""From what a person types to the story that is meant."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from af_otel_semconv import attributes as names

from af_otel.backends.story import Story, tell
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from af_otel.backends.spans import Span
    from af_otel.backends.tempo import Found, Tempo

LAST = "last"
# s; Tempo answers for 168 hours at most by default, and a search ends a little ahead of now.
WEEK = 7 * 86400 - 600
_LOOK_BACK = (900, 86400, WEEK)
_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


def story(tempo: Tempo, what: str, *, whole_session: bool = False) -> Story:
    """The story of the trace or the session with id `what`, or of the `last` session."""
    if what == LAST:
        spans = tempo.trace(_newest(tempo).trace_id)
        # A trace that belongs to no session is its own story.
        return _of_session(tempo, _session_id(spans)) if _session_id(spans) else tell(spans)
    spans = tempo.trace(what.lower()) if _TRACE_ID.fullmatch(what) else []
    if not spans:
        return _of_session(tempo, what)
    if not whole_session:
        return tell(spans)
    if not _session_id(spans):
        raise AfOtelError(
            f"Trace `{what}` belongs to no session",
            where=f"none of its spans has `{names.SESSION_ID}`",
            hint="leave `--session` out to see the trace alone",
        )
    return _of_session(tempo, _session_id(spans))


def _newest(tempo: Tempo) -> Found:
    now = time.time()
    # What belongs to a session first: health checks and scripts make traces, too.
    for traceql in (f'{{ span.{names.SESSION_ID} != "" }}', "{ }"):
        for seconds in _LOOK_BACK:
            found = tempo.search(traceql, start=now - seconds)
            if found:
                return found[-1]
    raise AfOtelError(
        "Tempo has no traces yet",
        where=f"`{tempo.url}`, the last 7 days",
        hint="log in to the hub and run a cell, or run `af-otel verify`; then ask again",
    )


def _of_session(tempo: Tempo, session_id: str) -> Story:
    spans = tempo.session(session_id, start=time.time() - WEEK)
    if not spans:
        raise AfOtelError(
            f"Neither a trace nor a session has the id `{session_id}`",
            where=f"Tempo at `{tempo.url}`, the last 7 days",
            hint="`af-otel trace last` shows the newest; a new one is found after some seconds",
        )
    return tell(spans, session_id=session_id)


def _session_id(spans: Iterable[Span]) -> str:
    return next(
        (
            str(span.attributes[names.SESSION_ID])
            for span in spans
            if names.SESSION_ID in span.attributes
        ),
        "",
    )
