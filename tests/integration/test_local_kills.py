"""Services of a local facility that are killed under load: `status` says so, no span is lost."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading

import httpx
import pytest
from facility import running_facility, up
from otlp import new_span, resource_spans

from servers import wait_for

pytestmark = [pytest.mark.facility, pytest.mark.timeout(600)]

PAUSE = 0.2  # seconds between requests
SPANS = 10


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    with running_facility(tmp_path_factory.mktemp("kills") / "state") as running:
        yield running


class Load:
    """Sends without an end, and remembers the traces that were accepted."""

    def __init__(self, facility):
        self.accepted = set()
        self._client = facility.http
        self._url = facility.urls["collector_otlp"] + "/v1/traces"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        resource = {"service.name": "load", "service.instance.id": "load-1"}
        while not self._stop.wait(PAUSE):
            trace = secrets.token_hex(16)
            spans = [new_span("work", trace_id=trace) for _ in range(SPANS)]
            body = {"resourceSpans": [resource_spans(spans, resource)]}
            try:
                answer = self._client.post(self._url, json=body)
            except httpx.HTTPError:
                continue
            if answer.is_success:
                self.accepted.add(trace)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def status(facility):
    done = facility.command("status", "--json")
    services = json.loads(done.stdout)["services"]
    return done.returncode, {name: service["state"] for name, service in services.items()}


def test_each_death_is_said_and_no_span_is_lost(own):
    """`up` starts again what died, and the rest is undisturbed."""
    names = list(own.info["services"])
    with Load(own) as load:
        for name in names:
            before = len(load.accepted)
            os.kill(own.pid(name), signal.SIGKILL)
            wait_for(lambda name=name: status(own)[1][name] == "dead", f"the death of {name}")
            code, states = status(own)
            assert code == 1
            # Dask's workers end when their scheduler does, each in its own time.
            follow = {each for each in names if name == "dask-scheduler" and "worker" in each}
            assert {each for each in names if states[each] == "dead"} - follow == {name}

            wait_for(lambda: up(own.state).returncode == status(own)[0] == 0, f"{name} again", 60)
            wait_for(lambda before=before: len(load.accepted) > before, "spans accepted again")

    assert len(load.accepted) > 10 * len(names)

    def lost():
        return {trace for trace in load.accepted if len(own.store.trace(trace) or ()) < SPANS}

    wait_for(lambda: not lost(), "every span that was accepted", 120)
