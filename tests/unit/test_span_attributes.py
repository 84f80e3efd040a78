"""Users' code may set any attribute to a value of any type; its spans are read all the same."""

from __future__ import annotations

import io
import json

import pytest
from af_otel_semconv import attributes
from otlp import new_span, resource_spans
from rich.console import Console

from af_otel.backends import sessions
from af_otel.backends._jaeger_ui import parse_traces, trace_facts
from af_otel.backends.spans import parse
from af_otel.backends.story import State, tell
from af_otel.cli._story import Lines, heading
from af_otel.page.document import document
from af_otel.page.serialize import serialize
from af_otel.verify import hops

NAMES = [
    *(value for name, value in vars(attributes).items() if name.isupper()),
    "error",
    "service.name",
    "service.instance.id",
    "k8s.pod.name",
]


def nested(depth):
    value = {"stringValue": "core"}
    for level in range(depth):
        values = [value] if level % 2 else [{"key": "k", "value": value}]
        value = {"arrayValue" if level % 2 else "kvlistValue": {"values": values}}
    return value


# As OTLP's JSON has them, and as Jaeger's UI API has them.
VALUES = {
    "list": ({"arrayValue": {"values": [{"stringValue": "died"}]}}, ["died"]),
    "map": ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}}, {"a": 1}),
    "empty list": ({"arrayValue": {}}, []),
    "lists within lists": (nested(400), [[["died"]]]),
    "nothing": ({}, None),
    "boolean": ({"boolValue": True}, True),
    "integer": ({"intValue": "-9223372036854775808"}, -(2**63)),
    "number": ({"doubleValue": 0.5}, 0.5),
    "not a number": ({"doubleValue": "NaN"}, "NaN"),
    "bytes": ({"bytesValue": "AAEC/w=="}, "AAEC/w=="),
    "text": ({"stringValue": "\x1b[2J\u202e<script>"}, "\x1b[2J\u202e<script>"),
    "long text": ({"stringValue": "x" * 1_000_000}, "x" * 1_000_000),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("name", NAMES)
def test_attribute_of_any_type_is_shown(name, kind):
    """On the terminal, as JSON, on the page and in a file; beside it is what else happened."""
    otlp, _ = VALUES[kind]
    group = resource_spans(
        [new_span("execute cell", trace_id="a" * 32, status={"code": code}) for code in (0, 1, 2)],
        {"service.name": "careless"},
    )
    spans = group["scopeSpans"][0]["spans"]
    for holder in (group["resource"], *spans):
        holder["attributes"] = [{"key": name, "value": otlp}]
    spans[2]["events"] = [{"name": "e", "attributes": [{"key": name, "value": otlp}]}]
    spans[2]["links"] = [{}]

    found = list(parse({"resourceSpans": [group]}))
    story = tell(found, session_id="s")

    screen = Console(file=io.StringIO(), width=150)
    for line in (*heading(story), Lines(story, 150, everything=True).table):
        screen.print(line)
    assert screen.file.getvalue().count("execute cell") == 3
    assert json.loads(json.dumps(story.as_json()))["traces"] == ["a" * 32]
    assert len(serialize(story)["items"]) == 3
    assert len(document(story)) < 200_000
    assert all(node.state is State.ENDED for node in story.nodes())
    hops.prove(hops.with_dask("dask-scheduler"), found, found, "s", 1)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("name", NAMES)
def test_attribute_of_any_type_leaves_the_list_of_sessions(name, kind):
    """The session is listed, whatever else a user has put on its spans."""
    _, value = VALUES[kind]
    tags = {"session.id": "careless", name: value}
    span = {
        "traceID": "a",
        "spanID": "b",
        "operationName": "spawn server",
        "startTime": 1,
        "duration": 1,
        "processID": "p1",
        "tags": [{"key": key, "value": tag} for key, tag in tags.items()],
    }
    answer = {"data": [{"spans": [span], "processes": {"p1": {"serviceName": "careless"}}}]}

    found = sessions.gather(trace_facts(parse_traces(answer)))

    for session in found.values():
        json.dumps(session.as_json())
    if name != attributes.SESSION_ID:
        assert list(found) == ["careless"]
