"""Answers of a Collector that are no success: what is sent again, left out, and logged."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from servers import running_collector, serving, wait_for

SPANS = """
import time
for number in range(20):
    tracer.start_span(f"{number}").end()
"""
SEND = """
from af_otel import metrics
metrics.counter("n").add(1)
from _af_otel.runtime import _lazy, activate
tracer = _lazy.LazyTracerProvider(activate._loader).get_tracer("test")
"""


@contextmanager
def answering(answer):
    """Answer each request for traces with what `answer` returns for its spans' names."""
    requests = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            groups = [g for r in body.get("resourceSpans", []) for g in r["scopeSpans"]]
            names = [span["name"] for group in groups for span in group["spans"]]
            code, said = answer(names) if names else (200, "{}")
            if names:
                requests.append((code, names))
            self.send_response(code)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_args):
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answering)) as endpoint:
        yield endpoint, requests


def run(endpoint, payload, tmp_path, code):
    """Run a script under a payload and return what it logs."""
    done = subprocess.run(
        [sys.executable, "-c", SEND + code],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(payload),
            "AF_OTEL_ENDPOINT": endpoint,
            "AF_OTEL_SCHEDULE_DELAY": "100",
            "AF_OTEL_FLUSH_TIMEOUT": "30000",
            "AF_OTEL_LOG": "stderr",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stderr


@pytest.mark.parametrize("code", [400, 413])
def test_the_spans_around_a_refused_one_are_stored(payload, tmp_path, code):
    """It is found by halves and left out; the log has the Collector's reason, once."""
    with answering(lambda names: (code, "a bad span") if "13" in names else (200, "{}")) as served:
        endpoint, requests = served
        log = run(endpoint, payload, tmp_path, SPANS)
    stored = [name for answered, names in requests if answered == 200 for name in names]
    assert sorted(stored, key=int) == [str(n) for n in range(20) if n != 13]
    (line,) = log.splitlines()
    assert f"the Collector refuses spans, which are left out: {code} " in line
    assert line.endswith("a bad span")


def test_one_that_refuses_all_is_not_asked_for_ever(payload, tmp_path):
    """A wrong address answers so, and takes a few requests for each batch."""
    with answering(lambda _names: (400, "no")) as (endpoint, requests):
        run(endpoint, payload, tmp_path, SPANS)
    assert 1 < len(requests) < 64
    with answering(lambda _names: (404, "no such page")) as (endpoint, requests):
        run(endpoint, payload, tmp_path, SPANS)
    assert len(requests) <= 3


def test_a_busy_one_is_asked_again(payload, tmp_path):
    """After 503 the same spans come again, and are counted once."""
    answers = iter([(503, "busy")])
    with answering(lambda _names: next(answers, (200, "{}"))) as (endpoint, requests):
        run(endpoint, payload, tmp_path, SPANS + "time.sleep(4)")
    (busy, first), *others = requests
    assert busy == 503
    stored = [name for _, names in others for name in names]
    assert sorted(stored, key=int) == [str(number) for number in range(20)]
    assert set(first) <= set(stored)


def test_a_partial_success_is_logged(payload, tmp_path):
    """As OTLP has it: the server says how many items it has dropped, and why."""
    said = json.dumps({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}})
    with answering(lambda _names: (200, said)) as (endpoint, requests):
        log = run(endpoint, payload, tmp_path, SPANS)
    assert len(requests) <= 3
    assert "2 rejected: too old" in log


def test_values_and_names_of_any_length_leave_a_process(payload, tmp_path):
    """They are cut before they are sent, so that no request is larger than a Collector takes."""
    code = """
import time
for number in range(600):
    span = tracer.start_span("x" * 10_000_000 if not number else "many")
    for key in "abcd":
        span.set_attribute(key, "y" * 100_000)
    span.add_event("z" * 1_000_000, {"v": "w" * 1_000_000})
    span.end()
"""
    with running_collector(tmp_path) as collector:
        log = run(collector.endpoint, payload, tmp_path, code)
        assert "the Collector" not in log
        spans = wait_for(
            lambda: found if len(found := collector.spans()) == 600 else None, "all spans"
        )
    assert {len(span["name"]) for span in spans} == {4, 1024}
    assert {len(span["attributes"]["a"]) for span in spans} <= {4096, 4099}


def test_metrics_of_any_number_are_stored(payload, tmp_path):
    """All that users may have, in several requests."""
    code = """
for metric in range(100):
    for label in range(150):
        metrics.counter(f"n{metric}").add(1, label=f"{label:0100}", other="z" * 100)
"""
    with running_collector(tmp_path) as collector:
        log = run(collector.endpoint, payload, tmp_path, code)
        assert log == ""
        points = wait_for(
            lambda: (
                found
                if len(found := [p for p in collector.points() if p["name"].startswith("user.n")])
                >= 15_000
                else None
            ),
            "all points",
        )
    assert len({(point["name"], str(point["attributes"])) for point in points}) >= 15_000
