"""Tools that tell the user's code from libraries: debuggers, coverage, profilers, leak checks."""

from __future__ import annotations

import pytest
from comparing import Comparison, running_kernel
from pythons import HOSTS

WAIT = 60
# As in the kernel specs that ipykernel writes.
ARGV = (HOSTS, "-Xfrozen_modules=off", "-m", "ipykernel_launcher")


class Debugger:
    """A front end's debugger: requests on the control channel, events on iopub."""

    def __init__(self, client):
        self.client = client
        self.seq = 0

    def ask(self, command, **arguments):
        """Return the body of the answer to a request."""
        self.seq += 1
        content = {"type": "request", "seq": self.seq, "command": command, "arguments": arguments}
        request = self.client.session.msg("debug_request", content)
        self.client.control_channel.send(request)
        while True:
            answer = self.client.control_channel.get_msg(timeout=WAIT)
            if answer["parent_header"].get("msg_id") == request["header"]["msg_id"]:
                return answer["content"].get("body", {})

    def stopped(self, cell):
        """Return the next stop in the cell that was sent as `cell`; None when it has ended."""
        while True:
            message = self.client.get_iopub_msg(timeout=WAIT)
            content = message["content"]
            if content.get("event") == "stopped":
                return content["body"]
            own = message["parent_header"].get("msg_id") == cell
            if own and content.get("execution_state") == "idle":
                return None

    def attach(self):
        self.ask("initialize", clientID="test", adapterID="", pathFormat="path")
        self.ask("attach", justMyCode=True)


CELL = """\
def double(x):
    return 2 * x
a = double(1)
b = double(a)"""


def debugged(directory, env, prepare):
    """Return what a person who steps through a cell sees."""
    seen = []
    with running_kernel(directory, env, ARGV) as client:
        for code in prepare:
            client.execute_interactive(code, timeout=WAIT)
        debugger = Debugger(client)
        debugger.attach()
        path = debugger.ask("dumpCell", code=CELL)["sourcePath"]
        debugger.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": 3}])
        debugger.ask("setExceptionBreakpoints", filters=["raised"])
        debugger.ask("configurationDone")
        cell = client.execute(CELL)
        while stop := debugger.stopped(cell):
            thread = stop["threadId"]
            frames = debugger.ask("stackTrace", threadId=thread)["stackFrames"]
            seen.append([stop["reason"], *((frame["name"], frame["line"]) for frame in frames)])
            debugger.ask("next", threadId=thread)
            assert len(seen) < 20, seen
        names = [each["name"] for each in debugger.ask("threads")["threads"]]
        seen.append(sorted(names))
        debugger.ask("disconnect", restart=False, terminateDebuggee=False)
    return seen


def test_a_debugger_steps_through_the_users_code_alone(injection, tmp_path):
    """From line to line to the end of the cell, past no exception of ours, beside no thread."""
    record = ["from af_otel import metrics; metrics.counter('n').add(1)"]
    plain = debugged(tmp_path, {}, [])
    injected = debugged(tmp_path, injection, record)
    assert injected == plain
    assert [each[0] for each in plain[:-1]] == ["breakpoint", "step"]


WORK = """
import json, os, sys
from distributed import Client

def used(x):
    return x + 1

def work():
    with Client(n_workers=1, processes=False, dashboard_address=None) as client:
        print(client.submit(used, 1, pure=False).result())

record()
"""


@pytest.fixture(scope="module")
def hosts(injection, tmp_path_factory):
    """Compares scripts in the environment with Dask, which runs the tests."""

    def compare(script):
        outcome = Comparison(HOSTS, injection, tmp_path_factory.mktemp("hosts")).outcome(script)
        assert outcome.returncode == 0, outcome.stderr

    return compare


def test_coverage_measures_the_same_files(hosts):
    """On all threads, and as many lines of each."""
    hosts(
        WORK
        + """
import coverage
measured = coverage.Coverage(data_file=None, concurrency="thread")
measured.start()
work()
measured.stop()
data = measured.get_data()
for name in sorted(data.measured_files()):
    print(os.path.basename(name), sorted(data.lines(name)))
"""
    )


def test_no_thread_is_leaked(hosts):
    """As Dask's own tests look for them, and as `threading` counts them."""
    hosts(
        WORK
        + """
import threading
from distributed.utils_test import check_thread_leak
work()  # what Dask starts once
before = [thread.name for thread in threading.enumerate()]
with check_thread_leak():
    work()
print([thread.name for thread in threading.enumerate()] == before, threading.active_count())
"""
    )


def test_hooks_for_all_threads_are_not_called_on_ours(hosts):
    """`threading.settrace` and `setprofile` are inherited by every thread that starts."""
    hosts(
        WORK
        + """
import threading
seen = set()
def hook(frame, event, arg):
    seen.add((str(frame.f_globals.get("__name__")), frame.f_code.co_name))
    return hook
threading.settrace(hook)
threading.setprofile(hook)
work()
time.sleep(1.5)  # the sender exports
work()
print([name for name, function in seen if name.endswith("._sender") and function == "_work"])
"""
    )


def test_a_fork_is_not_warned_of(python, injection, tmp_path):
    """Python 3.12 and newer warn of one in a process with threads."""
    outcome = Comparison(python, injection, tmp_path).outcome(
        """
        import warnings
        warnings.simplefilter("always")
        for _ in range(5):
            record()
            time.sleep(0.1)
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        """
    )
    assert outcome.returncode == 0, outcome.stderr
