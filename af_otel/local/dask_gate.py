"""Let only the facility's owner see the dashboards and metrics of Dask, which preloads this.

Dask has no login of its own for them. The check comes before a request is routed, so that it also
holds for Bokeh's application and for websockets.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from distributed.http.routing import RoutingApplication
from tornado.web import RequestHandler

from af_otel.local.plan import KEYS
from af_otel.page.gate import Gate, Refusal

_gate = Gate.read(Path(os.environ[KEYS]))
_find_handler = RoutingApplication.find_handler


class _Refused(RequestHandler):  # type: ignore[misc] # tornado ships no types
    def initialize(self, refusal: Refusal) -> None:
        self._refusal = refusal

    def prepare(self) -> None:
        """Answer whatever the method is."""
        self.set_status(self._refusal.status)
        for name, value in self._refusal.headers.items():
            self.set_header(name, value)
        self.finish(self._refusal.what)


def _find_allowed_handler(self: Any, request: Any, **kwargs: Any) -> Any:
    refusal = _gate.refusal(request.headers)
    if refusal is None:
        return _find_handler(self, request, **kwargs)
    return self.get_handler_delegate(request, _Refused, {"refusal": refusal})


RoutingApplication.find_handler = _find_allowed_handler
# Dask would take another port, and whoever has this one would be asked in its place.
warnings.filterwarnings("error", message=r"(?s)Port \d+ is already in use", category=UserWarning)
