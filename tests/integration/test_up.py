"""`af-otel up`, `down`, `status` and `logs`, on the whole facility with all its real parts."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from attacks import ATTACKS
from facility import AF_OTEL, af_otel, clean_env, processes, running_facility, up

from af_otel.local.plan import HASH_KEY
from af_otel.local.state import State
from servers import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.facility

SERVICES = {
    "collector", "prometheus", "jaeger", "jupyterhub",
    "dask-scheduler", "dask-worker-1", "dask-worker-2", "page",
}  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A facility of this module's own: its services are killed, its user logs in."""
    # A name with spaces, braces and a percent sign reaches every configuration file unharmed.
    state = tmp_path_factory.mktemp("up") / "a {state} 100%"
    with running_facility(state, env={HASH_KEY: "0123456789abcdef"}) as running:
        yield running


def start(state: Path, *options: str, **popen) -> subprocess.Popen[str]:
    """`af-otel up` in the foreground, its words on a pipe."""
    return subprocess.Popen(
        [AF_OTEL, "up", "--state", str(state), *options],
        env=clean_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **popen,
    )


@contextlib.contextmanager
def logged_in(hub: dict[str, str], user: str) -> Iterator[httpx.Client]:
    """A browser's session of this user, whose server is asked for."""
    with httpx.Client(base_url=hub["url"], follow_redirects=True, timeout=60) as client:
        client.get("/hub/login")
        form = {"username": user, "password": hub["password"]}
        form["_xsrf"] = client.cookies.get("_xsrf", path="/hub/") or ""
        answer = client.post("/hub/login", data=form)
        assert answer.status_code == 200, answer.text
        yield client


def test_everything_that_up_names_is_there(own):
    """Each service answers where the JSON says, on the loopback only."""
    assert set(own.info["services"]) >= SERVICES
    assert own.info["ready"]
    for name, service in own.info["services"].items():
        assert psutil.pid_exists(service["pid"]), name
        with socket.create_connection(("127.0.0.1", service["port"]), timeout=5):
            pass
    listeners = {
        connection.laddr.ip
        for process in psutil.process_iter()
        if process.pid in {member.pid for member in members(own.state)}
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listeners == {"127.0.0.1"}


def members(state: Path) -> list[psutil.Process]:
    """Every process of the facility's."""
    from af_otel.local import processes as local

    return local.find(str(state))


def test_a_user_finds_the_examples_and_keeps_what_is_theirs(own):
    """Any user name gets in; a second start of the server overwrites nothing."""
    with logged_in(own.hub, "marie") as client:

        def listed():
            client.get("/user/marie/lab")
            answer = client.get("/user/marie/api/contents/examples")
            return answer.json()["content"] if answer.status_code == 200 else None

        files = wait_for(listed, "marie's server", 90)
        names = sorted(file["name"] for file in files)
        assert names == ["coffea.ipynb", "dimuon.ipynb", "train.ipynb"]
    home = own.state / "home" / "marie"
    notebook = home / "examples" / "dimuon.ipynb"
    notebook.write_text("mine")
    from af_otel.local import files as packaged
    from af_otel.local.hub import furnish

    furnish(home, packaged.examples())
    assert notebook.read_text() == "mine"


def test_users_servers_are_traced_and_know_the_facility(own):
    """What the hub hands on: the payload, where to send, whose it is, and the Dask scheduler."""
    server = next(
        process for process in members(own.state) if "jupyterhub.singleuser" in process.cmdline()
    )
    env = server.environ()
    assert env["PYTHONPATH"].split(os.pathsep)[0] == own.info["payload"]
    assert env["AF_OTEL_ENDPOINT"] == own.urls["collector_otlp"]
    assert env["AF_OTEL_FACILITY"] == own.info["name"]
    assert not [name for name in env if name.startswith("OTEL_")]
    assert env["DASK_SCHEDULER_ADDRESS"] == own.urls["dask_scheduler"]
    assert env["HOME"] == str(own.state / "home" / "marie")
    assert own.hub["password"] not in " ".join(env.values())
    # The hub's proxy has the environment of the hub.
    holders = {one.pid: one for one in members(own.state) if HASH_KEY in one.environ()}
    assert holders.pop(own.pid("jupyterhub"))
    assert all("configurable-http-proxy" in " ".join(one.cmdline()) for one in holders.values())


def test_up_twice_shows_the_one_that_runs(own):
    """Not an error: what was wanted is there. The addresses are the same."""
    again = up(own.state)
    assert again.returncode == 0, again.stderr
    assert "A facility runs here already" in again.stderr
    assert json.loads(again.stdout)["urls"] == own.urls
    assert own.hub["password"] in again.stderr


def test_what_the_services_say_of_themselves_is_scraped(own):
    """The hub's and Dask's native metrics, and the Collector's own."""

    def up_jobs():
        jobs = {
            series.labels["job"]
            for query in ("up == 1", "otelcol_process_memory_rss_bytes")
            for series in own.prometheus.query(query)
        }
        wanted = ("af-otelcol", "jupyterhub", "dask-scheduler", "dask-worker")
        return jobs >= {f"{own.state.name}/{job}" for job in wanted}

    wait_for(up_jobs, "four jobs that are up", 90)


def test_a_service_that_dies_is_named_and_a_second_up_starts_it_again(own):
    """By itself nothing is started again; the others go on."""
    victim = own.pid("jaeger")
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: own.now()["services"]["jaeger"]["state"] == "dead", "the death to be seen")

    status = own.command("status")
    assert status.returncode == 1
    assert "dead: killed by SIGKILL" in status.stderr
    assert "error: `jaeger` ended by itself: killed by SIGKILL" in status.stderr
    assert f"af-otel up{State(own.state).option}" in status.stderr

    again = up(own.state)
    assert again.returncode == 0, again.stderr
    assert "Starting again: jaeger" in again.stderr
    assert own.pid("jaeger") != victim
    assert own.command("status").returncode == 0
    assert own.http.get(f"{own.urls['traces']}/api/v3/services").status_code == 200


def test_a_service_that_does_not_answer_is_named(own):
    """Until it answers again; its process runs all the time."""
    victim = own.pid("prometheus")
    os.kill(victim, signal.SIGSTOP)
    try:
        wait_for(lambda: state_of(own, "prometheus") == "unresponsive", "the silence to be seen")
        status = own.command("status")
        assert status.returncode == 1
        assert "error: `prometheus` runs and does not answer" in status.stderr
    finally:
        os.kill(victim, signal.SIGCONT)
    wait_for(lambda: state_of(own, "prometheus") == "ready", "an answer")
    assert own.pid("prometheus") == victim
    assert own.command("status").returncode == 0


def state_of(facility, service):
    """What `af-otel status` says of a service."""
    content = json.loads(facility.command("status", "--json").stdout)
    return content["services"][service]["state"]


def test_status_is_right_while_the_disk_is_full(own):
    """A supervisor that cannot write is not believed; later it writes what happened."""
    supervisor, victim = own.now()["pid"], own.pid("page")
    before = resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: state_of(own, "page") == "dead", "the death to be seen")
        assert own.now()["services"]["page"]["state"] == "ready", "it was written all the same"
        assert "is its disk full?" in own.command("status").stderr
    finally:
        resource.prlimit(supervisor, resource.RLIMIT_FSIZE, before)
    wait_for(lambda: own.now()["services"]["page"]["state"] == "dead", "the death to be written")
    assert up(own.state).returncode == 0
    assert own.command("status").returncode == 0


def test_a_killed_guardian_is_replaced(own):
    """So a supervisor that is killed later still leaves nothing."""
    supervisor = psutil.Process(own.now()["pid"])

    def guardian():
        return [one for one in supervisor.children() if one.cmdline() == supervisor.cmdline()]

    (first,) = guardian()
    first.kill()
    wait_for(lambda: guardian() not in ([], [first]), "another guardian")


def test_status_tells_pids_memory_and_ports(own):
    """For people as a table, for machines as JSON."""
    status = own.command("status", "--json")
    assert status.returncode == 0, status.stderr
    content = json.loads(status.stdout)
    assert content["running"]
    for name in SERVICES:
        service = content["services"][name]
        assert service["memory"] > 1_000_000
        assert service["pid"] == own.pid(name)
    assert "jupyterhub" in own.command("status").stderr


def test_status_says_what_was_refused(own):
    """Whose it was, how much and why."""
    request = ATTACKS["span of 1970"].make()
    url = own.urls["collector_otlp"] + request.path
    headers = dict(request.headers)
    answer = own.http.post(url, content=request.body, headers=headers)
    denied = own.http.post(url, content=b"not OTLP", headers=headers)
    assert (answer.status_code, denied.status_code) == (200, 400)

    lines = ["1 spans of `careless careless-1`: time", "1 requests: too large, or not OTLP"]

    def shown():
        text = own.command("status").stderr
        return all(line in text for line in lines)

    wait_for(shown, "the lines")


def test_logs_are_one_service_s_or_everybody_s(own):
    """The last lines, in the order of time, each with whose it is."""
    # More lines than a hub writes here: each look at a pending server is three of them.
    hub = own.command("logs", "jupyterhub", "-n", "1000000")
    assert "JupyterHub is now running at" in hub.stdout
    merged = own.command("logs", "-n", "1000000").stdout.splitlines()
    assert {line.split(" | ")[0].strip() for line in merged} >= {"collector", "jupyterhub"}
    unknown = own.command("logs", "jupiterhub")
    assert unknown.returncode == 1
    assert "one of `collector`" in unknown.stderr


def test_logs_can_be_followed(own, tmp_path):
    """A line that is written later comes by itself; Ctrl-C ends it without a traceback."""
    arguments = ["logs", "jupyterhub", "-n", "1", "-f", "--state", str(own.state)]
    out = tmp_path / "out"
    with out.open("w") as file:
        follow = subprocess.Popen([AF_OTEL, *arguments], stdout=file, stderr=file)
    try:
        wait_for(out.read_text, "the last line")
        httpx.get(own.hub["url"] + "/hub/no-such-page")
        wait_for(lambda: "/hub/no-such-page" in out.read_text(), "the new line")
    finally:
        follow.send_signal(signal.SIGINT)
        assert follow.wait(20) == 0
    assert "Traceback" not in out.read_text()


def test_down_tells_of_every_service(tmp_path):
    """Also of the last one, with which the supervisor ends."""
    state = tmp_path / "state"
    with running_facility(state) as running:
        down = af_otel("down", "--state", str(state))
        assert down.returncode == 0
        told = [line.removesuffix(": stopped") for line in down.stderr.splitlines()]
        assert set(running.info["services"]) < set(told)
        assert told[-1] == "Stopped; no process is left"


def test_a_second_facility_meets_neither_the_first_nor_its_ports(own, tmp_path):
    """Its ports are others, and said; a kill of its supervisor takes all of it, and only that."""
    state = tmp_path / "second"
    with running_facility(state) as second:
        mine, others = (
            {service["port"] for service in facility.info["services"].values()}
            for facility in (own, second)
        )
        assert not mine & others
        hub = own.info["services"]["jupyterhub"]["port"]
        moved = [note for note in second.info["notes"] if "JupyterHub listens on" in note]
        assert moved or hub not in range(8000, 8010)
        with logged_in(second.hub, "pierre") as client:
            wait_for(lambda: client.get("/user/pierre/lab").status_code == 200, "a server", 90)

        sockets = (state / "sockets").readlink()
        assert sockets.is_dir()
        os.kill(second.info["pid"], signal.SIGKILL)
        wait_for(lambda: not processes(state), "the end of all its processes", 60)
        wait_for(lambda: State(state).holder() is None, "the lock to be free")
        assert not sockets.exists()
        assert second.command("status").returncode == 1
    assert own.command("status").returncode == 0


def test_an_interrupt_while_it_starts_leaves_nothing(tmp_path):
    """Ctrl-C in the middle: exit code 130, no process, no lock."""
    state = tmp_path / "state"
    starting = start(state)
    for line in starting.stderr:
        if line.startswith("collector: ready"):
            break
    starting.send_signal(signal.SIGINT)
    _, rest = starting.communicate(timeout=60)
    assert starting.returncode == 130, rest
    assert rest.splitlines()[-1] == "Stopped; no process is left"
    assert not processes(state)
    assert State(state).holder() is None


def test_an_interrupt_of_a_detaching_up_leaves_nothing(tmp_path):
    """Whoever waits for it and changes their mind has not started anything."""
    state = tmp_path / "state"
    starting = start(state, "--detach")
    for line in starting.stderr:
        if line.startswith("collector: ready"):
            break
    starting.send_signal(signal.SIGINT)
    _, rest = starting.communicate(timeout=60)
    assert starting.returncode == 130, rest
    assert not processes(state)
    assert State(state).holder() is None


def test_the_foreground_tells_of_a_death_and_ends_with_an_interrupt(tmp_path):
    """The JSON is alone on stdout; a death is told where `up` runs; Ctrl-C is no failure."""
    state = tmp_path / "state"
    running = start(state, "--json")
    try:
        text = ""
        for line in running.stdout:
            text += line
            if line == "}\n":
                break
        info = json.loads(text)
        assert info["ready"]
        os.kill(info["services"]["dask-worker-1"]["pid"], signal.SIGKILL)
        for line in running.stderr:
            if line.startswith("error: `dask-worker-1` ended by itself: killed by SIGKILL"):
                break
        else:
            pytest.fail("nothing was said")
    finally:
        running.send_signal(signal.SIGINT)
        _, rest = running.communicate(timeout=60)
    assert running.returncode == 0, rest
    assert rest.splitlines()[-1] == "Stopped; no process is left"
    assert not processes(state)
    assert not (state / "facility.json").exists()


def test_a_service_that_cannot_start_is_named_with_its_last_words(tmp_path):
    """Jaeger finds a file where its data should be; the others are stopped."""
    state = State(tmp_path / "state")
    state.prepare()
    (state.directory / "jaeger").mkdir()
    (state.directory / "jaeger" / "keys").write_text("")
    failed = up(state.directory)
    assert failed.returncode == 1
    error = failed.stderr[failed.stderr.index("error:") :]
    assert error.startswith("error: `jaeger` ended while it started: exit code 1\n")
    assert "    | " in error
    assert "not a directory" in error
    assert f"af-otel logs jaeger{state.option}" in error
    assert json.loads(failed.stdout)["phase"] == "failed"
    assert not processes(state.directory)
    assert af_otel("status", "--state", str(state.directory)).returncode == 1


def test_a_port_asked_for_that_is_taken_stops_before_anything_starts(tmp_path):
    """Whoever named it counts on it; a service that is not there has none."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = up(tmp_path / "s", "--port", f"hub={port}")
    assert (refused.returncode, json.loads(refused.stdout)["phase"]) == (1, "failed")
    assert f"error: Port {port} is taken" in refused.stderr
    unknown = up(tmp_path / "s", "--port", f"hup={free_port()}")
    assert unknown.returncode == 1
    assert "one of `hub`" in unknown.stderr
    assert up(tmp_path / "s", "--port", "hub").returncode == 2
    assert not processes(tmp_path / "s")


def test_a_server_that_a_setting_names_wrongly_is_one_error(tmp_path):
    """Said by the waiting command, although the supervisor met it."""
    failed = up(tmp_path / "s", env={"AF_OTEL_TEMPO": sys.executable})
    assert failed.returncode == 1
    assert "error: `AF_OTEL_TEMPO` names what is no tempo" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_down_where_nothing_runs_says_so(tmp_path):
    """It is no error; a purge of what is not ours is."""
    nothing = af_otel("down", "--state", str(tmp_path / "none"))
    assert nothing.returncode == 0
    assert "No facility runs in" in nothing.stderr
    (tmp_path / "thesis.tex").write_text("...")
    refused = af_otel("down", "--purge", "--state", str(tmp_path))
    assert refused.returncode == 1
    assert (tmp_path / "thesis.tex").exists()
    state = State(tmp_path / "state")
    state.prepare()
    assert af_otel("down", "--purge", "--state", str(state.directory)).returncode == 0
    assert not state.directory.exists()
