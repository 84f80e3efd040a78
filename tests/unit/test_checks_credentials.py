"""What is in the Secrets that a facility.yaml names, as far as it is looked at."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest

from af_otel.checks import run
from af_otel.checks._sources import Files
from af_otel.checks.context import Context
from tests.rendered import TEMPO, a_facility


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("hunter2", ""),
        ("hunter$2 {a}", ""),
        ("hunter$$2", "has `$$` or `${…}` in it"),
        ("hunter2${HOME}", "has `$$` or `${…}` in it"),
        ("hunter2\n", "holds what no HTTP header may"),
    ],
)
def test_a_header_is_sent_as_its_secret_has_it(value, what):
    """The Collector reads variables in what it is given, and drops all data for a line's end."""
    headers = {"X-Key": {"secret": "login", "key": "key"}}
    traces = {"tempo": TEMPO["tempo"] | {"headers": headers}}
    facility = a_facility(destinations={"traces": traces, "metrics": {"scrape": "annotations"}})
    secret = {"kind": "Secret", "data": {"key": base64.b64encode(value.encode()).decode()}}
    cluster = SimpleNamespace(host="", get=lambda _: secret)
    context = Context(facility, Files([]), cluster=cluster)
    report = run.run(context, run.chosen(["secrets-are"]))
    assert not report.unchecked
    found = [finding.what for finding in report.findings]
    assert bool(found) == bool(what)
    assert what in "".join(found)
    assert report.blocks == bool(what)
    assert "hunter" not in str(report.as_json())
