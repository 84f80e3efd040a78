"""Grafana's data sources and dashboards: linked to each other, and answered by a real Jaeger."""

from __future__ import annotations

import json

import pytest
from af_otel_semconv import metrics
from otlp import new_span, resource_spans
from panels import jaeger_traces
from rendered import needs_dashboards

from af_otel.grafana.dashboards import FOLDER, NAMES, dashboards
from af_otel.grafana.names import prometheus_name
from af_otel.grafana.queries import queries
from af_otel.grafana.sources import sources
from af_otel.local import grafana
from servers import ROOT, post_json, running_jaeger

CONTRACT = ROOT / "tests" / "contract" / "tempo"
BEGAN, ENDED = 1_796_000_000, 1_796_100_000  # s; the recorded sessions are between these
FACILITY, SESSION = "state", "dcd3b17e3ce3498a8f1db339d35522e5"


def test_names_are_those_that_prometheus_gives_our_instruments():
    """A unit is appended to the name, but not one in braces."""
    assert prometheus_name(metrics.CELL_DURATION) == "jupyter_cell_duration_seconds"
    assert prometheus_name(metrics.WORKER_COUNT) == "dask_worker_count"


@needs_dashboards
@pytest.mark.parametrize(
    ("store", "labels"),
    [
        ("tempo", ["service_name", "service_namespace"]),
        ("jaeger", ["service_namespace", "span_name"]),
    ],
)
def test_data_sources_and_dashboards_are_provisioned(tmp_path, store, labels):
    """Each data source links to the other: a trace to its metrics, an exemplar to its trace."""
    grafana.provision(tmp_path, {"prometheus": "http://p", store: "http://t"})
    content = json.loads((tmp_path / "provisioning/datasources/af-otel.yaml").read_text())
    prometheus, traces = content["datasources"]
    assert (traces["type"], traces["url"]) == (store, "http://t")
    exemplars = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars[0]["datasourceUid"] == traces["uid"]
    to_metrics = traces["jsonData"]["tracesToMetrics"]
    assert to_metrics["datasourceUid"] == prometheus["uid"]
    assert [tag["value"] for tag in to_metrics["tags"]] == labels
    provider_file = tmp_path / "provisioning/dashboards/af-otel.yaml"
    (provider,) = json.loads(provider_file.read_text())["providers"]
    assert provider["folder"] == FOLDER
    assert provider["options"]["path"] == str(tmp_path / "dashboards")
    written = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("dashboards/*")}
    assert set(written) == set(NAMES)
    for board in written.values():
        first = {item["name"]: item.get("current", {}) for item in board["templating"]["list"]}
        assert first["prometheus"]["value"] == prometheus["uid"]
        assert first[store]["value"] == traces["uid"]


def test_grafana_searches_jaeger_for_all_times_by_trace_id():
    """`traceIdTimeParams`, even a disabled one, would restrict lookups to a time range."""
    (source,) = sources({"jaeger": "http://j"})
    assert source["jsonData"] == {"nodeGraph": {"enabled": True}}


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    """A Jaeger that has the recorded sessions."""
    with running_jaeger(tmp_path_factory.mktemp("jaeger")) as jaeger:
        for line in (CONTRACT / "sent.jsonl").read_text().splitlines():
            post_json(f"{jaeger.otlp_endpoint}/v1/traces", json.loads(line))
        yield jaeger


@pytest.fixture(scope="module")
def tempos():
    """The ids of the traces that a Tempo answered with, by TraceQL."""
    answers = json.loads((CONTRACT / "answers.json").read_text())
    return {
        answer["params"]["q"]: {trace["traceID"].zfill(32) for trace in answer["body"]["traces"]}
        for answer in answers
        if answer["path"] == "/api/search" and answer["status"] == 200
    }


def found(jaeger, board, panel, **chosen):
    """The ids of the traces that a panel shows."""
    values = {"facility": FACILITY, "session": SESSION, "slower": "100ms",
              "service": "jupyter-server", "scheduler": "dask-scheduler", **chosen}  # fmt: skip
    (query,) = (
        query for query in queries(dashboards(traces="jaeger")[board]) if query.panel == panel
    )
    return jaeger_traces(jaeger.url, query.resolved(values), BEGAN, ENDED)


def recorded(tempos, board, panel):
    """The ids of the traces that Tempo answered with for the panel of the same title."""
    values = {"facility": FACILITY, "session": SESSION, "slower": "100ms"}
    (query,) = (query for query in queries(dashboards()[board]) if query.panel == panel)
    return tempos[query.resolved(values)]


@needs_dashboards
@pytest.mark.parametrize(
    ("board", "panel"),
    [
        ("sessions", "Sessions by their spawn"),
        ("sessions", "Spawn"),
        ("sessions", "Kernels"),
        ("sessions", "Cells"),
        ("sessions", "Computations"),
        ("spawn", "Slow spawns"),
        ("kernels", "Failed cells"),
        ("dask", "Failed computations"),
        ("dask", "Slow computations"),
    ],
)
def test_jaeger_shows_the_traces_that_tempo_shows(jaeger, tempos, board, panel):
    """For the recorded sessions, the panel lists exactly the same traces."""
    assert set(found(jaeger, board, panel)) == recorded(tempos, board, panel)


@needs_dashboards
def test_jaeger_also_shows_what_is_unfinished(jaeger):
    """Jaeger cannot exclude the marker of an open span, so its trace is listed, too."""
    attributes = {"session.id": "open", "af_otel.pending": True}
    trace = send_a_cell(jaeger, "busy", attributes=attributes)

    assert found(jaeger, "sessions", "Cells", facility="busy", session="open") == [trace]


@needs_dashboards
def test_a_failed_cell_is_found_in_jaeger(jaeger):
    """Jaeger stores a span's error status as the tag `error`; a cell without it is not listed."""
    send_a_cell(jaeger, "failing")
    failed = send_a_cell(jaeger, "failing", status={"code": 2})

    assert found(jaeger, "kernels", "Failed cells", facility="failing") == [failed]


def send_a_cell(jaeger, facility, **fields):
    """Send the run of a cell to Jaeger; return the id of its trace."""
    times = {"startTimeUnixNano": BEGAN * 10**9, "endTimeUnixNano": (BEGAN + 1) * 10**9}
    span = new_span("run cell", **{name: str(time) for name, time in times.items()}, **fields)
    resource = {"service.name": "jupyter-kernel", "service.namespace": facility}
    body = {"resourceSpans": [resource_spans([span], resource)]}
    post_json(f"{jaeger.otlp_endpoint}/v1/traces", body)
    return span["traceId"]


@needs_dashboards
def test_jaegers_durations_are_those_of_any_span(jaeger, tempos):
    """With Badger, a quick cell is listed as slow if it waited long enough in the queue."""
    shown = set(found(jaeger, "kernels", "Slow cells"))
    of_tempo = recorded(tempos, "kernels", "Slow cells")
    assert of_tempo < shown
    for trace in shown - of_tempo:
        spans = jaeger.client.trace(trace)
        assert max(span.seconds for span in spans if span.name != "run cell") >= 0.1
    assert found(jaeger, "kernels", "Slow cells", slower="1h") == []


@needs_dashboards
@pytest.mark.parametrize(
    ("board", "panel"), [("overview", "Latest failures"), ("sessions", "Sessions with failures")]
)
def test_failures_in_jaeger_are_those_of_one_service(jaeger, tempos, board, panel):
    """Over all services that can be chosen, the panel lists the same traces as with Tempo."""
    (variable,) = (
        each
        for each in dashboards(traces="jaeger")[board]["templating"]["list"]
        if each["name"] == "service"
    )
    by_service = {
        service: set(found(jaeger, board, panel, service=service))
        for service in variable["query"].split(",")
    }
    assert set.union(*by_service.values()) == recorded(tempos, board, panel)
    assert by_service["jupyter-server"]
    assert by_service["dask-scheduler"]
    assert not by_service["jupyterhub"]


@needs_dashboards
def test_jaeger_shows_one_facility_and_one_session(jaeger):
    """Another facility has no traces, and neither has a session that is not chosen yet."""
    for name, board in dashboards(traces="jaeger").items():
        for query in queries(board):
            if query.source == "jaeger":
                assert found(jaeger, name, query.panel, facility="elsewhere") == []
    for panel in ("Spawn", "Kernels", "Cells", "Computations"):
        assert found(jaeger, "sessions", panel, session="") == []


@needs_dashboards
def test_jaeger_lists_the_newest_traces_first(jaeger):
    """When there are more than a panel shows, those that are left out are older."""
    traces = found(jaeger, "sessions", "Sessions by their spawn")
    starts = [min(span.start for span in jaeger.client.trace(trace)) for trace in traces]
    assert len(starts) == 3
    assert starts == sorted(starts, reverse=True)
