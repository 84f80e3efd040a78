"""The page's way to Prometheus: two paths, a few parameters, GET only, bounded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel.backends.http import Api, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "/prometheus"
# What may be asked, and with which parameters.
ROUTES = {
    f"{PREFIX}/api/v1/query": frozenset({"query", "time", "limit"}),
    f"{PREFIX}/api/v1/query_range": frozenset({"query", "start", "end", "step", "limit"}),
}


@dataclass(frozen=True)
class Proxy:
    """Passes the page's queries on to a Prometheus."""

    prometheus: Api

    def get(self, path: str, query: Iterable[tuple[str, str]]) -> tuple[int, bytes]:
        """Return the status and the JSON with which Prometheus answers one of `ROUTES`.

        Raises
        ------
        NotReachable
            Prometheus does not answer in time.
        Refused
            Its answer is not JSON, or too large.
        """
        allowed = {key: value for key, value in query if key in ROUTES[path]}
        answer, body = self.prometheus.fetch(path.removeprefix(PREFIX), allowed)
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(
                self.prometheus.server,
                f"{self.prometheus.server} answered {answer.status_code} without JSON",
                status=answer.status_code,
                where=self.prometheus.called,
                hint="is this the address of Prometheus?",
            ) from None
        return answer.status_code, body
