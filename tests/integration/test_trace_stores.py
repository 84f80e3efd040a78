"""One suite for every trace store: a real Jaeger, a real Tempo if there is one, and what a Tempo
once answered.
"""

from __future__ import annotations

import os
import time
import urllib.request
from types import SimpleNamespace

import pytest
from inline_snapshot import snapshot
from otlp import otlp_attributes, resource_spans
from tempo_contract import RECORDED_AT, SESSIONS, recorded_tempo, sent, trace_ids

from af_otel.backends import find, http, jaeger, story
from af_otel.backends.connect import connect
from af_otel.backends.http import Api, NotReachable
from af_otel.backends.spans import Event, Link, parse
from af_otel.backends.store import DAY
from af_otel.errors import AfOtelError
from af_otel.page.serialize import serialize
from servers import free_port, post_json, running_jaeger, running_tempo, wait_for

NEEDS_TEMPO = pytest.param(
    "tempo",
    marks=pytest.mark.skipif(
        not os.environ.get("AF_OTEL_TEMPO"), reason="no Tempo: AF_OTEL_TEMPO does not name one"
    ),
)
RUNNING = {"jaeger": running_jaeger, "tempo": running_tempo}
# Tempo leaves the leading zeros of an id out of its search results.
SPAWN_TRACE, CELL_TRACE, LONE_TRACE = "0" * 4 + "a" * 28, "0" * 4 + "b" * 28, "c" * 32
BEGAN = int(time.time()) - 20
RESOURCE = {"service.name": "jupyter-server", "service.instance.id": "i1"}


def otlp(trace, span, name, at, parent="", **given):
    return {
        "traceId": trace,
        "spanId": span,
        "parentSpanId": parent,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(int((BEGAN + at) * 10**9) + 123),
        "endTimeUnixNano": str(int((BEGAN + at) * 10**9) + 1_500_000_123),
        "attributes": otlp_attributes(given.pop("attributes", {"session.id": "s1"})),
        **given,
    }


SPAWN = otlp(
    SPAWN_TRACE,
    "00000000000000a1",
    "spawn server",
    0,
    attributes={"session.id": "s1", "user.hash": "u1", "jupyterhub.spawn.outcome": "ok"},
)
SPANS = [
    otlp(SPAWN_TRACE, "00000000000000a2", "start server", 1, parent="00000000000000a1"),
    otlp(
        CELL_TRACE,
        "00000000000000b1",
        "execute cell",
        5,
        attributes={"session.id": "s1", "ok": True, "count": 3, "share": 0.5, "text": 'a"\\\n'},
        status={"code": 2},
        links=[{"traceId": SPAWN_TRACE, "spanId": "00000000000000a1"}],
        events=[{"name": "moved", "timeUnixNano": "7000", "attributes": otlp_attributes({"n": 1})}],
    ),
    otlp(LONE_TRACE, "00000000000000c1", "health", 10, attributes={"x": 1}),
]


def send(store, spans, resource=RESOURCE):
    post_json(
        f"{store.otlp_endpoint}/v1/traces", {"resourceSpans": [resource_spans(spans, resource)]}
    )


@pytest.fixture(scope="module", params=["jaeger", NEEDS_TEMPO])
def running(request, tmp_path_factory):
    """A real store with three traces, all of which can be found."""
    with RUNNING[request.param](tmp_path_factory.mktemp(request.param)) as server:
        send(server, [SPAWN], {"service.name": "jupyterhub", "service.namespace": "casa"})
        send(server, SPANS)
        store = server.client
        wait_for(
            lambda: (
                store.newest_trace(BEGAN - 60, in_session=False) == LONE_TRACE
                and len(store.session_traces("s1", start=BEGAN - 60).ids) == 2
            ),
            "three traces in a search",
        )
        yield server


@pytest.fixture
def store(running):
    return running.client


@pytest.fixture(scope="module", params=["jaeger", NEEDS_TEMPO])
def empty(request, tmp_path_factory):
    """A real store without a trace."""
    with RUNNING[request.param](tmp_path_factory.mktemp("empty")) as server:
        yield server.client


def test_span_has_all_that_was_sent(store):
    """Ids are hex, numbers are numbers, enums are words, and times are exact to the nanosecond."""
    (span,) = store.trace(CELL_TRACE)

    assert (span.trace_id, span.span_id, span.parent_id) == (CELL_TRACE, "00000000000000b1", "")
    assert (span.service, span.instance, span.kind) == ("jupyter-server", "i1", "server")
    assert (span.start, span.seconds) == ((BEGAN + 5) * 10**9 + 123, 1.5)
    assert span.status == "error"
    assert span.attributes == {
        "session.id": "s1", "ok": True, "count": 3, "share": 0.5, "text": 'a"\\\n'
    }  # fmt: skip
    assert span.links == (Link(SPAWN_TRACE, "00000000000000a1"),)
    assert span.events == (Event("moved", 7000, {"n": 1}),)


def test_a_store_answers_with_the_spans_that_were_sent(store):
    """The Collector's file and the store's answer read the same, whatever their dialect of OTLP."""
    sent_spans = parse({"resourceSpans": [resource_spans(SPANS, RESOURCE)]})

    assert [span for span in sent_spans if span.trace_id == CELL_TRACE] == store.trace(CELL_TRACE)


def test_unknown_trace_has_no_spans(store):
    """A trace that has not arrived is an empty answer, not an error."""
    assert store.trace("f" * 32) == []


def test_session_is_all_of_its_traces(store):
    """A session has each trace with a span of it, whole, oldest first."""
    assert store.session_traces("s1", start=BEGAN - 60).ids == [SPAWN_TRACE, CELL_TRACE]

    spans, complete = find.session_spans(store, "s1", start=BEGAN - 60)

    assert [span.name for span in spans] == ["spawn server", "start server", "execute cell"]
    assert complete


@pytest.mark.parametrize(
    "hostile", ['" || span.session.id = "s1', '{"session.id":"s1"}', "é\u202e\n\\", "s1&tags={}"]
)
def test_session_id_cannot_change_the_question(store, hostile):
    """An id stays a string of the query, whatever is in it."""
    assert store.session_traces(hostile, start=BEGAN - 60).ids == []


def test_searches_keep_to_their_time(store):
    """Traces that began before the range are not found."""
    later = time.time() + 120

    assert store.session_traces("s1", start=later).ids == []
    assert store.newest_trace(later, in_session=False) is None
    assert store.sessions(later, later + 60).sessions == []


def test_spans_are_found_by_service_and_name(store):
    """Spans with the name alone, not the other spans of their traces."""
    (span,) = store.spans("jupyter-server", "start server", start=BEGAN - 60)

    assert (span.name, span.parent_id) == ("start server", "00000000000000a1")
    assert store.spans("jupyterhub", "start server", start=BEGAN - 60) == []


def test_a_service_was_last_seen_when_its_newest_trace_ended(store):
    """Of the facility that is asked for; another one's does not count."""
    seen = store.last_seen("jupyterhub", "casa", start=BEGAN - 60)

    assert seen == pytest.approx(BEGAN + 2.5, abs=0.01)
    assert store.last_seen("jupyterhub", "other", start=BEGAN - 60) is None


def test_a_list_tells_of_each_session_what_happened(store):
    """User, spawn, cells and failures of a session are as they were sent."""
    (session,) = store.sessions(BEGAN - 60, time.time()).sessions

    assert session.as_json(now=time.time()) == {
        "id": "s1",
        "user": "u1",
        "began": pytest.approx(BEGAN, abs=0.001),
        "last_seen": pytest.approx(BEGAN + 6.5, abs=0.001),
        "cells": 1,
        "failures": 1,
        "counted_all": True,
        "spawn": {"state": "started", "outcome": None, "seconds": 1.5},
    }


def test_attributes_of_our_names_may_be_anybodys(running):
    """A user or a session that is not text, as any code may set it, is listed as text."""
    began = BEGAN - 7200
    span = otlp("d" * 32, "00000000000000d1", "execute cell", -7200)
    attributes = [
        {"key": "session.id", "value": {"intValue": "7"}},
        {"key": "user.hash", "value": {"boolValue": True}},
        {
            "key": "jupyter.cell.status",
            "value": {"arrayValue": {"values": [{"stringValue": "died"}]}},
        },
    ]
    send(running, [{**span, "attributes": attributes}])

    def found():
        return running.client.sessions(began - 60, began + 60).sessions

    (session,) = wait_for(found, "the session in a list")

    assert (session.id, session.user.lower(), session.cells) == ("7", "true", 1)
    shown = serialize(find.session_story(running.client, "7"))
    assert [item["trace"] for item in shown["items"]] == ["d" * 32]


def test_last_is_the_newest_session(store):
    """A newer trace that belongs to no session, such as a health check's, is passed over."""
    last = find.story(store, "last")

    assert last.session_id == "s1"
    assert last.traces == [SPAWN_TRACE, CELL_TRACE]


@pytest.mark.parametrize("kind", ["jaeger", NEEDS_TEMPO])
def test_last_is_a_script_that_ran_after_the_session(kind, tmp_path):
    """It belongs to no session, and is what its user wants to see."""
    script = "5" * 32
    with RUNNING[kind](tmp_path) as server:
        send(server, SPANS)
        span = otlp(script, "00000000000000e1", "fit", 20, attributes={})
        send(server, [span], {"service.name": "fit.py"})
        store = server.client
        wait_for(
            lambda: store.newest_trace(BEGAN - 60, in_session=False) == script, "the script's trace"
        )
        assert find.story(store, "last").traces == [script]


def test_trace_is_shown_alone_or_with_its_session(store):
    """By its id, in capitals too, one trace; with `--session` all of the session."""
    assert find.story(store, CELL_TRACE.upper()).traces == [CELL_TRACE]
    assert find.story(store, CELL_TRACE, whole_session=True).session_id == "s1"


@pytest.mark.parametrize("unknown", ["f" * 32, "nonsense", '"'])
def test_unknown_id_is_one_error(store, unknown):
    """The error is the same for the id of a trace and of a session, as both look alike."""
    with pytest.raises(AfOtelError) as error:
        find.story(store, unknown)

    text = str(error.value).replace(store.url, "URL").replace(unknown, "ID")
    assert text.replace(store.name, "STORE").partition(", the last")[0] == snapshot("""\
Neither a trace nor a session has the id `ID`
  where: STORE at `URL`\
""")


def test_trace_without_a_session_has_no_session_to_show(store):
    """`--session` of a trace without a session is an error that says so."""
    with pytest.raises(AfOtelError, match="belongs to no session"):
        find.story(store, LONE_TRACE, whole_session=True)


def test_empty_store_is_one_error(empty):
    """Before the first session there is no last one."""
    with pytest.raises(AfOtelError, match=f"{empty.name} has no traces yet"):
        find.story(empty, "last")
    assert empty.sessions(time.time() - DAY, time.time()).sessions == []


@pytest.mark.parametrize("kind", ["jaeger", "tempo", "otlp"])
def test_store_that_is_gone_is_one_error(kind):
    """The error has the address, the reason, and what to do; there is no traceback."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotReachable) as error:
        find.story(connect(kind, url), "last")

    name = {"jaeger": "Jaeger", "tempo": "Tempo", "otlp": "The trace store"}[kind]
    assert str(error.value).replace(url, "URL").replace(name, "STORE") == snapshot("""\
STORE does not answer at `URL`
  where: ConnectError: [Errno 111] Connection refused
  hint:  check that it is running: `af-otel status` shows the facility's servers\
""")


def test_a_store_is_recognized_by_its_answers(running):
    """An `otlp` destination does not say what its query API is: it is asked."""
    assert connect("otlp", running.url).name == running.client.name


# --- what is particular to Jaeger, which answers with whole traces ---


@pytest.fixture
def long_session(tmp_path):
    """A Jaeger with a session of 300 cells, some of them large."""
    with running_jaeger(tmp_path / "jaeger") as server:
        for number in range(300):
            trace = f"{number + 1:032x}"
            spans = [
                otlp(
                    trace,
                    f"{part + 1:016x}",
                    "execute cell" if part == 0 else "queue",
                    number / 100,
                    parent="" if part == 0 else f"{1:016x}",
                )
                for part in range(40 if number % 50 == 0 else 2)
            ]
            send(server, spans)
        yield server.client


def test_a_long_session_is_read_in_steps(long_session, monkeypatch):
    """No answer is larger than allowed, and every trace is found once, in order of time."""
    monkeypatch.setattr(http, "MAX_ANSWER", 60_000)

    found = long_session.session_traces("s1", start=BEGAN - 60)
    (session,) = long_session.sessions(BEGAN - 60, time.time()).sessions

    assert found.ids == [f"{number + 1:032x}" for number in range(300)]
    assert found.complete
    assert (session.cells, session.counted_all) == (300, True)


def test_a_trace_that_cannot_be_loaded_costs_only_its_own_session(long_session, monkeypatch):
    """The list has the session, and says that it was not counted."""
    monkeypatch.setattr(http, "MAX_ANSWER", 10_000)
    monkeypatch.setattr(jaeger, "_RECENT_CELLS", 1)

    (session,) = long_session.sessions(BEGAN - 60, time.time()).sessions

    assert (session.id, session.counted_all) == ("s1", False)


# --- the recorded sessions ---


@pytest.fixture(scope="module", params=["jaeger", NEEDS_TEMPO])
def replayed(request, tmp_path_factory):
    """A real store to which the recorded sessions were sent."""
    with RUNNING[request.param](tmp_path_factory.mktemp("replayed")) as server:
        for body in sent():
            asked = urllib.request.Request(
                f"{server.otlp_endpoint}/v1/traces", body, {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(asked, timeout=10).close()
        store = server.client
        wait_for(
            lambda: len(store.session_traces(SESSIONS[-1], start=RECORDED_AT - DAY).ids) == 10,
            "the last session in a search",
        )
        yield store


@pytest.fixture(scope="module")
def recorded():
    with recorded_tempo() as url:
        yield connect("tempo", url)


@pytest.fixture
def then(monkeypatch):
    """The day of the recording: what is too old to be found, and what still runs, depend on it."""
    clock = SimpleNamespace(time=lambda: RECORDED_AT, monotonic=time.monotonic)
    monkeypatch.setattr(find, "time", clock)
    monkeypatch.setattr(story, "time", clock)


@pytest.mark.usefixtures("then")
def test_a_recorded_session_has_the_same_story(replayed, recorded):
    """A session with failed tasks and a killed kernel is the same in both stores' answers."""
    expected = find.session_story(recorded, SESSIONS[-1])
    found = find.session_story(replayed, SESSIONS[-1])

    assert found.as_json() == expected.as_json()
    assert [node["name"] for node in expected.as_json()["roots"]][:2] == [
        "spawn server",
        "start kernel",
    ]


@pytest.mark.usefixtures("then")
def test_the_page_draws_a_recorded_session_the_same(replayed, recorded):
    """What the page is sent is the same from both stores."""
    drawn = [serialize(find.session_story(store, SESSIONS[-1])) for store in (replayed, recorded)]
    for content in drawn:
        content.pop("asked")

    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("trace_id", trace_ids())
def test_a_recorded_trace_has_the_same_spans(replayed, recorded, trace_id):
    """Each recorded trace is read from Tempo's answer as from the other store's."""
    assert replayed.trace(trace_id) == recorded.trace(trace_id)


def test_the_list_of_recorded_sessions_is_the_same(replayed, recorded):
    """Both stores list three sessions with their cells and failures, newest first."""
    pages = [
        [
            session.as_json(now=RECORDED_AT)
            for session in store.sessions(RECORDED_AT - DAY, RECORDED_AT).sessions
        ]
        for store in (replayed, recorded)
    ]
    for found, session in zip(*pages, strict=True):
        session["began"] = pytest.approx(session["began"], abs=2e-6)
        # Tempo is not asked for kernels that started, Jaeger is.
        assert found.pop("last_seen") >= session.pop("last_seen") - 0.001
        # A search of Tempo's sees parts of a trace: it may know its length, not the spawn's own.
        session["spawn"]["seconds"] = pytest.approx(session["spawn"]["seconds"], abs=0.01)

    assert pages[0] == pages[1]
    assert [session["id"] for session in pages[1]] == list(reversed(SESSIONS))


@pytest.mark.usefixtures("then")
def test_last_of_the_recording_is_its_last_session(replayed, recorded):
    """Both stores know the newest session."""
    assert find.story(recorded, "last").session_id == SESSIONS[-1]
    newest = replayed.newest_trace(RECORDED_AT - DAY, in_session=True)
    assert replayed.trace(newest)[0].session == SESSIONS[-1]


def test_what_tempo_answered_of_absent_and_malformed_ids(recorded):
    """A 404 is an empty trace; Tempo's own words on a malformed query are kept."""
    assert recorded.trace("0" * 31 + "1") == []
    with pytest.raises(AfOtelError, match="Tempo answered 400") as error:
        Api("Tempo", recorded.url).get(
            "/api/search", {"q": "{ span.session.id = ", "limit": 1000, "spss": 3}, read=list
        )
    assert "syntax error" in error.value.where
