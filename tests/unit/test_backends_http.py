"""Stores that answer slowly, wrongly or without end: one error that names them, and in time."""

from __future__ import annotations

import contextlib
import json
import socketserver
import time

import pytest
from inline_snapshot import snapshot
from typer.testing import CliRunner

import servers
from af_otel.backends import find, http
from af_otel.backends.connect import connect
from af_otel.backends.http import Api, BackendError, NotReachable, Refused
from af_otel.backends.prometheus import Prometheus

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MANY = 100_000_000


def silent(send):
    time.sleep(5)


def dripping(send):
    send(JSON + b"Content-Length: 1000000\r\n\r\n[")
    for _ in range(50):
        send(b" ")
        time.sleep(0.1)


def closing(send):
    """End the connection without a word."""


def truncated(send):
    send(JSON + b'Content-Length: 1000\r\n\r\n{"traces": [{')


def cut_short(send):
    send(JSON + b'Connection: close\r\n\r\n{"traces": [{')


def failing(send):
    send(b"HTTP/1.1 500 Oh\r\nContent-Length: 20\r\n\r\nout of \x1b[31mmemory\r\n  ")


def loading(send):
    send(b"HTTP/1.1 503 No\r\nContent-Length: 18\r\n\r\nIngester not ready")


def website(send):
    page = b"<!doctype html><h1>Welcome</h1>"
    send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
        + page
    )


def endless(send):
    send(JSON + b"Content-Length: %d\r\n\r\n[" % MANY)
    for _ in range(MANY // 1_000_000):
        send(b" " * 1_000_000)


def nested(send):
    send(JSON + b"Connection: close\r\n\r\n" + b"[" * 200_000)


def answering(content):
    def answer(send):
        body = json.dumps(content).encode()
        send(JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    answer.__name__ = f"answering {content}"
    return answer


STRANGE = [
    answering(content)
    for content in (
        [], None, 7, "text", {"services": 7},
        {"result": 1, "data": 1, "traces": 1, "services": [1]},
        {"result": {"resourceSpans": [7]}, "data": [[]], "traces": [{}], "services": ["a"]},
    )
]  # fmt: skip
FAULTS = [
    silent, dripping, closing, truncated, cut_short, failing, loading, website, endless, nested,
    *STRANGE,
]  # fmt: skip


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def serving(fault):
    """Serve the fault as the answer to every request."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                self.request.recv(65536)
                fault(self.request.sendall)

    return servers.serving(Server(("127.0.0.1", 0), Handler))


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(Api, "timeout", 0.2)
    monkeypatch.setattr(Api.__init__, "__defaults__", (http.ANYBODY, 0.2))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("kind", ["jaeger", "tempo"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda store: find.session_story(store, "s1"),
        lambda store: find.story(store, "last"),
        lambda store: store.sessions(time.time() - 60, time.time()),
        lambda store: store.last_seen("jupyterhub", "casa", start=0),
    ],
    ids=["session", "last", "sessions", "last_seen"],
)
def test_every_fault_is_one_error_that_names_the_store(fault, kind, ask):
    """The error says which store, at which address, and is there in time; or there is nothing."""
    # JSON of the right structure that holds nothing is an answer.
    expected = (BackendError, find.NotStored) if fault in STRANGE else BackendError
    with serving(fault) as url:
        store = connect(kind, url)
        try:
            found = ask(store)
        except expected as error:
            caught = error
        else:
            assert fault in STRANGE
            assert not found or not getattr(found, "sessions", found)
            return
    if isinstance(caught, BackendError):
        assert caught.server == caught.what.partition(" ")[0] == store.name
        assert url in str(caught)
        assert len(str(caught)) < 700
        assert all(line.isprintable() for line in str(caught).splitlines())


def test_what_is_said_of_each_fault():
    """Each fault has its own words."""
    said = {}
    for fault in FAULTS[: -len(STRANGE)]:
        with serving(fault) as url, pytest.raises(BackendError) as error:
            connect("jaeger", url).trace("a" * 32)
        lines = str(error.value).replace(url, "URL").replace("a" * 32, "ID").splitlines()
        said[fault.__name__] = [line[:70] for line in lines[:2]]
    assert said == snapshot(
        {
            "silent": ["Jaeger did not answer within 0.2 s", "  where: `URL`, `/api/v3/traces/ID`"],
            "dripping": [
                "Jaeger did not answer within 0.2 s",
                "  where: `URL`, `/api/v3/traces/ID`",
            ],
            "closing": [
                "Jaeger broke off its answer",
                "  where: `URL`, `/api/v3/traces/ID`: Server disconnected without sendi",
            ],
            "truncated": [
                "Jaeger broke off its answer",
                "  where: `URL`, `/api/v3/traces/ID`: peer closed connection without se",
            ],
            "cut_short": [
                "Jaeger answered with incomplete or invalid JSON to `/api/v3/traces/ID`",
                '  where: URL: {"traces": [{',
            ],
            "failing": [
                "Jaeger answered 500 to `/api/v3/traces/ID`",
                "  where: URL: out of [31mmemory",
            ],
            "loading": [
                "Jaeger answered 503 to `/api/v3/traces/ID`",
                "  where: URL: Ingester not ready",
            ],
            "website": [
                "Jaeger answered with something else than JSON to `/api/v3/traces/ID`",
                "  where: URL: <!doctype html><h1>Welcome</h1>",
            ],
            "endless": [
                "Jaeger answered with more than 32 MB",
                "  where: `URL`, `/api/v3/traces/ID`",
            ],
            "nested": [
                "Jaeger answered with incomplete or invalid JSON to `/api/v3/traces/ID`",
                "  where: URL: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
            ],
        }
    )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_prometheus_is_named_as_well(fault):
    """Faults of Prometheus are its own."""
    with serving(fault) as url, pytest.raises(BackendError, match=r"^Prometheus "):
        Prometheus(url).query("up")


@pytest.mark.parametrize("fault", [silent, failing, website, truncated, endless])
def test_the_command_ends_with_one_error(fault):
    """`af-otel trace` prints the error and no traceback."""
    from af_otel.cli import app

    with serving(fault) as url:
        result = CliRunner().invoke(app, ["trace", "last", "--store", url])

    assert isinstance(result.exception, BackendError)
    assert url in str(result.exception)


@pytest.mark.parametrize("fault", [website, failing, answering({"services": 7})])
def test_something_else_is_no_trace_store(fault):
    """The address of something else is doubted before it is asked for traces."""
    with serving(fault) as url, pytest.raises((Refused, BackendError)) as error:
        connect("otlp", url)

    assert url in str(error.value)


def test_an_overall_deadline_bounds_many_slow_answers(monkeypatch):
    """A store whose every answer is just in time does not keep a command for minutes."""
    monkeypatch.setattr(find, "TIMEOUT", 0.2)
    # Longer than a machine under load takes for one answer.
    monkeypatch.setattr(Api, "timeout", 30)
    monkeypatch.setattr(Api.__init__, "__defaults__", (http.ANYBODY, 30))

    def slow(send):
        time.sleep(0.3)
        answering({"traces": []})(send)

    with serving(slow) as url, pytest.raises(NotReachable, match="did not answer all queries"):
        find.story(connect("tempo", url), "last")
