"""The trace store of a facility.yaml: three kinds of it, and the layout of earlier versions."""

from __future__ import annotations

import pytest
import yaml
from written import LEAST, mistakes, only

from af_otel.facility import dump, parse_text

STORE = "  traces:\n    tempo:\n      endpoint: http://tempo.monitoring:4318\n"


def stored(traces):
    """The least facility with other lines for its traces."""
    assert STORE in LEAST
    return LEAST.replace(STORE, f"  traces: {traces}\n")


@pytest.mark.parametrize("kind", ["tempo", "jaeger", "otlp"])
def test_traces_go_to_a_store_of_one_of_three_kinds(kind):
    """Each has the same fields, and tells its kind and its path in the file."""
    fields = "{endpoint: 'https://store:4317', protocol: grpc, query: 'https://store/a/b'}"
    traces = parse_text(stored(f"{{{kind}: {fields}}}")).destinations.traces
    assert traces.kind == kind
    assert traces.field == f"destinations.traces.{kind}"
    assert traces.store is getattr(traces, kind)
    assert (traces.store.protocol, traces.store.query) == ("grpc", "https://store/a/b")


@pytest.mark.parametrize(
    ("traces", "field", "what"),
    [
        (
            "{tempo: {endpoint: 'http://a'}, jaeger: {endpoint: 'http://b'}}",
            "destinations.traces.jaeger",
            "`tempo` or `jaeger`, and not both",
        ),
        (
            "{jaeger: {endpoint: 'http://a'}, otlp: {endpoint: 'http://b'}}",
            "destinations.traces.otlp",
            "`jaeger` or `otlp`, and not both",
        ),
        ("{tempo: }", "destinations.traces", "Names no trace store"),
    ],
)
def test_two_stores_or_none_are_refused(traces, field, what):
    """Every trace is sent to one store."""
    found = only(stored(traces))
    assert found.field == field
    assert what in found.what


def test_traces_without_a_store_are_answered_with_one():
    """The lines of the answer make a file that can be read."""
    found = only(stored("{tempo: }"))
    answer = yaml.safe_load(found.write)["destinations"]["traces"]
    assert parse_text(stored(answer)).destinations.traces.kind == "tempo"


def test_an_unknown_kind_of_store_is_answered_with_the_nearest():
    """Under another name nothing is taken for a store."""
    found = mistakes(stored("{jeager: {endpoint: 'http://a:4318'}}"))
    unknown = next(item for item in found if item.field == "destinations.traces.jeager")
    assert "the nearest is `jaeger`" in unknown.what


OLD = """{
    endpoint: 'https://tempo:4317',
    protocol: grpc,
    query: 'https://tempo:3200',
    headers: {X-Scope-OrgID: cms},
    tls: {ca: {secret: my-ca}},
    auth: {bearer: {secret: token}},
  }"""


def test_the_layout_of_earlier_versions_reads_the_same():
    """There `traces` itself had the fields of the Tempo; what is written is the new layout."""
    old = parse_text(stored(OLD))
    assert old == parse_text(stored(f"{{tempo: {OLD}}}"))
    assert list(yaml.safe_load(dump(old))["destinations"]["traces"]) == ["tempo"]


def test_mistakes_in_the_layout_of_earlier_versions_have_their_line_and_the_new_path():
    """Also a field that is unknown, and one that is missing."""
    text = stored(
        "\n    endpoint: tempo:4318\n    protocol: udp\n    tls: {ca: {}}\n    timeout: 5s"
    )
    found = mistakes(text)
    assert [(item.place.line, item.field) for item in found] == [
        (6, "destinations.traces.tempo.endpoint"),
        (7, "destinations.traces.tempo.protocol"),
        (8, "destinations.traces.tempo.tls.ca"),
        (9, "destinations.traces.timeout"),
    ]
    assert yaml.safe_load(found[0].write) == {
        "destinations": {"traces": {"tempo": {"endpoint": "http://tempo:4318"}}}
    }
    missing = only(stored("{query: 'http://tempo:3200'}"))
    assert missing.field == "destinations.traces.tempo.endpoint"


def test_both_layouts_at_once_are_refused():
    """A line of the old layout beside a store has nothing to apply to."""
    found = only(stored("{endpoint: 'http://a:4318', tempo: {endpoint: 'http://b:4318'}}"))
    assert found.field == "destinations.traces.endpoint"
    assert "`destinations.traces.tempo`" in found.what


def test_the_tempo_that_earlier_versions_deployed_is_answered_with_jaeger():
    """The file of such an install says what replaces it, and keeps a Tempo elsewhere."""
    found = mistakes("name: a\nhub: {namespace: j}\nbackends: {tempo: true, prometheus: true}\n")
    replaced = next(item for item in found if item.field == "backends.tempo")
    assert replaced.place.line == 3
    assert "deploys Jaeger" in replaced.what
    assert yaml.safe_load(replaced.write) == {"backends": {"jaeger": True}}
    kept = only(LEAST + "backends: {tempo: false}\n")
    assert yaml.safe_load(kept.write) == {"backends": {"jaeger": False}}


def test_grafana_is_deployed_only_from_an_image_that_is_named():
    """There is no default image, and the answer has one to replace."""
    found = only(LEAST + "backends: {grafana: true}\n")
    assert found.field == "backends.grafana"
    answer = yaml.safe_load(found.write)["backends"]
    answer["grafana"] = True
    facility = parse_text(LEAST + yaml.safe_dump({"backends": answer}))
    assert facility.backends.images.grafana == answer["images"]["grafana"]
