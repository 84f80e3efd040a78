"""What every dashboard of ours keeps to, as a list of what one does not."""

from __future__ import annotations

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

LONGEST_ABOUT = 300  # characters; what is longer nobody reads


def lint(boards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return all that is wrong with these dashboards, by where it is."""
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
    declared = {each["name"] for each in board.get("templating", {}).get("list", ())}
    titles = Counter(filter(None, map(titled, panels(board))))
    yield from (f"{name}: {count} panels are `{it}`" for it, count in titles.items() if count > 1)
    for panel in panels(board):
        where = f"{name}: {titled(panel)}"
        yield from (f"{where}: {problem}" for problem in _panel(panel))
    for query in queries(board):
        for variable in sorted(variables(query.text) - declared):
            yield f"{name}: {query.panel}: `${variable}` is no variable of it"
        yield from (f"{name}: {query.panel}: {problem}" for problem in _query(query))


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
        yield "it asks nothing"
    for place in (panel, *(panel.get("targets") or ())):
        uid = source_of(place).get("uid", "")
        if not uid.startswith("$"):
            yield f"its data source `{uid}` is no variable"


def _query(query: Any) -> Iterator[str]:
    if sign := unbalanced(query.text):
        yield f"`{sign}` has no other half in `{query.text}`"
        return
    if "$facility" not in query.text:
        yield f"the facility is not asked for in `{query.text}`"
    if query.source == "prometheus":
        for metric in sorted(metric_names(query.text)):
            if not names.is_known(metric):
                yield f"nobody is known to write `{metric}`"
