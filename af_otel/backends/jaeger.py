"""Jaeger's query APIs: `/api/v3` for spans as OTLP, and `/api/traces` for searches by tag.

Traps of Jaeger's: a search needs a service and returns whole traces; tags compare for equality
only; a span that was sent twice is stored twice; attributes of links are not stored, and lists in
attributes come back as text.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes as names
from af_otel_semconv import services
from af_otel_semconv import spans as span_names

from af_otel.backends import sessions
from af_otel.backends._jaeger_ui import parse_traces, trace_facts
from af_otel.backends.http import ANYBODY, Access, Api, Refused, TooLarge
from af_otel.backends.sessions import Cursor, Session, SessionPage, Spawn
from af_otel.backends.spans import Span, in_order, parse
from af_otel.backends.store import DAY, MAX_TRACES, SessionTraces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

READY = "/api/v3/services"  # answers once Jaeger does
_NOT_FOUND = 404
_PARALLEL = 4  # requests at once; more make a Jaeger on two cores no faster
_MARGIN = 60  # s; clocks of the facility's machines differ
_MICROSECOND = 1e-6  # s
_MOST_SERVICES = 100  # that are asked for a session; users may name services of their own
_AT_ONCE = 200  # traces of a session in one answer; with Dask, each may have hundreds of spans
_RECENT_CELLS = 200  # traces that are looked at for sessions from before the time range
_NEWEST = 5  # traces of each service among which the newest of a session is looked for
_SAME_TIME = 50  # sessions that may have begun in the same microsecond, where a page begins
_SILENT = 600  # s; a session that was silent for as long has most likely ended,
_RECOUNTED = 60  # s; and is counted again only so often
_MOST_KEPT = 2000  # sessions whose counts are kept
_OWN = "jaeger"  # the service of a Jaeger that traces itself


@dataclass
class Jaeger:
    """A Jaeger's query service at `url`, with its base path if it has one."""

    url: str
    access: Access = ANYBODY
    name: str = "Jaeger"
    max_age: float = 90 * DAY
    _counts: OrderedDict[str, tuple[float, Session]] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    @cached_property
    def _api(self) -> Api:
        return Api(self.name, self.url, self.access)

    def sessions(
        self, start: float, end: float, *, before: Cursor | None = None, limit: int = 50
    ) -> SessionPage:
        """Return the newest sessions with a spawn or a cell in a time range, newest first."""
        until = end if before is None else min(end, before.began / 1e9 + 0.001)
        spawns = self._search(
            services.JUPYTERHUB,
            span_names.SPAWN_SERVER,
            start=start,
            end=until,
            limit=limit + 1 + (0 if before is None else _SAME_TIME),
        )
        seen = sessions.gather(trace_facts(spawns))
        found = [one for one in seen.values() if one.spawn is not None]
        complete = True
        if len([one for one in found if before is None or one.cursor < before]) <= limit:
            try:
                earlier, complete = self._begun_before(start, end, known=seen)
            except TooLarge:
                earlier, complete = [], False
            found += earlier
        page = sessions.page(found, before, limit)
        page.complete = complete
        with ThreadPoolExecutor(_PARALLEL) as pool:
            page.sessions = list(
                pool.map(lambda one: self._recounted(one, start, end), page.sessions)
            )
        return page

    def _begun_before(
        self, start: float, end: float, *, known: Mapping[str, Session]
    ) -> tuple[list[Session], bool]:
        """Return sessions whose spawn was before `start`, and whether these are all of them."""
        cells, complete = self._newest(
            services.JUPYTER_SERVER,
            lambda span: span.name == span_names.EXECUTE_CELL,
            name=span_names.EXECUTE_CELL,
            start=start,
            end=end,
            most=_RECENT_CELLS,
        )
        found = []
        for session in sessions.gather(trace_facts(cells)).values():
            if session.id in known:
                continue
            spawn = self._spawn_of(session.id, cells)
            if spawn is None:
                found.append(session)
            elif spawn.began < start * 1e9:
                session.began, session.spawn = spawn.began, spawn
                found.append(session)
        return found, complete

    def _spawn_of(self, session_id: str, cells: Iterable[Sequence[Span]]) -> Spawn | None:
        """Return a session's spawn, to which its cells are linked, if that is still stored."""
        linked = {
            link.trace_id
            for trace in cells
            for span in trace
            if span.session == session_id
            for link in span.links
        }
        for trace_id in linked:
            spawns = [fact.spawn for fact in trace_facts([self.trace(trace_id)]) if fact.spawn]
            if spawns:
                return spawns[0]
        return None

    def _recounted(self, session: Session, start: float, end: float) -> Session:
        """Return the session with its traces counted; of one that is silent, at most a minute ago.

        A list is asked for every few seconds, and to count is to load all of a session's spans.
        """
        now = time.time()
        asked, counted = self._counts.get(session.id, (0.0, session))
        if now - asked < _RECOUNTED and counted.last_seen / 1e9 < now - _SILENT:
            return counted
        try:
            counted = self._counted(session, start, end)
        except TooLarge:
            # One trace alone is more than can be loaded: it must not cost the others' their place.
            counted = replace(session, counted_all=False)
        # All of its traces are in the time range: the range may move on.
        if session.began / 1e9 >= start and end > now - _RECOUNTED:
            self._counts[session.id] = (now, counted)
            while len(self._counts) > _MOST_KEPT:
                self._counts.popitem(last=False)
        return counted

    def _counted(self, session: Session, start: float, end: float) -> Session:
        """Return the session with all of its traces in the time range counted."""
        traces, counted_all = self._of_session(
            services.JUPYTER_SERVER,
            session.id,
            start=max(start, session.began / 1e9 - _MARGIN),
            end=end,
        )
        facts = [fact for fact in trace_facts(traces) if fact.session_id == session.id]
        counted = sessions.gather(facts).get(session.id, session)
        return Session(
            session.id,
            session.began,
            max(session.last_seen, counted.last_seen),
            session.user or counted.user,
            counted.cells,
            # A spawn that never came to a server is in no trace of the server's.
            max(counted.failures, session.failures),
            counted.spawn or session.spawn,
            counted_all=counted_all,
        )

    def session_traces(self, session_id: str, *, start: float) -> SessionTraces:
        """Return the traces with a span of a session; of more than `MAX_TRACES`, the newest."""

        def ask(service: str) -> tuple[list[list[Span]], bool]:
            return self._of_session(service, session_id, start=start)

        with ThreadPoolExecutor(_PARALLEL) as pool:
            answers = list(pool.map(ask, self._services()))
        began = {
            trace[0].trace_id: min(span.start for span in trace)
            for traces, _ in answers
            for trace in traces
        }
        ordered = sorted(began, key=began.__getitem__)
        complete = len(ordered) <= MAX_TRACES and all(whole for _, whole in answers)
        return SessionTraces(ordered[-MAX_TRACES:], complete)

    def _of_session(
        self, service: str, session_id: str, *, start: float, end: float | None = None
    ) -> tuple[list[list[Span]], bool]:
        """Return the newest traces of a session in a service, and whether these are all of them."""
        return self._newest(
            service,
            lambda span: span.session == session_id,
            tags={names.SESSION_ID: session_id},
            start=start,
            end=end,
            most=MAX_TRACES,
        )

    def _newest(
        self,
        service: str,
        fits: Callable[[Span], bool],
        *,
        name: str = "",
        tags: Mapping[str, str] | None = None,
        start: float,
        end: float | None = None,
        most: int,
    ) -> tuple[list[list[Span]], bool]:
        """Return the newest `most` traces of a search, and whether there are no others.

        Jaeger answers with whole traces, so they are asked for in steps, from the newest to the
        oldest; `fits` tells which spans of a service the search is about.

        Raises
        ------
        TooLarge
            One trace alone is too large.
        """
        found: dict[str, list[Span]] = {}
        at_once = min(_AT_ONCE, most)
        while len(found) < most:
            try:
                step = self._search(service, name, tags=tags, start=start, end=end, limit=at_once)
            except TooLarge:
                if at_once == 1:
                    raise
                at_once = max(1, at_once // 8)
                continue
            before = len(found)
            found.update((trace[0].trace_id, trace) for trace in step)
            if len(step) < at_once:
                return list(found.values()), True
            # Traces come in the order of the newest span of each that fits.
            oldest = min(
                max((one.start for one in trace if one.service == service and fits(one)), default=0)
                for trace in step
            )
            end = oldest / 1e9 - (_MICROSECOND if len(found) == before else 0)
        return list(found.values())[:most], False

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace, each once, in order of their start."""
        return self._spans(f"/api/v3/traces/{trace_id}", {"raw_traces": "true"})

    def spans(
        self, service: str, name: str, *, start: float, end: float | None = None, limit: int = 20
    ) -> list[Span]:
        """Return the spans with a name in the newest `limit` traces with such, oldest first."""
        found = self._find(service, name, start=start, end=end, limit=limit)
        return [span for span in found if (span.service, span.name) == (service, name)]

    def newest_trace(self, start: float, *, in_session: bool) -> str | None:
        """Return the id of the newest trace since `start`, or None."""

        def ask(service: str) -> list[Span]:
            for limit in (_NEWEST, 1) if in_session else (1,):
                with contextlib.suppress(TooLarge):
                    return self._find(service, start=start, limit=limit)
            return []

        with ThreadPoolExecutor(_PARALLEL) as pool:
            spans = [span for found in pool.map(ask, self._services()) for span in found]
        began: dict[str, int] = {}
        for span in spans:
            began[span.trace_id] = min(span.start, began.get(span.trace_id, span.start))
        if in_session:
            began = {span.trace_id: began[span.trace_id] for span in spans if span.session}
        return max(began, key=began.__getitem__, default=None)

    def last_seen(self, service: str, facility: str, *, start: float) -> float | None:
        """Return when a facility's service last ended a trace since `start`, or None."""
        traces = self._search(
            service, tags={"service.namespace": facility}, start=start, limit=_SAME_TIME
        )
        return max((span.end / 1e9 for trace in traces for span in trace), default=None)

    def _services(self) -> list[str]:
        """Return the services that have sent spans, those of a facility first."""
        stored = self._api.get("/api/v3/services", read=_services)
        ours = [name for name in _FACILITY if name in stored]
        others = [name for name in stored if name not in _FACILITY and name != _OWN]
        return [*ours, *others][:_MOST_SERVICES]

    def _find(
        self,
        service: str,
        name: str = "",
        *,
        start: float,
        end: float | None = None,
        limit: int,
    ) -> list[Span]:
        """Return all spans of the newest traces of a service, in order of their start."""
        until = time.time() + _MARGIN if end is None else end
        if start > until:
            return []
        params: dict[str, str | int] = {
            "query.service_name": service,
            "query.operation_name": name,
            "query.start_time_min": _rfc3339(start),
            "query.start_time_max": _rfc3339(until),
            "query.num_traces": limit,
            "query.raw_traces": "true",
        }
        return self._spans("/api/v3/traces", params)

    def _spans(self, path: str, params: Mapping[str, str | int]) -> list[Span]:
        try:
            spans = self._api.get(path, params, read=_otlp)
        except Refused as error:
            if error.status == _NOT_FOUND:
                return []
            raise
        unique = {(span.trace_id, span.span_id): span for span in spans}
        return sorted(unique.values(), key=in_order)

    def _search(
        self,
        service: str,
        name: str = "",
        *,
        start: float,
        end: float | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int,
    ) -> list[list[Span]]:
        """Return the newest traces with a span that fits, their times rounded to microseconds."""
        until = time.time() + _MARGIN if end is None else end
        if start > until:
            return []
        params: dict[str, str | int] = {
            "service": service,
            "start": int(max(start, 0) * 1e6),
            "end": int(until * 1e6),
            "limit": limit,
            "raw": "true",
        }
        if name:
            params["operation"] = name
        if tags:
            params["tags"] = json.dumps(tags)
        return self._api.get("/api/traces", params, read=parse_traces)


_FACILITY = (
    services.JUPYTERHUB,
    services.JUPYTER_SERVER,
    services.JUPYTER_KERNEL,
    services.DASK_SCHEDULER,
    services.DASK_WORKER,
    services.DASK_CLIENT,
    services.DASK_GATEWAY,
)


def _rfc3339(seconds: float) -> str:
    moment = datetime.fromtimestamp(max(seconds, 0), timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _services(answer: Any) -> list[str]:
    return sorted(map(str, answer.get("services") or ()))


def _otlp(answer: Any) -> list[Span]:
    return list(parse(answer["result"]))
