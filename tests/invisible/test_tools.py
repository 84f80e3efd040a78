"""Tools that tell the user's code from libraries: debuggers, coverage, profilers, leak checks."""

from __future__ import annotations

from comparing import running_kernel
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
