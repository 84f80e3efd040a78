"""Rules that our dashboards follow, and what breaks them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from af_otel.grafana import names
from af_otel.grafana.queries import (
    metric_names,
    panels,
    queries,
    source_of,
    titled,
    unbalanced,
    variables,
)
from af_otel.grafana.sources import UID, UID_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.grafana.queries import Query

LONGEST_ABOUT = 300  # characters; longer descriptions are not read


def lint(boards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return everything that is wrong with these dashboards, each with its location."""
    found = [problem for name, board in boards.items() for problem in _board(name, board)]
    uids = Counter(board.get("uid") for board in boards.values())
    twice = {uid: count for uid, count in uids.items() if uid and count > 1}
    return [*found, *(f"{uid}: {count} dashboards have this uid" for uid, count in twice.items())]


def _board(name: str, board: Mapping[str, Any]) -> Iterator[str]:
    uid = board.get("uid") or ""
    if not UID.fullmatch(uid):
        yield f"{name}: its uid is not 1 to {UID_LENGTH} letters, digits, `-` and `_`: `{uid}`"
    if not board.get("description"):
        yield f"{name}: it has no description"
    if not board.get("links"):
        yield f"{name}: no link leads to other dashboards"
    declared = {each["name"]: each for each in board.get("templating", {}).get("list", ())}
    titles = Counter(filter(None, map(titled, panels(board))))
    yield from (f"{name}: {count} panels are `{it}`" for it, count in titles.items() if count > 1)
    for panel in panels(board):
        where = f"{name}: {titled(panel)}"
        yield from (f"{where}: {problem}" for problem in _panel(panel))
    for query in queries(board):
        where = f"{name}: {query.panel}"
        for variable in sorted(variables(query.text) - declared.keys()):
            yield f"{where}: `${variable}` is not one of its variables"
        rules = _jaeger(query, declared) if query.source == "jaeger" else _query(query)
        yield from (f"{where}: {problem}" for problem in rules)


def _panel(panel: Mapping[str, Any]) -> Iterator[str]:
    if panel.get("type") == "text":
        return
    about = panel.get("description", "")
    if not about:
        yield "it has no description"
    elif len(about) > LONGEST_ABOUT:
        yield f"its description has {len(about)} characters, more than {LONGEST_ABOUT}"
    if not panel.get("fieldConfig", {}).get("defaults", {}).get("unit"):
        yield "it has no unit"
    if not panel.get("targets"):
        yield "it has no query"
    for place in (panel, *(panel.get("targets") or ())):
        uid = source_of(place).get("uid", "")
        if not uid.startswith("$"):
            yield f"its data source `{uid}` is not a variable"


def _query(query: Query) -> Iterator[str]:
    if sign := unbalanced(query.text):
        yield f"`{sign}` has no counterpart in `{query.text}`"
        return
    if "$facility" not in query.text:
        yield f"`{query.text}` does not filter by facility"
    if query.source == "prometheus":
        for metric in sorted(metric_names(query.text)):
            if not names.is_known(metric):
                yield f"`{metric}` is not a known metric"


def _jaeger(query: Query, declared: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    search = json.loads(query.text)
    if search.get("query"):  # a lookup by trace id
        return
    tags = search.get("tags", "")
    if sign := unbalanced(tags):
        yield f"`{sign}` has no counterpart in `{tags}`"
    if "$facility" not in tags:
        yield f"`{tags}` does not filter by facility"
    if not search.get("service"):
        yield "its search names no service, which Jaeger requires"
    for name in sorted(variables(tags) & declared.keys()):
        if declared[name].get("multi") or declared[name].get("includeAll"):
            yield f"`${name}` may have several values, but Jaeger compares `{tags}` for equality"
