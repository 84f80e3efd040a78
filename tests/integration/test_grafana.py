"""What Grafana is given: sources that lead to each other, and dashboards in a folder."""

from __future__ import annotations

import json

from af_otel_semconv import metrics
from rendered import needs_dashboards

from af_otel.grafana.dashboards import FOLDER, NAMES
from af_otel.grafana.names import prometheus_name
from af_otel.local import grafana


def test_names_are_those_that_prometheus_gives_our_instruments():
    """The unit is appended, one in braces is not."""
    assert prometheus_name(metrics.CELL_DURATION) == "jupyter_cell_duration_seconds"
    assert prometheus_name(metrics.WORKER_COUNT) == "dask_worker_count"


@needs_dashboards
def test_data_sources_and_dashboards_are_provisioned(tmp_path):
    """Each source leads to the other: a trace to its metrics, an exemplar to its trace."""
    grafana.provision(tmp_path, {"prometheus": "http://p", "tempo": "http://t"})
    content = json.loads((tmp_path / "provisioning/datasources/af-otel.yaml").read_text())
    prometheus, tempo = content["datasources"]
    assert prometheus["jsonData"]["exemplarTraceIdDestinations"][0]["datasourceUid"] == tempo["uid"]
    to_metrics = tempo["jsonData"]["tracesToMetrics"]
    assert to_metrics["datasourceUid"] == prometheus["uid"]
    # Another facility's spans of the same service are not such spans.
    labels = [tag["value"] for tag in to_metrics["tags"]]
    assert labels == ["service_name", "service_namespace"]
    dashboards = json.loads((tmp_path / "provisioning/dashboards/af-otel.yaml").read_text())
    (provider,) = dashboards["providers"]
    assert provider["folder"] == FOLDER
    assert provider["options"]["path"] == str(tmp_path / "dashboards")
    written = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("dashboards/*")}
    assert set(written) == set(NAMES)
    for board in written.values():
        first = {item["name"]: item.get("current", {}) for item in board["templating"]["list"]}
        assert first["prometheus"]["value"] == prometheus["uid"]
        assert first["tempo"]["value"] == tempo["uid"]
