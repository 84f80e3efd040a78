"""The queries of a dashboard, as its data sources receive them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Grafana's own variables, which no dashboard declares.
GRAFANAS = frozenset({"__range", "__rate_interval", "__interval"})
# The fields of a query by the kind of its data source. Of several, the text is a JSON object.
_FIELDS = {
    "prometheus": ("expr",),
    "tempo": ("query",),
    "jaeger": ("service", "operation", "tags", "minDuration", "maxDuration", "limit", "query"),
}
_VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAMES = re.compile(r'__name__=~?"([^"]*)"')
_LABELS = r"\{[^{}]*\}|\[[^\[\]]*\]|\b(?:by|without|on|ignoring)\s*\([^()]*\)"
_SET_ASIDE = re.compile(_LABELS + r"|offset \S+")
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])")
_PAIRS = {")": "(", "}": "{", "]": "["}
_WORDS = frozenset({"or", "and", "unless", "offset", "bool"})


class Query(NamedTuple):
    """One query of one panel."""

    board: str
    panel: str
    source: str
    text: str
    """PromQL, TraceQL, or the fields of a search in Jaeger as JSON."""
    instant: bool

    @property
    def where(self) -> str:
        """Its dashboard and panel, for messages."""
        return f"{self.board}: {self.panel}"

    def resolved(self, values: Mapping[str, str]) -> str:
        """Return the text with the values of variables, as Grafana sends it."""
        return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), self.text)


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, without headings."""
    for panel in board["panels"]:
        yield from panel.get("panels", ())
        if panel.get("type") != "row":  # a library panel has no type
            yield panel


def queries(board: Mapping[str, Any]) -> Iterator[Query]:
    """Yield every query of a dashboard to Prometheus or a trace store."""
    for panel in panels(board):
        for target in panel.get("targets") or ():
            source = source_of(target).get("type", "")
            if source in _FIELDS:
                text = _text(source, target)
                instant = bool(target.get("instant"))
                yield Query(board.get("title", ""), titled(panel), source, text, instant)


def _text(source: str, target: Mapping[str, Any]) -> str:
    fields = _FIELDS[source]
    if len(fields) == 1:
        return str(target.get(fields[0], ""))
    return json.dumps({field: target[field] for field in fields if field in target})


def titled(panel: Mapping[str, Any]) -> str:
    """Return the title of a panel; Grafana omits an empty one."""
    return str(panel.get("title", ""))


def source_of(place: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data source of a panel or query; older dashboards have just its name."""
    source = place.get("datasource") or {}
    return {"uid": source} if isinstance(source, str) else source


def variables(text: str) -> set[str]:
    """Return the variables in a text, without Grafana's own."""
    return {found[1] for found in _VARIABLE.finditer(text)} - GRAFANAS


def metric_names(promql: str) -> set[str]:
    """Return the metrics in a query; a pattern is shortened to a name that it matches."""
    named = {re.sub(r"\(_\w+\)\?", "", name) for name in _NAMES.findall(promql)}
    found = {name.replace(".+", "x") for name in named if not name.startswith("$")}
    left = _TEXT.sub('""', promql)
    while (less := _SET_ASIDE.sub(" ", left)) != left:
        left = less
    return found | (set(_WORD.findall(re.sub(r'""', "", left))) - _WORDS)


def unbalanced(query: str) -> str:
    """Return the first bracket or quote of a query that has no counterpart, or an empty string."""
    bare = _TEXT.sub("", query)
    if '"' in bare:
        return '"'
    opened: list[str] = []
    for sign in bare:
        if sign in _PAIRS.values():
            opened.append(sign)
        elif sign in _PAIRS and (not opened or opened.pop() != _PAIRS[sign]):
            return sign
    return opened[-1] if opened else ""
