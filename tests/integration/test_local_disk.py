"""The room that the traces of a local facility take on the disk is bounded."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import httpx
from facility import LocalFacility
from otlp import new_span, resource_spans

from af_otel.local import disk
from servers import wait_for

# A facility of nothing but its trace store, which is looked at twice a second.
FACILITY = """
import sys
from pathlib import Path
from af_otel.local import supervisor, trace_store
from af_otel.local.keys import Keys
from af_otel.local.options import TraceLimits
from af_otel.local.plan import Plan
from af_otel.local.ports import Ports
from af_otel.local.state import State

supervisor.DISK_EVERY = 0.5
state = State(Path(sys.argv[1]))
state.prepare()
plan = Plan(state, Ports(), state.directory, Keys.make(state.keys, "me"))
plan.choose_ports()
plan.trace_store = "jaeger"
store = trace_store.servers.find("jaeger")
plan.urls["hub"] = ""
plan.urls["traces"] = f"https://{plan.address('jaeger')}"
plan.urls["otlp"] = f"https://{plan.address('jaeger-otlp')}"
plan.services.append(trace_store.service(plan, store, TraceLimits(disk=int(sys.argv[2]))))
supervisor.Supervisor(plan, lambda facility: None).run()
"""


def test_traces_that_take_too_much_room_are_deleted(tmp_path):
    """The store starts again empty, and a note says what was deleted and how to keep more."""
    state = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", FACILITY, str(state), "5000000"], start_new_session=True
    )
    try:

        def facility():
            try:
                return json.loads((state / "facility.json").read_text())
            except (OSError, ValueError):
                return None

        def ready():
            found = facility()
            return found and found["phase"] == "ready" and found["ready"] and found

        running = LocalFacility(state, wait_for(ready, "the trace store", 60))
        pid = facility()["services"]["jaeger"]["pid"]
        span = new_span("kept")
        send(running, span)
        store = running.store
        assert wait_for(lambda: store.trace(span["traceId"]), "the span")
        time.sleep(2)
        assert facility()["services"]["jaeger"]["pid"] == pid, "it was emptied without a reason"

        def deleted():
            # Another note may say that a port is taken.
            return [note for note in facility()["notes"] if "was deleted" in note]

        while not deleted():
            with contextlib.suppress(httpx.HTTPError):  # it may be stopped at this moment
                # What cannot be compressed.
                texts = [os.urandom(2000).hex() for _ in range(200)]
                send(running, *(new_span("s", attributes={"text": text}) for text in texts))
        found = wait_for(ready, "the trace store, again", 30)

        assert found["services"]["jaeger"]["pid"] != pid
        assert found["errors"] == []
        assert "the data of `jaeger` took more than 0.005 GB and was deleted" in deleted()[0]
        assert "`--trace-disk`" in deleted()[0]
        assert store.trace(span["traceId"]) == []
        again = new_span("again")
        send(running, again)
        assert wait_for(lambda: store.trace(again["traceId"]), "a new span")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def send(running, *spans):
    body = {"resourceSpans": [resource_spans(spans, {"service.name": "t"})]}
    running.http.post(f"{running.urls['otlp']}/v1/traces", json=body).raise_for_status()


def test_room_is_what_is_taken_and_not_what_is_reserved(tmp_path):
    """A file with a hole counts with what it takes; what vanishes meanwhile counts nothing."""
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1_000_000_000)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "full").write_bytes(os.urandom(100_000))

    assert 100_000 <= disk.used(tmp_path) < 200_000
    assert disk.used(tmp_path / "absent") == 0

    (tmp_path / "link").symlink_to("/etc")
    disk.empty(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert os.path.exists("/etc")  # noqa: PTH110
