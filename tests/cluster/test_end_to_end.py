"""From a bare facility to verified telemetry, and back to the bare facility."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from af_otel_semconv import metrics

from cluster import deploy
from cluster.real import NAME, described, left_of_the_user, said

if TYPE_CHECKING:
    from af_otel.kubernetes.refs import Ref

HOPS = {
    "spawn server": "jupyterhub",
    "start server": "jupyter-server",
    "start kernel": "jupyter-server",
    "execute cell": "jupyter-server",
    "run cell": "jupyter-kernel",
    "compute graph": "dask-scheduler",
    "worker share": "dask-worker",
}

WORKING = "alice-at-work"


@pytest.fixture
def facility(facility_on_cluster):
    return facility_on_cluster


@pytest.fixture
def place(facility, tmp_path):
    with described(facility, tmp_path) as place:
        yield place


@pytest.fixture
def alice(facility):
    """Somebody who works before, during and after all of it: her kernel."""
    facility.start_server(WORKING)
    with facility.notebook(WORKING).kernel() as kernel:
        assert kernel.text("x = 41; print(x)") == "41\n"
        yield kernel
    facility.stop_server(WORKING)


def test_from_a_bare_facility_to_verified_telemetry_and_back(facility, place, alice):
    """`init`, `validate`, `install --yes`, `verify`, `uninstall`: no file is edited by hand, every
    hop is proven with the identity that the cluster knows, and at the end all objects are as they
    were; who works meanwhile does not notice.
    """
    before = place.everything()
    assert place.run("validate").returncode == 0

    installed = said(place, "install", "--yes")
    assert installed["applied"]
    assert installed["seconds"] - installed["seconds_pulling"] < 60
    assert installed["verification"]["ok"]

    proven = said(place, "verify")
    assert proven["broken"] is None
    assert {hop["span"]: hop["service"] for hop in proven["hops"]} == HOPS
    assert proven["processes"] >= 5
    assert proven["result"] == "210 from 20 tasks"
    assert {metric["metric"]: metric["increase"] for metric in proven["metrics"]} == {
        metrics.SPAWN_DURATION.name: 1,
        metrics.CELL_DURATION.name: 5,
        metrics.TASK_DURATION.name: 20,
    }
    pods = {hop["span"]: hop["pods"] for hop in proven["hops"]}
    assert pods["run cell"] == [f"{facility.namespace}/jupyter-af-otel-verify"]
    assert pods["spawn server"][0].startswith(f"{facility.namespace}/hub-")
    assert pods["compute graph"][0].startswith(f"{facility.namespace}/dask-scheduler-")
    assert pods["worker share"][0].startswith(f"{facility.namespace}/dask-worker-")
    assert " 0 refused, " in proven["collector"]
    assert proven["session"] != installed["verification"]["session"]

    story = place.json("trace", proven["session"])
    identities = {
        (span["attributes"].get("session.id"), span["attributes"].get("user.hash"))
        for root in story["roots"]
        for span in every(root)
        if span["service"] in {"jupyter-server", "jupyter-kernel"}
    }
    assert len(identities) == 1
    assert identities.pop()[0] == proven["session"]
    (spawned,) = (root for root in story["roots"] if root["name"] == "spawn server")
    assert spawned["attributes"]["jupyterhub.spawn.image"] == deploy.USER

    status = place.json("status")
    assert status["well"]
    assert {name for name, at in status["last_data"].items() if at} == set(HOPS.values())
    assert left_of_the_user(facility, place) == []
    assert alice.text("print(x + 1)") == "42\n"

    place.run("uninstall", "--yes")
    after = place.everything()
    new = {ref for ref in after.keys() - before.keys() if not is_record(ref)}
    assert {ref for ref in new if NAME in repr(after[ref]) or ref.namespace == place.hub} == set()
    assert {ref for ref in before.keys() - after.keys() if ref.namespace == place.hub} == set()
    for ref in before.keys() & after.keys():
        if ref.namespace == place.hub:
            assert after[ref] == before[ref], ref
    assert alice.text("print(x + 1)") == "42\n"


def every(span):
    """A span and all below it."""
    yield span
    for child in span["children"]:
        yield from every(child)


def is_record(ref: Ref) -> bool:
    """Dask Gateway keeps its clusters' objects for a day after their end."""
    return ref.kind == "DaskCluster"
