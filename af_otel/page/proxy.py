"""The way from the page to Tempo and Prometheus: some paths, some parameters, GET, bounded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from af_otel.backends.http import NotReachable, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TIMEOUT = 10  # s
LARGEST = 16_000_000  # bytes of an answer: a browser that draws more is no help


@dataclass(frozen=True)
class Route:
    """One path that may be asked, and what it may be asked."""

    server: str
    path: str
    parameters: frozenset[str]


ROUTES = {
    "/tempo/api/search": Route(
        "Tempo", "/api/search", frozenset({"q", "start", "end", "limit", "spss"})
    ),
    "/prometheus/api/v1/query": Route(
        "Prometheus", "/api/v1/query", frozenset({"query", "time", "limit"})
    ),
    "/prometheus/api/v1/query_range": Route(
        "Prometheus", "/api/v1/query_range", frozenset({"query", "start", "end", "step", "limit"})
    ),
}


@dataclass(frozen=True)
class Proxy:
    """Asks the servers at `bases` (by their names); a proxy set for downloads is left out."""

    bases: Mapping[str, str]
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=TIMEOUT, trust_env=False)
    )

    def get(self, route: Route, query: Iterable[tuple[str, str]]) -> tuple[int, bytes]:
        """Status and body, which is JSON; or one of the errors that say which server failed."""
        base = self.bases[route.server]
        asked = [(key, value) for key, value in query if key in route.parameters]
        try:
            with self.client.stream(
                "GET", base.rstrip("/") + route.path, params=dict(asked)
            ) as answer:  # fmt: skip
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > LARGEST:
                        raise Refused(
                            route.server,
                            f"{route.server} has more to say than can be drawn",
                            status=413,
                            where=f"over {LARGEST / 1e6:.0f} MB",
                            hint="choose a shorter time",
                        )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotReachable(route.server, base, error) from error
        try:
            json.loads(body)
        except ValueError:
            raise Refused(
                route.server,
                f"{route.server} answered {answer.status_code}",
                status=answer.status_code,
                where=" ".join(body[:300].decode(errors="replace").split()) or base,
            ) from None
        return answer.status_code, body
