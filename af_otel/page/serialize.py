"""A story as JSON for the front end: what is shown, what is folded, and only what it can draw."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from af_otel.backends.story import Fold, Node, State, Story, fold
from af_otel.backends.words import (
    KEEP_SPANS,
    KEEP_TRACES,
    errors,
    facts,
    folded,
    kind,
    remarks,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_SPANS = 4000  # of one story; more are counted, not sent
MOST_EVENTS = 100  # of one span
MOST_ATTRIBUTES = 100
LONGEST = 500  # characters of one value


def serialize(story: Story, *, most: int = MOST_SPANS) -> dict[str, Any]:
    """Return all that is drawn of a story; times are in seconds from its start."""
    return {
        "session": story.session_id or None,
        "title": f"Session {story.session_id}" if story.session_id else f"Trace {story.traces[0]}",
        "facts": facts(story),
        "errors": story.errors,
        "error_words": errors(story),
        "began": story.start / 1e6,
        "seconds": (story.end - story.start) / 1e9,
        "asked": time.time() * 1e3,
        "items": _Serializer(story, most).items(),
    }


class _Serializer:
    """Adds what is shown first, and of what is folded as much as there is room for."""

    def __init__(self, story: Story, most: int) -> None:
        self._story = story
        self._left = most
        self._start = story.start  # which looks at every span
        self._roots = {id(root) for root in story.roots}
        self._later: list[tuple[dict[str, Any], Fold]] = []

    def items(self) -> list[dict[str, Any]]:
        made = list(self._siblings(self._story.roots, KEEP_TRACES, "trace"))
        while self._later:
            item, group = self._later.pop(0)
            for node in group.nodes:
                if self._left <= 0:
                    item["cut"] += sum(1 for _ in node.walk())
                else:
                    item["items"].append(self._node(node))
        return made

    def _siblings(self, siblings: list[Node], keep: int, what: str) -> Iterator[dict[str, Any]]:
        cut = 0
        for item in fold(siblings, keep, kind=kind):
            if isinstance(item, Fold):
                made: dict[str, Any] = {"fold": folded(item, what), "items": [], "cut": 0}
                made["key"] = f"fold {item.nodes[0].span.parent_id} {item.name}"
                made["errors"] = sum(bool(node.error) for top in item.nodes for node in top.walk())
                self._later.append((made, item))
                yield made
            elif self._left <= 0:
                cut += sum(1 for _ in item.walk())
            else:
                yield self._node(item)
        if cut:
            key = f"cut {siblings[0].span_id}"
            yield {"fold": "… and others", "key": key, "items": [], "cut": cut, "errors": 0}

    def _node(self, node: Node) -> dict[str, Any]:
        self._left -= 1
        span = node.span
        orphan = [["its parent is not in the trace", "orphan"]]
        return {
            "key": node.span_id,
            "trace": span.trace_id,
            "parent": span.parent_id or None,
            "name": _short(span.name),
            "title": _short(title(node)),
            "service": _short(span.service),
            "instance": _short(span.instance),
            "kind": span.kind,
            "at": self._at(span.start),
            "seconds": span.seconds if node.state is State.ENDED else None,
            "state": node.state.name.lower(),
            "state_words": node.state.value,
            "error": _short(node.error) or None,
            "remarks": [
                *(orphan if node.orphaned and id(node) in self._roots else []),
                *(
                    [_short(remark.words), remark.sort]
                    for remark in remarks(self._story, node)
                    if not remark.link
                ),
            ],
            "links": [
                {
                    "trace": remark.link.trace_id,
                    "span": remark.link.span_id,
                    "name": self._story.named(remark.link) or None,
                    "words": _short(remark.words),
                }
                for remark in remarks(self._story, node)
                if remark.link
            ],
            "attributes": _pairs(span.attributes),
            "resource": _pairs(span.resource),
            "events": [
                {"name": _short(event.name), "at": self._at(event.time),
                 "attributes": _pairs(event.attributes)}
                for event in span.events[:MOST_EVENTS]
            ],
            "more_events": max(0, len(span.events) - MOST_EVENTS),
            "items": list(self._siblings(node.children, KEEP_SPANS, "span")),
        }  # fmt: skip

    def _at(self, moment: int) -> float:
        return (moment - self._start) / 1e9


def _pairs(attributes: Mapping[str, Any]) -> list[list[str]]:
    """Names and values as text: a browser's numbers lose digits."""
    pairs = [[_short(key), _short(value)] for key, value in sorted(attributes.items())]
    return pairs[:MOST_ATTRIBUTES]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} characters)"
