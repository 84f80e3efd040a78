"""A facility as it is found on a live cluster."""

from __future__ import annotations

from af_otel.facility.discovery.found import Found, discover
from af_otel.facility.discovery.write import write

__all__ = ["Found", "discover", "write"]
