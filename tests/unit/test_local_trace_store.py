"""The trace store that a local facility runs: its choice, ports, data and limits."""

from __future__ import annotations

import pytest

from af_otel.local import servers, trace_store
from af_otel.local.keys import Keys
from af_otel.local.options import TraceLimits
from af_otel.local.plan import Plan
from af_otel.local.ports import Ports
from af_otel.local.state import State


@pytest.fixture
def plan(tmp_path):
    state = State(tmp_path / "state")
    state.prepare()
    made = Plan(state, Ports(), tmp_path, Keys.make(state.keys, "me"))
    made.choose_ports()
    made.urls["traces"] = "http://store"
    yield made
    made.ports.release()


def tempo(directory, version):
    directory.mkdir()
    program = directory / "tempo"
    program.write_text(f"#!/bin/sh\necho 'tempo, version {version} (branch: main)'\n")
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("AF_OTEL_TEMPO", raising=False)


def test_jaeger_is_the_default(plan):
    """It listens on loopback, keeps its data in the state directory, and is bounded."""
    store = trace_store.find()
    service = trace_store.service(plan, store, TraceLimits(hours=5, disk=123))

    assert (store.name, service.name) == ("jaeger", "jaeger")
    assert service.env["AF_OTEL_JAEGER_HTTP"] == f"127.0.0.1:{plan.port('jaeger')}"
    assert service.env["AF_OTEL_JAEGER_OTLP_HTTP"] == f"127.0.0.1:{plan.port('jaeger-otlp')}"
    assert service.env["AF_OTEL_JAEGER_RETENTION"] == "5h"
    assert service.data == plan.state.directory / "jaeger"
    assert service.env["AF_OTEL_JAEGER_DATA"] == str(service.data)
    assert service.disk == 123


def test_a_tempo_on_path_is_used_instead(plan, tmp_path):
    """As a Grafana is: what the machine has, on the ports of the facility."""
    program = tempo(tmp_path / "bin", "2.8.2")
    store = trace_store.find()
    service = trace_store.service(plan, store, TraceLimits(hours=5))

    assert store.path == program
    assert service.command[0] == str(program)
    assert service.env["AF_OTEL_TEMPO_HTTP_PORT"] == str(plan.port("tempo"))
    assert service.env["AF_OTEL_TEMPO_OTLP_HTTP"] == f"127.0.0.1:{plan.port('tempo-otlp')}"
    assert service.env["AF_OTEL_TEMPO_RETENTION"] == "5h"


def test_a_tempo_that_does_not_fit_is_passed_over(tmp_path):
    """Our settings are refused by Tempo 3: Jaeger runs instead."""
    tempo(tmp_path / "bin", "3.0.0")

    assert trace_store.find().name == "jaeger"


def test_a_tempo_that_a_setting_names_has_to_fit(monkeypatch, tmp_path):
    """A setting that names another version is an error; no other store is taken for it."""
    monkeypatch.setenv("AF_OTEL_TEMPO", str(tempo(tmp_path / "other", "3.0.0")))

    with pytest.raises(servers.ServerUnfit, match=r"names tempo 3\.0\.0"):
        trace_store.find()


def test_each_store_has_ports_of_its_own(plan):
    """Those of the store that does not run are not chosen by `services.plan`."""
    ports = [port for used in trace_store.PORTS.values() for port in used]

    assert len(ports) == len(set(ports))
    assert set(ports) <= set(plan.ports.chosen)
