"""A session, or one trace, as trees; spans that never ended are told apart."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes as names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from af_otel.backends.spans import Link, Span

RECENT = 600  # s; a process that was heard of within them is taken to be alive
_CELL_ENDINGS = {"died", "aborted", "interrupted"}  # these say more than a class of exception
DEEPEST = 100  # levels; a user's recursion may have thousands, which no reader follows
GRACE = 10  # s; a worker reports its share of a compute when the compute has ended already


class State(Enum):
    """What is known of a span's end; the value is what a reader is told."""

    ENDED = "ended"
    OPEN = "still open"
    DIED = "open when its process died"
    UNKNOWN = "no end seen: still open, or its process died"


@dataclass
class Node:
    """A span and what it set off."""

    span: Span
    state: State = State.ENDED
    children: list[Node] = field(default_factory=list)

    @property
    def span_id(self) -> str:
        """Of the real span, also where only its marker is here."""
        return self.span.pending_for or self.span.span_id

    @property
    def error(self) -> str:
        """What failed, in a word: the exception's class or a reason; "" if nothing did."""
        ending = self.span.text(names.CELL_STATUS)
        if ending in _CELL_ENDINGS:
            return ending
        if self.span.status != "error":
            return ""
        return str(self.span.attributes.get(names.ERROR_TYPE) or "error")

    @property
    def orphaned(self) -> bool:
        """Whether it names a parent; asked of roots, whose parent then is not here."""
        return bool(self.span.parent_id)

    def walk(self) -> Iterator[Node]:
        """Itself and all under it, parents first."""
        left = [self]
        while left:
            node = left.pop()
            yield node
            left += reversed(node.children)


@dataclass
class Story:
    """Traces in order of time, each as its roots."""

    roots: list[Node]
    session_id: str = ""
    complete: bool = True
    """Whether it has all traces of the session; else the newest."""

    def __post_init__(self) -> None:
        self._by_id = {node.span_id: node for node in self.nodes()}

    def nodes(self) -> Iterator[Node]:
        """Every node, in the order in which it is told."""
        for root in self.roots:
            yield from root.walk()

    def named(self, link: Link) -> str:
        """The name of the span that a link leads to, if it is in this story."""
        node = self._by_id.get(link.span_id)
        return node.span.name if node else ""

    @property
    def start(self) -> int:
        """Nanoseconds since the epoch."""
        return min((node.span.start for node in self.nodes()), default=0)

    @property
    def end(self) -> int:
        """Of what is known so far."""
        return max((node.span.end for node in self.nodes()), default=0)

    @property
    def traces(self) -> list[str]:
        """The ids of its traces."""
        return list(dict.fromkeys(root.span.trace_id for root in self.roots))

    @property
    def processes(self) -> set[tuple[str, str]]:
        """Services and instances that took part."""
        return {(node.span.service, node.span.instance) for node in self.nodes()}

    @property
    def errors(self) -> int:
        """How many spans failed."""
        return sum(bool(node.error) for node in self.nodes())

    def as_json(self) -> dict[str, Any]:
        """The whole story, nothing folded."""
        return {
            "session": self.session_id or None,
            "complete": self.complete,
            "start": self.start,
            "end": self.end,
            "traces": self.traces,
            "roots": [self._node(root) for root in self.roots],
        }

    def _node(self, node: Node) -> dict[str, Any]:
        span = node.span
        return {
            "trace_id": span.trace_id,
            "span_id": node.span_id,
            "parent_id": span.parent_id or None,
            "name": span.name,
            "service": span.service,
            "instance": span.instance or None,
            "kind": span.kind,
            "start": span.start,
            "seconds": span.seconds if node.state is State.ENDED else None,
            "state": node.state.name.lower(),
            "status": span.status,
            "error": node.error or None,
            "attributes": dict(span.attributes),
            "events": [
                {"name": event.name, "time": event.time, "attributes": dict(event.attributes)}
                for event in span.events
            ],
            "links": [
                {
                    "trace_id": link.trace_id,
                    "span_id": link.span_id,
                    "name": self.named(link) or None,
                }
                for link in span.links
            ],
            "children": [self._node(child) for child in node.children],
        }


def tell(
    spans: Iterable[Span],
    *,
    session_id: str = "",
    complete: bool = True,
    now: float | None = None,
) -> Story:
    """Put spans into trees; a marker stands for its span only where that never came.

    What is deeper than `DEEPEST` levels is told under the last of them, one beside the other.
    """
    nodes: dict[str, Node] = {}
    markers: dict[str, Node] = {}
    for span in spans:
        if span.pending_for:
            markers[span.pending_for] = Node(span, State.UNKNOWN)
        else:
            nodes[span.span_id] = Node(span)
    nodes = markers | nodes
    roots = _trees(sorted(nodes.values(), key=_first_start), nodes)
    _judge(list(nodes.values()), nodes, time.time() if now is None else now)
    return Story(roots, session_id, complete)


def _trees(ordered: list[Node], nodes: dict[str, Node]) -> list[Node]:
    """Hang each node under its parent, and return those that have none here."""
    for node in ordered:
        if parent := nodes.get(node.span.parent_id):
            parent.children.append(node)
    told: set[int] = set()
    roots = []
    # Of spans that name each other as their parents the first is a root: none is lost.
    for node in [*(one for one in ordered if one.span.parent_id not in nodes), *ordered]:
        if id(node) in told:
            continue
        if parent := nodes.get(node.span.parent_id):
            parent.children = [child for child in parent.children if child is not node]
        roots.append(node)
        told.update(map(id, node.walk()))
    level = roots.copy()
    for _ in range(DEEPEST - 2):
        level = [child for node in level for child in node.children]
    for node in level:
        _, *under = node.walk()
        for one in under:
            one.children = []
        node.children = sorted(under, key=_first_start)
    return sorted(roots, key=_first_start)


def _judge(every: list[Node], nodes: dict[str, Node], now: float) -> None:
    """Say of each open span what is known of its process."""
    unended = [node for node in every if node.state is not State.ENDED]
    dead = {node.span.instance for node in unended if _outlived(node, nodes, now)}
    alive = {node.span.instance for node in every if node.span.end / 1e9 + RECENT > now}
    for node in unended:
        if node.span.instance in dead:
            node.state = State.DIED
        elif node.span.instance in alive:
            node.state = State.OPEN


def _outlived(node: Node, nodes: dict[str, Node], now: float) -> bool:
    """Whether another process, which waited for this span, has ended its own and went on."""
    parent = nodes.get(node.span.parent_id)
    if parent is None or parent.state is not State.ENDED:
        return False
    if parent.span.instance == node.span.instance:
        return False  # within a process a child may well be meant to outlive its parent
    died = parent.span.text(names.CELL_STATUS) == "died"
    return died or parent.span.end / 1e9 + GRACE < now


@dataclass(frozen=True)
class Fold:
    """Siblings of one name that are not told one by one."""

    name: str
    nodes: tuple[Node, ...]


def fold(
    siblings: list[Node], keep: int, *, kind: Callable[[Node], str] = lambda node: node.span.name
) -> list[Node | Fold]:
    """Siblings with at most about `keep` of one kind; failed and open ones before the others."""
    by_kind: dict[str, list[Node]] = {}
    for node in siblings:
        by_kind.setdefault(kind(node), []).append(node)
    told: list[Node | Fold] = []
    for name, group in by_kind.items():
        if len(group) <= keep + 1:  # to fold one would save no line
            told += group
            continue
        remarkable = [node for node in group if node.error or node.state is not State.ENDED]
        chosen = {id(node) for node in [*remarkable, *group][:keep]}
        told += [node for node in group if id(node) in chosen]
        told.append(Fold(name, tuple(node for node in group if id(node) not in chosen)))
    return sorted(told, key=_first_start)


def _first_start(item: Node | Fold) -> tuple[int, str]:
    # A fold comes after the last span of its kind that is shown. Ids break ties.
    span = item.nodes[-1].span if isinstance(item, Fold) else item.span
    return span.start, span.span_id
