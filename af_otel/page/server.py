"""The page's own server: its files, stories told here, and a narrow way to the two databases."""

from __future__ import annotations

import json
import re
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from af_otel.backends import find
from af_otel.backends.http import NotReachable, Refused
from af_otel.errors import AfOtelError
from af_otel.page import questions
from af_otel.page.files import static
from af_otel.page.proxy import ROUTES, Proxy
from af_otel.page.remember import RememberingTempo
from af_otel.page.told import told

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "127.0.0.1"
# Whoever makes a browser take a name of theirs for this address must not read what we say.
NAMES = {"127.0.0.1", "localhost", "[::1]"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STORIES_AT_ONCE = 2
IDLE = 60  # s; how long a browser may hold on to a connection
_JSON = "application/json"
_STORY = re.compile(r"/api/story/([^/]{1,500})")


@dataclass(frozen=True)
class Place:
    """The facility that is looked at; `links` are shown, by what they are called."""

    facility: str
    tempo: str
    prometheus: str
    links: Mapping[str, str]


class Server(ThreadingHTTPServer):
    """Answers GETs from this machine, and asks no more of it than a page needs."""

    daemon_threads = True

    def __init__(self, port: int, place: Place) -> None:
        super().__init__((HOST, port), _Handler)
        self.place = place
        self.proxy = Proxy({"Tempo": place.tempo, "Prometheus": place.prometheus})
        self.tempo = RememberingTempo(place.tempo)
        self.stories = threading.Semaphore(STORIES_AT_ONCE)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers that went away, and all of what is our own fault."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def about(self) -> dict[str, Any]:
        """What the page is to ask, and where else one may look."""
        return {
            "facility": self.place.facility,
            "links": dict(self.place.links),
            "names": questions.names(),
            "searches": questions.searches(),
            "charts": questions.charts(),
            "trainings": questions.trainings(),
        }


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "af-otel"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = IDLE

    def do_GET(self) -> None:
        host = (self.headers.get("Host") or "").rpartition(":")
        # Without a port the whole is the name.
        if (host[0] if host[2].isdecimal() else "".join(host)) not in NAMES:
            self._error(421, AfOtelError("This page is for browsers on its own machine"))
            return
        url = urlsplit(self.path)
        try:
            status, kind, body = self._answer(url.path, url.query)
        except NotReachable as error:
            self._error(502, error)
        except Refused as error:
            self._error(502, error)
        except AfOtelError as error:
            self._error(404, error)
        except Exception:
            why = "`af-otel logs page` says why"
            self._error(500, AfOtelError("The server of this page failed at this", where=why))
            raise
        else:
            self._send(status, kind, body)

    def _answer(self, path: str, query: str) -> tuple[int, str, bytes]:
        if path in ROUTES:
            status, body = self.server.proxy.get(ROUTES[path], parse_qsl(query))
            return status, _JSON, body
        if path == "/api/about":
            return 200, _JSON, _dumped(self.server.about())
        if story := _STORY.fullmatch(path):
            with self.server.stories:
                return 200, _JSON, _dumped(told(find.story(self.server.tempo, unquote(story[1]))))
        file = static().get("index.html" if path == "/" else path.removeprefix("/"))
        if file is None:
            raise AfOtelError("There is no such page", where=f"`{path[:100]}`", hint="open `/`")
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
