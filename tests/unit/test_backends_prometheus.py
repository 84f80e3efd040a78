"""A real Prometheus' answers as plain data."""

from __future__ import annotations

import math

import pytest

from af_otel.backends.http import NotReachable, Refused
from af_otel.backends.prometheus import Prometheus, Series
from servers import free_port, running_prometheus

TWO = """
label_replace(vector(3), "service", "a", "", "") or label_replace(vector(4), "service", "b", "", "")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield Prometheus(running.url)


def test_instant_vector_is_series_with_labels(server):
    """One value each, at the time asked for."""
    assert server.query(TWO, at=1_800_000_000) == [
        Series({"service": "a"}, ((1_800_000_000.0, 3.0),)),
        Series({"service": "b"}, ((1_800_000_000.0, 4.0),)),
    ]


def test_scalar_is_one_series_without_labels(server):
    """PromQL has numbers beside vectors."""
    assert [(series.labels, series.value) for series in server.query("6 * 7")] == [({}, 42.0)]


def test_range_has_a_point_for_each_step(server):
    """From start to end, both included."""
    (series,) = server.query_range("vector(time())", 1_800_000_000, 1_800_000_020, 10)

    assert [value for _, value in series.points] == [1.8e9, 1.8e9 + 10, 1.8e9 + 20]
    assert series.value == 1.8e9 + 20


def test_total_of_what_was_never_counted_is_nothing(server):
    """A counter that has not begun is 0, the sum of others is theirs."""
    assert server.total("never_counted_total") == 0
    assert server.total(TWO) == 7


def test_not_a_number_is_read(server):
    """A ratio without events is NaN to Prometheus, and to us."""
    (series,) = server.query("vector(0) / vector(0)")

    assert math.isnan(series.value)


def test_query_that_cannot_be_read_is_quoted(server):
    """The error has Prometheus' own words."""
    with pytest.raises(Refused, match="Prometheus answered 400") as error:
        server.query("sum(")

    assert "parse error" in error.value.where


def test_prometheus_that_is_gone_is_named():
    """The address that does not answer is in the error."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotReachable, match=f"Prometheus does not answer at `{url}`"):
        Prometheus(url).query("up")
