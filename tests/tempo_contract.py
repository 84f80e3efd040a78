"""A server that gives the answers which a real Tempo once gave, to the same questions only."""

from __future__ import annotations

import contextlib
import http.server
import json
import urllib.parse
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parent / "contract" / "tempo"
# The sessions were recorded on this day; a search's `start` and `end` are no part of a question.
RECORDED_AT = 1_796_021_000.0  # seconds since the epoch
SESSIONS = (
    "4ec38ace69b04f628964c74f482e69b5",
    "e69bf1e0c66f47c6be9f1a1b09fdaa0a",
    "dcd3b17e3ce3498a8f1db339d35522e5",
)
_UNTOLD = {"start", "end"}


@cache
def answers() -> dict[tuple[str, frozenset[tuple[str, str]]], dict[str, Any]]:
    """The recorded answers by question."""
    recorded = json.loads((RECORDED / "answers.json").read_text(encoding="utf-8"))
    return {_question(item["path"], item["params"] or {}): item for item in recorded}


def sent() -> list[bytes]:
    """The export requests of the recorded sessions, as OTLP JSON."""
    return (RECORDED / "sent.jsonl").read_bytes().splitlines()


def trace_ids() -> list[str]:
    """The traces that Tempo was asked for and had."""
    return [
        path.rpartition("/")[2]
        for (path, _), answer in answers().items()
        if path.startswith("/api/traces/") and answer["status"] == 200
    ]


def _question(path: str, params: dict[str, Any]) -> tuple[str, frozenset[tuple[str, str]]]:
    asked = {(name, str(value)) for name, value in params.items() if name not in _UNTOLD}
    return path, frozenset(asked)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        params = dict(urllib.parse.parse_qsl(url.query))
        answer = answers().get(_question(url.path, params))
        if answer is None:
            # A question that Tempo was never asked is a failure of the test.
            self.server.unknown.append(f"{url.path} {params}")
            answer = {"status": 501, "content_type": "text/plain", "body": "not recorded"}
        body = answer["body"]
        content = body if isinstance(body, str) else json.dumps(body)
        self.send_response(answer["status"])
        self.send_header("Content-Type", answer["content_type"] or "text/plain")
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *args):
        """Say nothing."""


@contextlib.contextmanager
def recorded_tempo() -> Iterator[str]:
    """The address of a server with the recorded answers; a question that is not there fails."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.unknown = []
    with serving(server) as url:
        yield url
    assert not server.unknown, server.unknown
