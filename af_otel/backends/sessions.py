"""Sessions as a list shows them, gathered from what a search tells of their traces."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from af_otel_semconv import attributes as names

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STARTING = 1200  # seconds; longer than any hub waits for a server
FAILED_CELLS = ("died", "aborted", "interrupted")

SpawnState = Literal["starting", "started", "failed", "unfinished"]


class Cursor(NamedTuple):
    """The last session of a page: the next page has those that come after it."""

    began: int
    session_id: str

    def __str__(self) -> str:
        return f"{self.began}-{self.session_id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor that was written as `text`.

        Raises
        ------
        AfOtelError
            It is not one.
        """
        began, _, session_id = text.partition("-")
        if not began.isdecimal():
            raise AfOtelError(
                f"`{text[:100]}` is not a place in the list of sessions",
                hint="use `next` of another page as it is, or leave it out",
            )
        return cls(int(began), session_id)


@dataclass(frozen=True)
class Spawn:
    """The start of a session's server; `began` is in nanoseconds since the epoch."""

    began: int
    seconds: float
    outcome: str = ""
    pending: bool = False
    """Whether only the marker of the open span has arrived."""

    def state(self, now: float) -> SpawnState:
        """Return how far it has come, `now` in seconds since the epoch."""
        if self.pending:
            return "starting" if now - self.began / 1e9 < STARTING else "unfinished"
        return "started" if self.outcome in {"", "ok"} else "failed"


@dataclass
class TraceFacts:
    """What a search tells of one trace of a session; times are nanoseconds since the epoch."""

    trace_id: str
    session_id: str
    began: int
    ended: int
    user: str = ""
    cell: bool = False
    failed: bool = False
    spawn: Spawn | None = None


@dataclass
class Session:
    """One session in a list; times are nanoseconds since the epoch."""

    id: str
    began: int
    last_seen: int
    user: str = ""
    """The user's pseudonym, or "" where no trace tells it."""
    cells: int = 0
    """Traces of cells."""
    failures: int = 0
    """Traces with a failed span."""
    spawn: Spawn | None = None
    counted_all: bool = True
    """Whether `cells` and `failures` are exact; else there are at least as many."""

    @property
    def cursor(self) -> Cursor:
        """Its place in a list."""
        return Cursor(self.began, self.id)

    def as_json(self, now: float | None = None) -> dict[str, Any]:
        """Return it as the page's API documents it."""
        spawn = self.spawn
        state = spawn and spawn.state(time.time() if now is None else now)
        return {
            "id": self.id,
            "user": self.user or None,
            "began": self.began / 1e9,
            "last_seen": self.last_seen / 1e9,
            "cells": self.cells,
            "failures": self.failures,
            "counted_all": self.counted_all,
            "spawn": spawn
            and {
                "state": state,
                "outcome": (spawn.outcome or None) if state == "failed" else None,
                "seconds": None if spawn.pending else spawn.seconds,
            },
        }


@dataclass
class SessionPage:
    """Some sessions, newest first."""

    sessions: list[Session] = field(default_factory=list)
    next: Cursor | None = None
    """Where the next page begins, if there is one."""
    complete: bool = True
    """Whether no session can be missing between the first and the last of the page."""


def gather(traces: Iterable[TraceFacts]) -> dict[str, Session]:
    """Return the sessions of `traces` by id; a trace that is there twice counts once."""
    merged: dict[tuple[str, str], TraceFacts] = {}
    for trace in traces:
        known = merged.setdefault((trace.session_id, trace.trace_id), trace)
        known.began = min(known.began, trace.began)
        known.ended = max(known.ended, trace.ended)
        known.user = known.user or trace.user
        known.cell |= trace.cell
        known.failed |= trace.failed
        known.spawn = _known_best(known.spawn, trace.spawn)
    sessions: dict[str, Session] = {}
    for trace in merged.values():
        session = sessions.setdefault(
            trace.session_id, Session(trace.session_id, trace.began, trace.ended)
        )
        session.began = min(session.began, trace.began)
        session.last_seen = max(session.last_seen, trace.ended)
        session.user = session.user or trace.user
        session.cells += trace.cell
        session.failures += trace.failed
        session.spawn = _known_best(session.spawn, trace.spawn)
    return sessions


def page(sessions: Iterable[Session], before: Cursor | None, limit: int) -> SessionPage:
    """Return the newest `limit` sessions that come after `before`."""
    ordered = sorted(
        (one for one in sessions if before is None or one.cursor < before),
        key=lambda session: session.cursor,
        reverse=True,
    )
    shown = ordered[:limit]
    return SessionPage(shown, shown[-1].cursor if len(ordered) > limit else None)


def is_failed(status: str, attributes: Mapping[str, Any]) -> bool:
    """Return whether a span of a session failed; a cell may do so without an error status."""
    ending = attributes.get(names.CELL_STATUS)
    return status == "error" or (isinstance(ending, str) and ending in FAILED_CELLS)


def _known_best(one: Spawn | None, other: Spawn | None) -> Spawn | None:
    """Return the one that says more: an ended spawn rather than its marker."""
    if one is None or other is None:
        return one or other
    return other if one.pending and not other.pending else one
