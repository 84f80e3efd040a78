"""A facility as its operator describes it: facility.yaml."""

from __future__ import annotations

from af_otel.facility.mistakes import FacilityInvalid
from af_otel.facility.model import Facility
from af_otel.facility.read import FILE, dump, json_schema, parse_text, read

__all__ = ["FILE", "Facility", "FacilityInvalid", "dump", "json_schema", "parse_text", "read"]
