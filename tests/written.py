"""A facility.yaml to write upon, and what is said to be wrong in one."""

from __future__ import annotations

import pytest

from af_otel.facility import FacilityInvalid, parse_text

LEAST = """\
name: coffea-casa
hub:
  namespace: jhub
destinations:
  traces:
    tempo:
      endpoint: http://tempo.monitoring:4318
  metrics:
    remote_write:
      endpoint: http://prometheus.monitoring:9090/api/v1/write
"""


def mistakes(text, **options):
    with pytest.raises(FacilityInvalid) as caught:
        parse_text(text, "facility.yaml", **options)
    return caught.value.mistakes


def only(text, **options):
    found = mistakes(text, **options)
    assert len(found) == 1, [str(item) for item in found]
    return found[0]
