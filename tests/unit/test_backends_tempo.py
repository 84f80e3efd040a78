"""A real Tempo's answers as plain data, and what is said when it has none."""

from __future__ import annotations

import time

import pytest
from inline_snapshot import snapshot
from otlp import otlp_attributes, resource_spans

from af_otel.backends import find, http, tempo
from af_otel.backends.http import NotReachable, Refused
from af_otel.backends.spans import Event, Link, parse
from af_otel.backends.tempo import Tempo
from af_otel.errors import AfOtelError
from servers import free_port, post_json, running_tempo, wait_for

# Tempo leaves the leading zeros of an id out of its search results.
SPAWN_TRACE, CELL_TRACE, LONE_TRACE = "0" * 4 + "a" * 28, "0" * 4 + "b" * 28, "c" * 32
BEGAN = int(time.time()) - 20


def otlp(trace, span, name, at, parent="", **given):
    return {
        "traceId": trace,
        "spanId": span,
        "parentSpanId": parent,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str((BEGAN + at) * 10**9),
        "endTimeUnixNano": str((BEGAN + at) * 10**9 + 1_500_000_000),
        "attributes": otlp_attributes(given.pop("attributes", {"session.id": "s1"})),
        **given,
    }


SPANS = [
    otlp(SPAWN_TRACE, "00000000000000a1", "spawn server", 0),
    otlp(SPAWN_TRACE, "00000000000000a2", "start server", 1, parent="00000000000000a1"),
    otlp(
        CELL_TRACE,
        "00000000000000b1",
        "execute cell",
        5,
        attributes={"session.id": "s1", "ok": True, "count": 3, "share": 0.5, "names": ["a", "b"]},
        status={"code": 2},
        links=[{"traceId": SPAWN_TRACE, "spanId": "00000000000000a1"}],
        events=[{"name": "moved", "timeUnixNano": "7", "attributes": otlp_attributes({"n": 1})}],
    ),
    otlp(LONE_TRACE, "00000000000000c1", "health", 10, attributes={"x": 1}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Tempo that has three traces and finds them."""
    with running_tempo(tmp_path_factory.mktemp("tempo")) as running:
        resource = {"service.name": "jupyter-server", "service.instance.id": "i1"}
        body = {"resourceSpans": [resource_spans(SPANS, resource)]}
        post_json(f"{running.otlp_endpoint}/v1/traces", body)
        tempo = Tempo(running.url)
        wait_for(lambda: len(tempo.search("{ }")) == 3, "three traces in a search")
        yield tempo


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A Tempo without a trace."""
    with running_tempo(tmp_path_factory.mktemp("empty")) as running:
        yield Tempo(running.url)


def test_search_finds_traces_in_order_of_time(server):
    """Ids are whole again, and the oldest trace is the first."""
    found = server.search('{ span.session.id = "s1" }')

    assert [trace.trace_id for trace in found] == [SPAWN_TRACE, CELL_TRACE]
    assert (found[0].root_name, found[0].root_service) == ("spawn server", "jupyter-server")


def test_search_finds_the_newest(server):
    """Of more than it was asked for; `last` would else be any."""
    assert [each.root_name for each in server.search("{ }", limit=1)] == ["health"]


def test_search_keeps_to_its_time(server):
    """What began before the range is not found."""
    assert server.search('{ span.session.id = "s1" }', start=time.time() + 30) == []


def test_span_has_all_that_was_sent(server):
    """Ids are hex again, numbers numbers, and enums words."""
    (span,) = server.trace(CELL_TRACE)

    assert (span.trace_id, span.span_id, span.parent_id) == (CELL_TRACE, "00000000000000b1", "")
    assert (span.service, span.instance, span.kind) == ("jupyter-server", "i1", "server")
    assert (span.start, span.seconds) == ((BEGAN + 5) * 10**9, 1.5)
    assert span.status == "error"
    assert span.attributes == {
        "session.id": "s1", "ok": True, "count": 3, "share": 0.5, "names": ["a", "b"]
    }  # fmt: skip
    assert span.links == (Link(SPAWN_TRACE, "00000000000000a1"),)
    assert span.events == (Event("moved", 7, {"n": 1}),)


def test_both_dialects_of_otlp_json_read_the_same(server):
    """The Collector's file and Tempo tell the same spans, though ids and enums are written
    otherwise.
    """
    resource = {"service.name": "jupyter-server", "service.instance.id": "i1"}
    sent = parse({"resourceSpans": [resource_spans(SPANS, resource)]})

    assert [span for span in sent if span.trace_id == SPAWN_TRACE] == server.trace(SPAWN_TRACE)


def test_what_is_empty_may_be_left_out():
    """Protobuf's JSON has no key for an attribute's empty name, or a map without entries."""
    attributes = [{"value": {"intValue": "1"}}, {"key": "map", "value": {"kvlistValue": {}}}]
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "attributes": attributes}

    (found,) = parse({"batches": [{"scopeSpans": [{"spans": [span]}]}]})

    assert found.attributes == {"": 1, "map": {}}


def test_unknown_trace_has_no_spans(server):
    """That there is none is an answer, no failure."""
    assert server.trace("f" * 32) == []


def test_session_is_all_of_its_traces(server):
    """Each trace that a session has a span in, whole and in order."""
    names = [span.name for span in server.session("s1")]

    assert names == ["spawn server", "start server", "execute cell"]


def test_session_of_many_traces_is_asked_for_by_one_client(server, monkeypatch):
    """To make one reads all of the system's certificates: 1,000 would take half a minute."""
    made = []
    new_client = tempo.new_client
    monkeypatch.setattr(tempo, "new_client", lambda access: made.append(1) or new_client(access))
    monkeypatch.setattr(http, "new_client", tempo.new_client)

    server.session("s1")

    assert len(made) == 2  # for the search, and for all traces


def test_session_id_cannot_change_the_question(server):
    """What a person types stays a string of TraceQL, whatever is in it."""
    assert server.session('" || span.session.id = "s1') == []


def test_last_is_the_newest_session(server):
    """A newer trace of no session, such as a health check's, is passed over."""
    story = find.story(server, "last")

    assert story.session_id == "s1"
    assert story.traces == [SPAWN_TRACE, CELL_TRACE]


def test_trace_is_told_alone_or_with_its_session(server):
    """By its id, in capitals too, one trace; with `--session` all."""
    assert find.story(server, CELL_TRACE.upper()).traces == [CELL_TRACE]
    assert find.story(server, CELL_TRACE, whole_session=True).session_id == "s1"


@pytest.mark.parametrize("unknown", ["f" * 32, "nonsense", '"'])
def test_unknown_id_is_one_error(server, unknown):
    """The same for the id of a trace and of a session, as both look alike."""
    with pytest.raises(AfOtelError) as error:
        find.story(server, unknown)

    assert str(error.value).replace(server.url, "URL").replace(unknown, "ID") == snapshot("""\
Neither a trace nor a session has the id `ID`
  where: Tempo at `URL`, the last 7 days
  hint:  `af-otel trace last` shows the newest; a new one is found after some seconds\
""")


def test_trace_without_a_session_has_no_session_to_show(server):
    """`--session` of a lone trace says so."""
    with pytest.raises(AfOtelError, match="belongs to no session"):
        find.story(server, LONE_TRACE, whole_session=True)


def test_empty_tempo_is_one_error(empty):
    """Before the first session there is no last one."""
    with pytest.raises(AfOtelError) as error:
        find.story(empty, "last")

    assert str(error.value).replace(empty.url, "URL") == snapshot("""\
Tempo has no traces yet
  where: `URL`, the last 7 days
  hint:  log in to the hub and run a cell, or run `af-otel verify`; then ask again\
""")


def test_tempo_that_is_gone_is_one_error():
    """No traceback: the address, the reason, and what to do."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotReachable) as error:
        find.story(Tempo(url), "last")

    assert str(error.value).replace(url, "URL") == snapshot("""\
Tempo does not answer at `URL`
  where: ConnectError: [Errno 111] Connection refused
  hint:  is the facility up? `af-otel status` says; `af-otel up` starts one\
""")


def test_tempo_that_refuses_is_quoted(server):
    """A query that Tempo cannot read comes back with its own words."""
    with pytest.raises(Refused, match="Tempo answered 400") as error:
        server.search("{ nonsense")

    assert "parse error" in error.value.where


def test_address_of_something_else_is_doubted(server):
    """A web page where Tempo should be is no traceback about JSON."""
    with pytest.raises(Refused, match="Tempo answered 404"):
        Tempo(f"{server.url}/elsewhere").search("{ }")
