"""The page's own server: its files, its API for sessions and traces, and a way to Prometheus.

docs/page-api.md describes the API.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from af_otel.backends import find
from af_otel.backends.http import BackendError
from af_otel.backends.sessions import Cursor
from af_otel.errors import AfOtelError
from af_otel.page import queries
from af_otel.page.files import static
from af_otel.page.proxy import ROUTES, Proxy
from af_otel.page.serialize import serialize
from af_otel.page.trace_cache import CachedStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.backends.http import Api
    from af_otel.backends.store import TraceStore
    from af_otel.page.gate import Gate

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
QUERIES_AT_ONCE = 2  # of the trace store; each of them asks it several times
IDLE = 60  # s; how long a browser may hold on to a connection
DAY = 86400  # s
PAGE, MAX_PAGE = 50, 200  # sessions
_JSON = "application/json"
_LATEST = 1e11  # s since the epoch; a time beyond the year 5000 is in milliseconds
_SESSION = re.compile(r"/api/sessions/([^/]{1,500})")
_TRACE = re.compile(r"/api/traces/([0-9a-fA-F]{32})")


class BadRequest(AfOtelError):
    """A parameter of a request has a value that it cannot have."""


@dataclass(frozen=True)
class Site:
    """The facility that the page shows, and to whom; `links` lead elsewhere, by their titles."""

    facility: str
    store: TraceStore
    prometheus: Api
    links: Mapping[str, str]
    gate: Gate


class Server(ThreadingHTTPServer):
    """Answers GET requests from this machine, and asks the backends no more than a page needs."""

    daemon_threads = True

    def __init__(self, port: int, site: Site) -> None:
        super().__init__((HOST, port), _Handler)
        self.site = site
        self.proxy = Proxy(site.prometheus)
        self.store: TraceStore = CachedStore(site.store)
        self.queries = threading.Semaphore(QUERIES_AT_ONCE)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log errors of our own; ignore browsers that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def about(self) -> dict[str, Any]:
        """Return what the page shows besides sessions, and where else one may look."""
        return {
            "facility": self.site.facility,
            "store": self.store.name,
            "max_age": self.store.max_age,
            "links": dict(self.site.links),
            "charts": queries.charts(),
            "trainings": queries.trainings(),
        }

    def sessions(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of sessions."""
        now = time.time()
        end = _number(asked, "end", now)
        start = _number(asked, "start", end - DAY)
        limit = int(_number(asked, "limit", PAGE))
        if not 1 <= limit <= MAX_PAGE:
            raise BadRequest(f"`limit` has to be from 1 to {MAX_PAGE}")
        if start > end:
            raise BadRequest("`start` has to be before `end`")
        before = Cursor.parse(asked["before"]) if asked.get("before") else None
        start = max(start, now - self.store.max_age)
        found = self.store.sessions(start, max(start, end), before=before, limit=limit)
        return {
            "sessions": [session.as_json(now) for session in found.sessions],
            "next": found.next and str(found.next),
            "complete": found.complete,
        }


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "af-otel"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = IDLE

    def do_GET(self) -> None:
        if refusal := self.server.site.gate.refusal(self.headers):
            hint = "`af-otel status` prints the login"
            self._error(refusal.status, AfOtelError(refusal.what, hint=hint), **refusal.headers)
            return
        url = urlsplit(self.path)
        try:
            status, kind, body = self._answer(url.path, url.query)
        except BackendError as error:
            self._error(502, error)
        except find.NotStored as error:
            self._error(404, error)
        except AfOtelError as error:
            self._error(400, error)
        except Exception:
            why = "`af-otel logs page` says why"
            self._error(500, AfOtelError("The server of this page failed at this", where=why))
            raise
        else:
            self._send(status, kind, body)

    def _answer(self, path: str, query: str) -> tuple[int, str, bytes]:
        if path in ROUTES:
            status, body = self.server.proxy.get(path, parse_qsl(query))
            return status, _JSON, body
        if path == "/api/about":
            return 200, _JSON, _dumped(self.server.about())
        if path == "/api/sessions":
            with self.server.queries:
                return 200, _JSON, _dumped(self.server.sessions(dict(parse_qsl(query))))
        if session := _SESSION.fullmatch(path):
            with self.server.queries:
                asked = unquote(session[1])
                read = find.story if asked == find.LAST else find.session_story
                return 200, _JSON, _dumped(serialize(read(self.server.store, asked)))
        if trace := _TRACE.fullmatch(path):
            with self.server.queries:
                story = find.trace_story(self.server.store, trace[1])
                return 200, _JSON, _dumped(serialize(story))
        file = static().get("index.html" if path == "/" else path.removeprefix("/"))
        if file is None:
            raise find.NotStored("There is no such page", where=f"`{path[:100]}`", hint="open `/`")
        return 200, *file

    def refuse(self) -> None:
        """Nothing is changed from here."""
        # A body that came along would be taken for the next request.
        self.close_connection = True
        self._error(405, AfOtelError(f"`{self.command}` is not for this page"), Allow="GET")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = refuse  # noqa: N815 - theirs

    def _error(self, status: int, error: AfOtelError, **headers: str) -> None:
        content = {"what": error.what, "where": error.where, "hint": error.hint}
        server = getattr(error, "server", "")
        self._send(status, _JSON, _dumped({"error": {"server": server, **content}}), **headers)

    def _send(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        length = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in {**HEADERS, **length, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - theirs
        """Say nothing: a page that looks every few seconds would fill the disk."""


def _dumped(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _number(asked: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(asked.get(name) or default)
    except ValueError:
        value = math.nan
    if not 0 <= value < _LATEST:
        raise BadRequest(f"`{name}` has to be a number; times are in seconds since the epoch")
    return value
