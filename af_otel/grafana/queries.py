"""What a dashboard asks, as Prometheus and Tempo are asked: its variables resolved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Grafana's own, which no dashboard declares.
GRAFANAS = frozenset({"__range", "__rate_interval", "__interval"})
# Where each kind of source has a query's text.
_TEXTS = {"prometheus": "expr", "tempo": "query"}
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
    instant: bool

    @property
    def where(self) -> str:
        """What a person finds it by."""
        return f"{self.board}: {self.panel}"

    def resolved(self, values: Mapping[str, str]) -> str:
        """Return it as Grafana sends it; `values` are its variables'."""
        return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), self.text)


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What shows something: no headings."""
    for panel in board["panels"]:
        yield from panel.get("panels", ())
        if panel.get("type") != "row":  # one of the library has no type
            yield panel


def queries(board: Mapping[str, Any]) -> Iterator[Query]:
    """Every query of a dashboard that is for Prometheus or Tempo."""
    for panel in panels(board):
        for target in panel.get("targets") or ():
            source = source_of(target).get("type", "")
            if source in _TEXTS:
                text = target.get(_TEXTS[source], "")
                instant = bool(target.get("instant"))
                yield Query(board.get("title", ""), titled(panel), source, text, instant)


def titled(panel: Mapping[str, Any]) -> str:
    """A panel's title; Grafana leaves out one that is empty."""
    return str(panel.get("title", ""))


def source_of(place: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data source of a panel or query; older dashboards have its name alone."""
    source = place.get("datasource") or {}
    return {"uid": source} if isinstance(source, str) else source


def variables(text: str) -> set[str]:
    """The variables that a text has, Grafana's own left out."""
    return {found[1] for found in _VARIABLE.finditer(text)} - GRAFANAS


def metric_names(promql: str) -> set[str]:
    """The metrics that are asked for, also those by a pattern, which is shortened to a name."""
    named = {re.sub(r"\(_\w+\)\?", "", name) for name in _NAMES.findall(promql)}
    found = {name.replace(".+", "x") for name in named if not name.startswith("$")}
    left = _TEXT.sub('""', promql)
    while (less := _SET_ASIDE.sub(" ", left)) != left:
        left = less
    return found | (set(_WORD.findall(re.sub(r'""', "", left))) - _WORDS)


def unbalanced(query: str) -> str:
    """What of a query's brackets and quotes has no other half; empty where all have."""
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
