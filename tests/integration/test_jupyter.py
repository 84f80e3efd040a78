"""A Jupyter Server and its kernels, traced by the payload, as a front end drives them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import jupyters
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from jupyters import LEGACY, V1, running_jupyter
from nbclient import NotebookClient
from nbformat import v4

from servers import running_collector, wait_for

SPAWN_TRACE, SPAWN_SPAN = "a" * 32, "b" * 16
USER = "0123456789abcdef"
SPAWNED = {
    "TRACEPARENT": f"00-{SPAWN_TRACE}-{SPAWN_SPAN}-01",
    "BAGGAGE": f"session.id=the-session,user.hash={USER}",
}
CURRENT_SPAN = """
from _af_otel.opentelemetry import trace
print(format(trace.get_current_span().get_span_context().span_id, "016x"))
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    """One Collector for all servers here: their kernels tell the spans apart."""
    with running_collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


@pytest.fixture(scope="module")
def settings(payload, collector):
    return {
        "PYTHONPATH": str(payload),
        **collector.settings,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }


@pytest.fixture(scope="module")
def server(settings, tmp_path_factory):
    """A server as a hub spawns it."""
    with running_jupyter(tmp_path_factory.mktemp("server"), {**settings, **SPAWNED}) as running:
        yield running


@pytest.fixture(params=[V1, LEGACY], ids=["v1", "legacy"])
def kernel(server, request):
    with server.kernel(request.param) as running:
        yield running


def cells(collector, kernel, count):
    """The finished cells of a kernel, in the order they were asked for."""

    def found():
        spans = of_kernel(collector, kernel, "execute cell")
        return spans if len(spans) >= count else None

    spans = wait_for(found, f"{count} cells")
    assert len(spans) == count
    return spans


def child(collector, parent, name):
    """The finished child of this name; None if there is none yet."""
    for span in finished(collector, name):
        if span["parent_id"] == parent["span_id"]:
            assert span["trace_id"] == parent["trace_id"]
            return span
    return None


def status(span):
    return span["attributes"].get("jupyter.cell.status")


def linked(span):
    return [link["span_id"] for link in span["links"]]


def finished(collector, name, /, **attributes):
    """Spans that have ended, in the order of their begin, with attributes of `jupyter.kernel`."""
    wanted = {f"jupyter.kernel.{key}": value for key, value in attributes.items()}
    found = [
        span
        for span in collector.spans(name)
        if "af_otel.pending" not in span["attributes"]
        and wanted.items() <= span["attributes"].items()
    ]
    return sorted(found, key=lambda span: span["start"])


def of_kernel(collector, kernel, name):
    return finished(collector, name, id=kernel.id)


def pending_run(collector, kernel):
    """The marker of a kernel's open `run cell`; None if there is none yet."""
    traces = {
        span["trace_id"]
        for span in collector.spans("execute cell")
        if span["attributes"]["jupyter.kernel.id"] == kernel.id
    }
    for span in collector.spans("run cell"):
        if span["trace_id"] in traces and "af_otel.pending" in span["attributes"]:
            return span
    return None


def test_the_start_of_a_server_is_part_of_its_spawn(collector, server):
    """`start server` begins with the process, not with its first import, and ends as it serves."""
    start = next(
        span
        for span in collector.wait_for_spans(lambda spans: spans)
        if span["name"] == "start server" and span["trace_id"] == SPAWN_TRACE
    )
    assert start["parent_id"] == SPAWN_SPAN
    assert start["attributes"]["session.id"] == "the-session"
    stat = Path(f"/proc/{server.process.pid}/stat").read_text()
    ticks = int(stat.rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    assert start["start"] / 1e9 == pytest.approx(time.time() - age, abs=0.5)
    assert start["end"] > start["start"]


def test_a_cell_is_followed_into_its_kernel(collector, kernel):
    """Server and kernel share its trace, which is linked to the spawn; every span says whose."""
    current = kernel.text(CURRENT_SPAN).strip()
    started_with = dict(
        entry.split("=", 1)
        for entry in kernel.text("print(open('/proc/self/environ').read())").split("\0")
        if "=" in entry
    )

    cell, _ = cells(collector, kernel, 2)
    run = wait_for(lambda: child(collector, cell, "run cell"), "the cell's run")
    queue = wait_for(lambda: child(collector, cell, "queue"), "the cell's wait")
    [start] = wait_for(lambda: of_kernel(collector, kernel, "start kernel"), "the kernel's start")
    assert child(collector, start, "launch kernel")

    assert (cell["parent_id"], cell["kind"], status(cell)) == (None, "server", "ok")
    assert (start["parent_id"], start["kind"]) == (None, "internal")
    assert linked(cell) == linked(start) == [SPAWN_SPAN]
    assert cell["trace_id"] not in {start["trace_id"], SPAWN_TRACE}
    assert start["attributes"]["jupyter.kernel.name"] == "python3"

    assert run["span_id"] == current
    assert (run["resource"]["service.name"], status(run)) == ("jupyter-kernel", "ok")
    assert run["attributes"]["jupyter.cell.execution_count"] == 1
    assert cell["start"] == queue["start"] <= queue["end"] <= cell["end"]

    _, trace_id, span_id, _ = started_with["TRACEPARENT"].split("-")
    assert (trace_id, span_id) == (start["trace_id"], start["span_id"])
    for span in (cell, queue, run, start):
        assert span["attributes"]["session.id"] == "the-session"
        assert span["attributes"]["user.hash"] == USER
    assert "session.id=the-session" in started_with["BAGGAGE"]


def test_what_a_cell_starts_inherits_the_session_and_no_span(collector, kernel):
    """A process of a cell's is no part of the kernel's start, nor of the server's."""
    code = "import os; print([os.environ.get(k) for k in ('TRACEPARENT', 'TRACESTATE', 'BAGGAGE')])"
    traceparent, tracestate, session = eval(kernel.text(code))
    assert (traceparent, tracestate) == (None, None)
    assert "session.id=the-session" in session


def test_the_end_of_a_cell_is_told(collector, kernel):
    """Errors carry their class and no text; what follows an error is aborted, and is no error."""
    ends = [
        kernel.ask("import time; time.sleep(0.3)"),
        kernel.ask("raise KeyError('canary')"),
        kernel.ask("2"),
    ]
    assert [kernel.reply(request)["content"]["status"] for request in ends] == [
        "ok",
        "error",
        "aborted",
    ]
    kernel.run("1 +", stop_on_error=False)
    kernel.run("raise SystemExit(3)", stop_on_error=False)
    kernel.run("import asyncio; await asyncio.sleep(0.01)")
    kernel.run("get_ipython().run_cell('1'); get_ipython().run_cell('')")

    found = cells(collector, kernel, 7)
    assert [status(cell) for cell in found] == [
        "ok",
        "error",
        "aborted",
        "error",
        "error",
        "ok",
        "ok",
    ]
    assert [cell["attributes"].get("error.type") for cell in found] == [
        None,
        "KeyError",
        None,
        "SyntaxError",
        "SystemExit",
        None,
        None,
    ]
    runs = [
        wait_for(lambda cell=cell: child(collector, cell, "run cell"), "a run")
        for cell in found
        if status(cell) != "aborted"
    ]
    for cell, run in zip([cell for cell in found if status(cell) != "aborted"], runs, strict=True):
        assert status(run) == status(cell)
        assert run["status"] == cell["status"]
        assert run["attributes"].get("error.type") == cell["attributes"].get("error.type")
        assert not run["status_message"]
        assert not run["events"]
        assert "canary" not in str(run)
        # A cell that another one runs is part of it.
        assert child(collector, run, "run cell") is None
    waited = wait_for(lambda: child(collector, found[1], "queue"), "the second cell's wait")
    assert waited["end"] - waited["start"] > 0.25e9
    assert child(collector, found[2], "queue") is None


def test_only_what_a_person_runs_is_traced(collector, kernel):
    """Requests that a front end makes on its own leave no span, in the server nor in the kernel."""
    kernel.run("1", silent=True)
    kernel.run("2", store_history=False)
    kernel.run(" \n")
    kernel.send("kernel_info_request", {})
    kernel.send("complete_request", {"code": "execute_request", "cursor_pos": 3})
    kernel.run("3")

    [cell] = cells(collector, kernel, 1)
    run = wait_for(lambda: child(collector, cell, "run cell"), "the cell's run")
    process = run["resource"]["service.instance.id"]
    assert [
        span["span_id"]
        for span in collector.spans("run cell")
        if span["resource"]["service.instance.id"] == process
    ] == [run["span_id"]]


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(60)", "import asyncio; await asyncio.sleep(2)"]
)
def test_an_interrupt_is_no_error(collector, server, kernel, code):
    """Also of a cell that awaits, which is cancelled once it is woken."""
    request = kernel.ask(code)
    kernel.read_until(lambda message: message["header"]["msg_type"] == "execute_input")
    time.sleep(0.3)  # from the echo of the cell to its first statement
    server.api("POST", f"kernels/{kernel.id}/interrupt")
    kernel.reply(request)

    [cell] = cells(collector, kernel, 1)
    run = wait_for(lambda: child(collector, cell, "run cell"), "the cell's run")
    for span in (cell, run):
        assert (status(span), span["status"]) == ("interrupted", "unset")
        assert "error.type" not in span["attributes"]


def test_a_killed_kernel_leaves_its_last_cell(collector, server, kernel):
    """The cell that ran died; the death and the restart are linked traces of their own."""
    pid = int(kernel.text("import os; print(os.getpid())"))
    kernel.ask("import time; time.sleep(60)")
    kernel.ask("2")
    kernel.read_until(
        lambda message: (
            message["header"]["msg_type"] == "execute_input" and "60" in message["content"]["code"]
        )
    )
    # What is open for a second is known, from the kernel too.
    marker = wait_for(lambda: pending_run(collector, kernel), "a marker of the open run")
    os.kill(pid, signal.SIGKILL)

    _, died, never_ran = cells(collector, kernel, 3)
    assert (status(died), died["status"]) == ("died", "error")
    assert died["attributes"]["error.type"] == "killed"
    assert (status(never_ran), never_ran["status"]) == ("aborted", "unset")
    assert child(collector, died, "run cell") is None
    assert marker["parent_id"] == died["span_id"]

    [death] = wait_for(lambda: of_kernel(collector, kernel, "kernel died"), "the death")
    starts = wait_for(
        lambda: found if len(found := of_kernel(collector, kernel, "start kernel")) == 2 else None,
        "the restart",
    )
    assert death["attributes"]["jupyter.kernel.exit_code"] == -9
    assert death["attributes"]["jupyter.kernel.death.reason"] == "killed"
    assert linked(death) == [SPAWN_SPAN, starts[0]["span_id"]]
    assert linked(starts[1]) == [SPAWN_SPAN, death["span_id"]]
    assert len({span["trace_id"] for span in (death, *starts, died)}) == 4
    assert all(span["parent_id"] is None for span in (death, *starts))
    wait_for(
        lambda: [
            point
            for point in collector.points("jupyter.cell.duration")
            if point["attributes"] == {"jupyter.cell.status": "died"}
        ],
        "the duration of the cell that died",
    )
    wait_for(lambda: collector.points("jupyter.kernel.death"), "the count of deaths")
    with server.connection(kernel.id, kernel.protocol) as again:
        assert again.run("1")["content"]["status"] == "ok"


def test_a_kernel_that_keeps_dying_is_told_each_time(collector, settings, tmp_path):
    """Each restart follows a death; the last death is followed by none, and no kernel is left."""
    spec = tmp_path / "jupyter_data_dir" / "kernels" / "dying" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-c", "import time; time.sleep(0.3); raise SystemExit(3)"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "dying", "language": "python"}))
    restarter = "AsyncIOLoopKernelRestarter"
    options = [f"--{restarter}.time_to_dead=0.5", f"--{restarter}.restart_limit=2"]
    with running_jupyter(tmp_path, {**settings, **SPAWNED}, options=options) as server:
        server.api("POST", "kernels", {"name": "dying"})

        def given_up():
            found = finished(collector, "kernel died", name="dying")
            return found if len(found) == 3 else None

        deaths = wait_for(given_up, "three deaths")
        starts = finished(collector, "start kernel", name="dying")
        active = wait_for(
            lambda: [
                point
                for point in collector.points("jupyter.kernel.active")
                if point["attributes"] == {"jupyter.kernel.name": "dying"} and point["value"] == 0
            ],
            "no active kernel",
        )
    assert active
    for death, start in zip(deaths, starts, strict=True):
        assert death["attributes"]["jupyter.kernel.exit_code"] == 3
        assert death["attributes"]["jupyter.kernel.death.reason"] == "exited"
        assert linked(death)[1] == start["span_id"]
    for death, restart in zip(deaths[:-1], starts[1:], strict=True):
        assert linked(restart)[1] == death["span_id"]


def test_a_restart_by_its_user_is_no_death(collector, server, kernel):
    """The cell that ran is interrupted, and the one behind it did not get to its end."""
    kernel.ask("import time; time.sleep(60)")
    kernel.ask("2")
    kernel.read_until(lambda message: message["header"]["msg_type"] == "execute_input")
    server.api("POST", f"kernels/{kernel.id}/restart")

    ran, never_ran = cells(collector, kernel, 2)
    assert (status(ran), ran["status"]) == ("interrupted", "unset")
    # The kernel may begin it between the interrupt and its own end.
    assert status(never_ran) in {"aborted", "interrupted"}
    starts = wait_for(
        lambda: found if len(found := of_kernel(collector, kernel, "start kernel")) == 2 else None,
        "the restart",
    )
    assert linked(starts[1]) == [SPAWN_SPAN, starts[0]["span_id"]]
    assert not of_kernel(collector, kernel, "kernel died")


def test_a_cell_outlives_its_browser_tab(collector, server, kernel):
    """It ends when the kernel has done it; how it went, the kernel says."""
    kernel.ask("import time; time.sleep(2)")
    kernel.read_until(lambda message: message["header"]["msg_type"] == "execute_input")
    kernel.socket.close()

    [cell] = cells(collector, kernel, 1)
    run = wait_for(lambda: child(collector, cell, "run cell"), "the cell's run")
    assert status(run) == "ok"
    assert status(cell) is None
    assert cell["end"] - cell["start"] > 1.9e9
    # Not as late as it was noticed.
    assert cell["end"] - run["end"] < 1e9


def test_a_kernel_takes_its_open_cells_along(collector, server):
    """A kernel that is shut down while its front end is away leaves nothing open."""
    with server.kernel() as kernel:
        kernel.ask("import time; time.sleep(60)")
        kernel.read_until(lambda message: message["header"]["msg_type"] == "execute_input")
    server.api("DELETE", f"kernels/{kernel.id}")
    [cell] = cells(collector, kernel, 1)
    assert status(cell) == "interrupted"


def test_subshells_run_cells_side_by_side(collector, server):
    """Each thread has its own current cell."""
    with server.kernel() as kernel:
        info = kernel.reply(kernel.send("kernel_info_request", {}))
        if "kernel subshells" not in info["content"].get("supported_features", []):
            pytest.skip("this ipykernel has no subshells")
        created = kernel.send("create_subshell_request", {}, channel="control")
        kernel.read_until(
            lambda message: (
                message["parent_header"].get("msg_id") == created
                and message["channel"] == "control"
            )
        )
        subshell = next(
            message["content"]["subshell_id"]
            for message in kernel.seen
            if message["channel"] == "control"
        )
        slow = kernel.ask("import time; time.sleep(2)" + CURRENT_SPAN)
        kernel.read_until(lambda message: message["header"]["msg_type"] == "execute_input")
        quick = kernel.ask(CURRENT_SPAN, subshell=subshell)
        kernel.reply(quick)
        assert slow not in kernel.replies
        kernel.reply(slow)
    first, second = cells(collector, kernel, 2)
    for cell in (first, second):
        assert wait_for(lambda cell=cell: child(collector, cell, "run cell"), "a run")
    assert second["end"] < first["end"]


def test_a_server_that_nobody_spawned_is_a_session_of_its_own(collector, settings, tmp_path):
    """It mints the session's id; kernels and cells are linked to its start."""
    with running_jupyter(tmp_path, settings) as server, server.kernel() as kernel:
        kernel.run("1")
        [cell] = cells(collector, kernel, 1)
        run = wait_for(lambda: child(collector, cell, "run cell"), "the cell's run")
        [start] = wait_for(lambda: of_kernel(collector, kernel, "start kernel"), "the start")
    session = cell["attributes"]["session.id"]
    assert len(session) == 32
    begin = next(
        span
        for span in collector.spans("start server")
        if span["attributes"]["session.id"] == session
    )
    assert begin["parent_id"] is None
    assert linked(cell) == linked(start) == [begin["span_id"]]
    assert run["attributes"]["session.id"] == start["attributes"]["session.id"] == session


def test_a_server_that_is_stopped_tells_of_its_open_cells(collector, settings, tmp_path):
    """As a hub stops it, while its user's browser is still there."""
    with running_jupyter(tmp_path, {**settings, **SPAWNED}) as server, server.kernel() as kernel:
        kernel.ask("import time; time.sleep(60)")
        kernel.read_until(lambda message: message["header"]["msg_type"] == "execute_input")
        server.stop()
    [cell] = cells(collector, kernel, 1)
    assert status(cell) == "interrupted"


def test_a_kernel_that_is_not_ipykernel_gets_the_session_and_no_span(settings, tmp_path):
    """It would keep the span in its environment, and hours of work would join its start's trace."""
    spec, told = tmp_path / "data" / "kernels" / "shell", tmp_path / "environment"
    spec.mkdir(parents=True)
    argv = ["sh", "-c", f"env > {told}.new; mv {told}.new {told}; sleep 60", "{connection_file}"]
    written = {"argv": argv, "display_name": "Shell", "language": "bash"}
    (spec / "kernel.json").write_text(json.dumps(written))
    environment = {**settings, **SPAWNED, "JUPYTER_PATH": str(tmp_path / "data")}
    with running_jupyter(tmp_path / "server", environment) as server:
        server.api("POST", "kernels", {"name": "shell"})
        wait_for(told.exists, "the kernel's environment")
    variables = dict(line.partition("=")[::2] for line in told.read_text().splitlines())
    assert "session.id=" in variables["BAGGAGE"]
    assert "TRACEPARENT" not in variables


@pytest.mark.parametrize("broken", ["no-traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_broken_environment_breaks_nothing(collector, settings, tmp_path, broken):
    """It counts as none."""
    environment = {**settings, "TRACEPARENT": broken, "BAGGAGE": ";;=,%zz"}
    with running_jupyter(tmp_path, environment) as server, server.kernel() as kernel:
        assert kernel.run("1")["content"]["status"] == "ok"
        [cell] = cells(collector, kernel, 1)
    assert cell["parent_id"] is None


def test_a_server_without_collector_works(settings, tmp_path):
    """Nothing listens where telemetry is sent, and nobody notices."""
    environment = {**settings, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with running_jupyter(tmp_path, environment) as server, server.kernel() as kernel:
        assert kernel.text("print('canary')") == "canary\n"
        assert not [
            message
            for message in kernel.seen
            if message["header"]["msg_type"] == "stream" and message["content"]["name"] == "stderr"
        ]


@pytest.mark.skipif(
    sys.executable != jupyters.PYTHON, reason="the tools are in the tests' own environment"
)
def test_it_works_with_a_plain_opentelemetry_instrument(collector, tmp_path):
    """Found by its entry points, in server and kernel, with the SDK and exporter of the tool."""
    settings = {
        **collector.settings,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_SERVICE_NAME": tmp_path.name,
        **SPAWNED,
    }
    tool = Path(sys.executable).with_name("opentelemetry-instrument")
    with (
        running_jupyter(tmp_path, settings, wrapper=[str(tool)]) as server,
        server.kernel() as kernel,
    ):
        kernel.run("1")
        [cell] = cells(collector, kernel, 1)
        run = wait_for(lambda: child(collector, cell, "run cell"), "the cell's run")
    assert linked(cell) == [SPAWN_SPAN]
    assert status(run) == "ok"
    assert run["resource"]["service.name"] == cell["resource"]["service.name"] == tmp_path.name


def test_a_notebook_without_a_server_is_linked_to_who_ran_it(collector, settings, tmp_path):
    """Its cells are traces of their own, with the session of the environment."""
    manager = KernelManager()
    manager._kernel_spec = KernelSpec(
        argv=[jupyters.PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        language="python",
    )
    notebook = v4.new_notebook(cells=[v4.new_code_cell("1"), v4.new_code_cell("2")])
    caller = {**SPAWNED, "BAGGAGE": f"session.id={tmp_path.name},user.hash={USER}"}
    NotebookClient(notebook, km=manager).execute(env={**os.environ, **settings, **caller})

    runs = wait_for(
        lambda: (
            found
            if len(
                found := [
                    span
                    for span in collector.spans("run cell")
                    if span["attributes"].get("session.id") == tmp_path.name
                ]
            )
            == 2
            else None
        ),
        "the two cells",
    )
    assert [run["parent_id"] for run in runs] == [None, None]
    assert [linked(run) for run in runs] == [[SPAWN_SPAN]] * 2
    assert len({run["trace_id"] for run in runs}) == 2
