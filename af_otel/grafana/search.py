"""Searches for spans, independent of the trace store, and their TraceQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel_semconv import attributes, spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Attributes that are set when a span ends. A span that is open for a second is also sent as a
# marker, which has none of them.
_SET_AT_END = {
    spans.SPAWN_SERVER: attributes.SPAWN_OUTCOME,
    spans.START_KERNEL: attributes.KERNEL_ID,
    spans.RUN_CELL: attributes.CELL_STATUS,
    spans.COMPUTE_GRAPH: attributes.GRAPH_OUTCOME,
}


@dataclass(frozen=True)
class Spans:
    """Which spans of the chosen facility a panel shows.

    Parameters
    ----------
    name
        Only spans with this name.
    of_session
        Only spans of the session in the dashboard's variable `session`.
    failed
        Only spans with an error.
    in_session
        Only spans that belong to a session.
    except_name
        No spans with this name.
    slower
        Only spans that took longer: a duration, or a variable that holds one.
    """

    name: str = ""
    of_session: bool = False
    failed: bool = False
    in_session: bool = False
    except_name: str = ""
    slower: str = ""


def traceql(search: Spans, columns: Sequence[str]) -> str:
    """Return the TraceQL that finds the newest spans and selects attributes as columns."""
    conditions = " && ".join(_conditions(search))
    selected = ", ".join(f"span.{column}" for column in columns)
    # Without `most_recent`, Tempo returns the first matches it comes across, in no order.
    return f"{{ {conditions} }} | select({selected}) with (most_recent=true)"


def _conditions(search: Spans) -> Iterator[str]:
    yield 'resource.service.namespace =~ "$facility"'
    if search.of_session:
        yield f'span.{attributes.SESSION_ID} =~ "$session"'
    if search.name:
        ended = _SET_AT_END[search.name]
        yield f'name = "{search.name}" && (span.{ended} != nil || status = error)'
    if search.failed:
        yield "status = error"
    if search.in_session:
        yield f"span.{attributes.SESSION_ID} != nil"
    if search.except_name:
        yield f'name != "{search.except_name}"'
    if search.slower:
        yield f"duration > {search.slower}"
