"""Serve the metrics of a user's Jupyter server to those that the facility's gate lets in.

A Jupyter server extension. The server's own settings know only metrics for everybody, and metrics
for tokens that also open the server.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import prometheus_client
from jupyter_server.utils import url_path_join
from tornado.web import RequestHandler

from af_otel.local.plan import KEYS
from af_otel.page.gate import Gate


class _Metrics(RequestHandler):  # type: ignore[misc] # tornado ships no types
    def initialize(self, gate: Gate) -> None:
        self._gate = gate

    def get(self) -> None:
        if self._gate.refusal(self.request.headers) is not None:
            self.send_error(403)
            return
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.write(prometheus_client.generate_latest())


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    path = url_path_join(server.base_url, "/metrics")
    gate = Gate.read(Path(os.environ[KEYS]))
    # What is added to a host comes before the server's own handlers.
    server.web_app.add_handlers(".*$", [(path, _Metrics, {"gate": gate})])
