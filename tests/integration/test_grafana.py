"""What Grafana is given: the dashboard asks only what Prometheus and Tempo answer."""

from __future__ import annotations

import json

import httpx
import pytest
from af_otel_semconv import metrics

from af_otel.grafana.session import prometheus_name, session_dashboard
from af_otel.local import grafana

pytestmark = pytest.mark.facility


def test_every_panel_s_query_is_answered(facility):
    """By the real servers: a query with an error would be an empty panel for ever."""
    for panel in session_dashboard()["panels"]:
        for target in panel["targets"]:
            if "expr" in target:
                url, query = f"{facility.urls['prometheus']}/api/v1/query", target["expr"]
                answer = httpx.get(url, params={"query": query})
            else:
                url = f"{facility.urls['tempo']}/api/search"
                answer = httpx.get(url, params={"q": target["query"].replace("$session", ".+")})
            assert answer.status_code == 200, (panel["title"], answer.text)


def test_names_are_those_that_prometheus_gives_our_instruments():
    """The unit is appended, one in braces is not."""
    assert prometheus_name(metrics.CELL_DURATION) == "jupyter_cell_duration_seconds"
    assert prometheus_name(metrics.WORKER_COUNT) == "dask_worker_count"


def test_data_sources_and_dashboard_are_provisioned(tmp_path):
    """Each source leads to the other: a trace to its metrics, an exemplar to its trace."""
    grafana.provision(tmp_path, {"prometheus": "http://p", "tempo": "http://t"})
    content = json.loads((tmp_path / "provisioning/datasources/af-otel.yaml").read_text())
    prometheus, tempo = content["datasources"]
    assert prometheus["jsonData"]["exemplarTraceIdDestinations"][0]["datasourceUid"] == tempo["uid"]
    assert tempo["jsonData"]["tracesToMetrics"]["datasourceUid"] == prometheus["uid"]
    dashboards = json.loads((tmp_path / "provisioning/dashboards/af-otel.yaml").read_text())
    directory = dashboards["providers"][0]["options"]["path"]
    assert directory == str(tmp_path / "dashboards")
    assert json.loads((tmp_path / "dashboards/session.json").read_text())["title"] == "Sessions"
