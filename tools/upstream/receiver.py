"""A receiver that accepts all telemetry and keeps only the names of the services."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Receiver(ThreadingHTTPServer):
    """The server; what is left of a suite may keep connections open."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Accept)
        self.services: set[str] = set()

    @property
    def endpoint(self) -> str:
        """Its address, as the setting of an injected process has it."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Accept(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.services.update(_services(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def _services(body: dict[str, Any]) -> Iterator[str]:
    """Yield `service.name` of each resource in an OTLP request."""
    for resources in body.values():
        for each in resources:
            for attribute in each["resource"]["attributes"]:
                if attribute["key"] == "service.name":
                    yield attribute["value"]["stringValue"]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve on a free port until the end of the block."""
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
