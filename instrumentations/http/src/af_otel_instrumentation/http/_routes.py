"""The route template of each request that a Tornado application serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from af_otel_instrumentation.http._templates import template
from af_otel_semconv.attributes import OTHER
from tornado.routing import PathMatches, Router

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

_KEY = "_af_otel_routes"


class Route(NamedTuple):
    """A pattern that leads to a handler's class, and its template."""

    pattern: re.Pattern[str] | None
    template: str


_UNKNOWN = (Route(None, OTHER),)


def route_of(handler: Any) -> str:
    """Return the template of the pattern that led to this handler; `other` if none did.

    Tornado does not keep the rule that matched. Nearly every class of handlers has one pattern, so
    the paths need not be matched again.
    """
    application = handler.application
    try:
        routes = application.__dict__[_KEY]
        found = routes[type(handler)]
    except KeyError:
        # An extension may have added handlers since.
        routes = application.__dict__[_KEY] = _read(application)
        found = routes.setdefault(type(handler), _UNKNOWN)
    if len(found) == 1:
        return str(found[0].template)
    path = handler.request.path
    for route in found:
        if route.pattern.match(path):
            return str(route.template)
    return OTHER


def _read(application: Any) -> dict[type, tuple[Route, ...]]:
    base_url = application.settings.get("base_url", "/")
    found: dict[type, tuple[Route, ...]] = {
        known: _UNKNOWN for known, routes in application.__dict__.get(_KEY, {}).items()
    }
    read: dict[type, list[Route]] = {}
    for handler, pattern in _rules(application.default_router, {id(application)}):
        read.setdefault(handler, []).append(Route(pattern, template(pattern.pattern, base_url)))
    found.update({handler: tuple(routes) for handler, routes in read.items()})
    return found


def _rules(router: Any, seen: set[int]) -> Iterator[tuple[type, re.Pattern[str]]]:
    for rule in getattr(router, "rules", ()):
        if isinstance(rule.target, Router) and id(rule.target) not in seen:
            seen.add(id(rule.target))
            yield from _rules(rule.target, seen)
        elif isinstance(rule.target, type) and isinstance(rule.matcher, PathMatches):
            yield rule.target, rule.matcher.regex
