"""`af-otel verify` and `af-otel trace` on a whole facility: proven, broken, interrupted."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from facility import AF_OTEL, af_otel, clean_env, running_facility

from af_otel.errors import AfOtelError
from af_otel.verify.user import User

pytestmark = pytest.mark.facility

WITHIN = 240  # s; a machine that tests other things meanwhile is slow
CELLS, TASKS = 9, 134  # of the example notebook


@pytest.fixture(scope="module")
def facility(tmp_path_factory):
    with running_facility(tmp_path_factory.mktemp("facility")) as running:
        yield running


def verify(facility, *options):
    return facility.command("verify", *options, timeout=WITHIN)


def has_server(facility, name):
    with User(facility.hub["url"], name, facility.hub["password"]) as user:
        user.log_in()
        return user.has_server()


@pytest.fixture(scope="module")
def proven(facility):
    """What `verify --json` says of a facility that is well."""
    done = verify(facility, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_hop_of_a_session_is_proven(proven):
    """From the spawn to the Dask workers, at the Collector and in the trace store."""
    assert proven["ok"]
    assert proven["broken"] is None
    counts = {hop["span"]: hop["count"] for hop in proven["hops"]}
    assert counts.pop("worker share") >= 1  # a quick worker may have done it all
    assert counts == {
        "spawn server": 1,
        "start server": 1,
        "start kernel": 1,
        "execute cell": CELLS,
        "run cell": CELLS,
        "compute graph": 1,
    }
    assert all(hop["proven"] for hop in proven["hops"])
    assert proven["processes"] >= 5
    assert proven["result"] == "Z peak at 91.18 ± 0.02 GeV"


def test_every_metric_counted_what_was_done(proven):
    """One spawn, each cell, all tasks: nothing is sampled away."""
    assert {metric["metric"]: metric["increase"] for metric in proven["metrics"]} == {
        "jupyterhub.spawn.duration": 1,
        "jupyter.cell.duration": CELLS,
        "dask.task.duration": TASKS,
    }


def test_nothing_is_left_of_the_user(facility, proven):
    """Its server is stopped when the command returns."""
    assert not has_server(facility, proven["user"])


def test_session_is_told_as_a_tree(facility, proven):
    """`trace` finds it by its id and as the last one, and knows where each trace comes from."""
    by_id = facility.command("trace", proven["session"]).stdout
    last = json.loads(facility.command("trace", "--json").stdout)

    assert by_id.startswith(f"Session {proven['session']}\n")
    assert by_id.count("\nexecute cell  from `spawn server`") == CELLS
    assert "compute graph  134 tasks" in by_id
    assert "no errors" in by_id
    assert last["session"] == proven["session"]
    assert {root["name"] for root in last["roots"]} >= {
        "spawn server",
        "start kernel",
        "execute cell",
    }


def test_a_terminal_without_our_signs_is_told_all_the_same(facility, proven):
    """In another locale than UTF-8, a sign that it has not is a question mark."""
    told = af_otel(
        "trace", proven["session"], "--state", str(facility.state),
        env={"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "?? start server" in told.stdout


def test_two_at_once_do_not_meet(facility):
    """Each has a user and a session of its own, and both are proven."""
    both = [
        subprocess.Popen(
            [AF_OTEL, "verify", "--json", "--state", str(facility.state)],
            env=clean_env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    reports = [json.loads(process.communicate(timeout=WITHIN)[0]) for process in both]

    assert [report["broken"] for report in reports] == [None, None]
    assert len({report["user"] for report in reports}) == 2
    assert len({report["session"] for report in reports}) == 2


def test_kernel_that_is_not_traced_is_the_broken_hop(facility, proven):
    """The first hop without its span is named with what to do; the exit code is 1."""
    # Kernels inherit the environment of the user's server, which is traced already.
    config = facility.state / "home" / proven["user"] / ".jupyter" / "jupyter_server_config.py"
    config.write_text("import os; os.environ['AF_OTEL_DISABLED'] = 'true'")
    try:
        done = verify(facility, "--json")
    finally:
        config.unlink()
    report = json.loads(done.stdout)

    assert done.returncode == 1
    assert report["broken"]["hop"] == "run cell"
    assert done.stderr.partition("error: ")[2].splitlines() == [
        "Broken at `run cell`: At the Collector: no span `run cell` of `jupyter-kernel`",
        f"  where: session `{report['session']}`",
        f"  hint:  read `af-otel logs jupyterhub --state {facility.state}`",
    ]


def test_interrupted_user_leaves_no_server(facility, proven):
    """Ctrl-C at any moment stops the server before the command returns."""
    process = subprocess.Popen(
        [AF_OTEL, "verify", "--state", str(facility.state)],
        env=clean_env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    interrupted = False
    for line in process.stderr:
        # Once: a line whose printing it interrupts is printed again.
        if line.startswith("start kernel: done") and not interrupted:
            process.send_signal(signal.SIGINT)
            interrupted = True
    code = process.wait(WITHIN)

    assert code == 130
    assert not has_server(facility, proven["user"])


def test_server_left_by_a_killed_verification_is_in_nobodys_way(facility, proven):
    """The next one stops it first: it gets a server, and so a session, of its own."""
    process = subprocess.Popen(
        [AF_OTEL, "verify", "--state", str(facility.state)],
        env=clean_env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.startswith("spawn server: done"):
            process.kill()
    process.wait(WITHIN)

    def started():
        return user.hub_api("GET", f"users/{user.name}").json()["servers"][""]["started"]

    with User(facility.hub["url"], proven["user"], facility.hub["password"]) as user:
        user.log_in()
        left = started()
        user.spawn(WITHIN)
        assert started() != left
        user.stop_server()
        assert not user.has_server()


def test_door_stays_shut_to_a_wrong_password(facility):
    """The login form says no, whatever the version of the hub answers it with."""
    with (
        User(facility.hub["url"], "verify", "wrong") as user,
        pytest.raises(AfOtelError, match="The hub does not let `verify` in"),
    ):
        user.log_in()


def test_time_that_is_over_is_told(facility):
    """A facility that is too slow is no mystery."""
    done = verify(facility, "--timeout", "1")

    assert done.returncode == 1
    assert "error: Broken at `spawn server`: The server was not ready after" in done.stderr


def test_no_facility_is_one_error(tmp_path):
    """Where none runs, both commands say how to start one."""
    for command in ("verify", "trace"):
        done = af_otel(command, "--state", str(tmp_path))
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            "error: No facility runs here",
            f"  where: `{tmp_path}`",
            "  hint:  start one with `af-otel up`, or name its directory with `--state DIR`",
        ]
