"""The hops of a session, and the proof of each from the spans that it left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel_semconv import attributes as names
from af_otel_semconv import services, spans

from af_otel.verify.report import HopProof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from af_otel.backends.spans import Span


@dataclass(frozen=True)
class Hop:
    """One step of a session across processes: what its span is called, and where it comes from."""

    span: str
    service: str
    parent: str = ""
    linked: str = ""
    per_cell: bool = False

    @property
    def comes_from(self) -> str:
        """The way in, in words."""
        if self.parent:
            return f"child of `{self.parent}`"
        return f"linked to `{self.linked}`" if self.linked else "begins the session"


NOTEBOOK = (
    Hop(spans.SPAWN_SERVER, services.JUPYTERHUB),
    Hop(spans.START_SERVER, services.JUPYTER_SERVER, parent=spans.SPAWN_SERVER),
    Hop(spans.START_KERNEL, services.JUPYTER_SERVER, linked=spans.SPAWN_SERVER),
    Hop(spans.EXECUTE_CELL, services.JUPYTER_SERVER, linked=spans.SPAWN_SERVER, per_cell=True),
    Hop(spans.RUN_CELL, services.JUPYTER_KERNEL, parent=spans.EXECUTE_CELL, per_cell=True),
)


def with_dask(scheduler: str) -> tuple[Hop, ...]:
    """The hops of a session that computes on Dask; `scheduler` is the service which that is in."""
    return (
        *NOTEBOOK,
        Hop(spans.COMPUTE_GRAPH, scheduler, parent=spans.RUN_CELL),
        Hop(spans.WORKER_SHARE, services.DASK_WORKER, parent=spans.COMPUTE_GRAPH),
    )


def prove(
    hops: Sequence[Hop],
    at_collector: Sequence[Span] | None,
    in_store: Sequence[Span],
    session_id: str,
    cells: int,
    misplaced: Callable[[Span], str] = lambda _: "",
) -> list[HopProof]:
    """Look at each hop of a session in which `cells` cells were run, by all who should know it.

    Parameters
    ----------
    at_collector
        None where the Collector keeps no spans.
    misplaced
        Returns what is wrong with where a stored span says that it comes from.
    """
    proofs = []
    for hop in hops:
        here = [span for span in in_store or at_collector or () if _is(hop, span)]
        at_least = cells if hop.per_cell else 1
        seen_first = (
            "" if at_collector is None else _problem(hop, at_collector, session_id, at_least)
        )
        seen_last = _problem(hop, in_store, session_id, at_least)
        if not seen_last:
            wrong = next((found for span in here if (found := misplaced(span))), "")
            seen_last = f"a span `{hop.span}` {wrong}" if wrong else ""
        proofs.append(
            HopProof(
                span=hop.span,
                service=hop.service,
                comes_from=hop.comes_from,
                count=len(here),
                processes=len({span.instance for span in here}),
                pods=sorted({span.pod for span in here} - {""}),
                seconds=max((span.seconds for span in here), default=None),
                at_collector=None if at_collector is None else not seen_first,
                in_store=not seen_last,
                # What never came to the Collector cannot be stored.
                problem=f"at the Collector: {seen_first}"
                if seen_first
                else f"in the trace store: {seen_last}"
                if seen_last
                else "",
            )
        )
    return proofs


def fewest_processes(hops: Iterable[Hop]) -> int:
    """How many processes such a session runs through at least."""
    return len({hop.service for hop in hops})


def processes(spans: Iterable[Span]) -> int:
    """How many processes made these spans."""
    return len({span.instance for span in spans} - {""})


def of_session(spans: Iterable[Span], session_id: str) -> list[Span]:
    """Spans of all traces that the session has a span in: some may not know whose they are."""
    known = list(spans)
    traces = {
        span.trace_id for span in known if span.attributes.get(names.SESSION_ID) == session_id
    }
    return [span for span in known if span.trace_id in traces]


def _is(hop: Hop, span: Span) -> bool:
    return span.name == hop.span and span.service == hop.service and not span.pending_for


def _problem(hop: Hop, spans: Sequence[Span], session_id: str, at_least: int) -> str:
    """What is wrong with a hop in what one observer saw; "" if nothing is."""
    here = [span for span in spans if _is(hop, span)]
    if not here:
        return f"no span `{hop.span}` of `{hop.service}`" + _elsewhere(hop, spans)
    if len(here) < at_least:
        return f"only {len(here)} of {at_least} cells have a span `{hop.span}`"
    for span in here:
        session = span.attributes.get(names.SESSION_ID)
        if session != session_id:
            has = f"another session's id, `{session}`" if session else f"no `{names.SESSION_ID}`"
            return f"a span `{hop.span}` has {has}"
        problem = _misplaced(hop, span, spans)
        if problem:
            return f"a span `{hop.span}` {problem}"
    return ""


def _elsewhere(hop: Hop, spans: Sequence[Span]) -> str:
    """Where spans of this name were, if not where they belong."""
    if any(span.name == hop.span and span.pending_for for span in spans):
        return ", which is still open"
    others = sorted({span.service for span in spans if span.name == hop.span})
    return ", but of " + ", ".join(f"`{name}`" for name in others) if others else ""


def _misplaced(hop: Hop, span: Span, spans: Sequence[Span]) -> str:
    by_id = {other.span_id: other for other in spans}
    if not hop.parent:
        if span.parent_id:
            return "has a parent where it should begin a trace"
    elif not span.parent_id:
        return f"begins a trace and is no child of `{hop.parent}`"
    else:
        parent = by_id.get(span.parent_id)
        if parent is None:
            return f"has a parent that is not there, and should be a child of `{hop.parent}`"
        if parent.name != hop.parent or parent.trace_id != span.trace_id:
            return f"is a child of `{parent.name}` and not of `{hop.parent}`"
    if hop.linked:
        targets = [by_id.get(link.span_id) for link in span.links]
        if not any(target is not None and target.name == hop.linked for target in targets):
            return f"is not {hop.comes_from}"
    return ""
