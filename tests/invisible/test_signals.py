"""Signals belong to the user's code: it finds, sets and receives them as in a plain process."""

from __future__ import annotations

import itertools
import os
import signal
import time

import pytest
from comparing import RECORD
from jupyter_client import KernelManager
from pythons import HOSTS

# What is in place for each signal, as Python and as the kernel know it.
STATE = """
import json, signal, threading
SIGNALS = sorted(map(int, signal.valid_signals()))  # others are the C library's, for its threads
def state():
    record()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    shown = {
        number: getattr(handler, "__qualname__", repr(handler))
        for number, handler in handlers.items() if handler is not signal.SIG_DFL
    }
    return shown, masks(open("/proc/self/status").read())
def masks(status):
    lines = dict(line.split() for line in status.splitlines() if line.startswith("Sig"))
    masks = {name: int(lines[name + ":"], 16) for name in ["SigBlk", "SigIgn", "SigCgt"]}
    return {
        name: [number for number in SIGNALS if mask >> number - 1 & 1]
        for name, mask in masks.items()
    }
"""

# It lasts for an hour in C, where no Python handler runs.
BUSY = """
import hashlib
def busy():
    hashlib.pbkdf2_hmac("sha512", b"", b"", 2_000_000_000)
"""


def terminate(process):
    time.sleep(0.2)  # it said that it is ready before it went on
    process.terminate()


def test_a_script_finds_the_same_signals(compared):
    """Dispositions and masks are those of a plain process, in its threads and children, too."""
    outcome = compared.outcome(
        STATE
        + """
import multiprocessing, subprocess
def show(name, found):
    print(name, json.dumps(found))
if __name__ == "__main__":
    show("script", state())
    blocked = []
    thread = threading.Thread(target=lambda: blocked.extend(signal.pthread_sigmask(0, [])))
    thread.start()
    thread.join()
    show("thread", blocked)
    sys.stdout.flush()
    if os.fork() == 0:
        show("forked", state())
        sys.stdout.flush()
        os._exit(0)
    os.wait()
    for method in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(method).Pool(1) as pool:
            show(method, pool.apply(state))
            pool.close()
            pool.join()
    cat = subprocess.run(["cat", "/proc/self/status"], stdout=subprocess.PIPE, text=True)
    show("program", masks(cat.stdout))
"""
    )
    names = [line.split()[0] for line in outcome.stdout.splitlines()]
    assert set(names) == {"script", "thread", "forked", "fork", "spawn", "forkserver", "program"}


IN_PYTHON = ["while True: pass", "time.sleep(600)"]
IN_C = ["ctypes.CDLL(None).sleep(600)", "busy()"]


@pytest.mark.parametrize(
    ("number", "work"),
    [
        *itertools.product([signal.SIGTERM, signal.SIGHUP], IN_PYTHON + IN_C),
        *itertools.product([signal.SIGINT], IN_PYTHON),  # in C it is noticed after the call
    ],
)
def test_a_signal_ends_a_script_in_the_same_way(compared, number, work):
    """Running Python or within a long C call."""
    outcome = compared.outcome(
        BUSY
        + f"""
import ctypes
record()
print("ready", flush=True)
{work}
""",
        act=lambda process: (time.sleep(0.2), process.send_signal(number)),
    )
    assert outcome.returncode == -number


def test_a_child_that_is_terminated_is_joined(compared):
    """Also while it is in a long C call."""
    outcome = compared.outcome(
        BUSY
        + """
import multiprocessing
def child(started):
    record()
    started.set()
    busy()
if __name__ == "__main__":
    record()
    for method in ["fork", "spawn"]:
        context = multiprocessing.get_context(method)
        started = context.Event()
        process = context.Process(target=child, args=(started,))
        process.start()
        started.wait()
        time.sleep(0.2)  # until it is in the call
        process.terminate()
        process.join()
        print(method, process.exitcode)
"""
    )
    assert outcome.stdout == "fork -15\nspawn -15\n"


def test_a_pool_is_left_while_a_worker_is_busy(compared):
    """The end of its `with` block kills the worker instead of waiting for its call."""
    outcome = compared.outcome(
        BUSY
        + """
import multiprocessing
def work():
    record()
    open("started", "w").close()
    busy()
if __name__ == "__main__":
    record()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        (worker,) = pool._pool
        pool.apply_async(work)
        while not os.path.exists("started"):
            time.sleep(0.01)
        time.sleep(0.2)
    print(worker.exitcode)
"""
    )
    assert outcome.stdout == "-15\n"


def test_a_blocked_signal_is_left_for_the_code_that_waits_for_it(compared):
    """A thread of telemetry would take it, and the process would die of it."""
    outcome = compared.outcome(
        """
import multiprocessing, signal
def wait(name):
    record()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.kill(os.getpid(), signal.SIGUSR1)
    print(name, int(signal.sigwait({signal.SIGUSR1})), flush=True)
if __name__ == "__main__":
    record()
    for method in ["fork", "spawn"]:
        process = multiprocessing.get_context(method).Process(target=wait, args=(method,))
        process.start()
        process.join()
    wait("script")
"""
    )
    assert outcome.stdout == "fork 10\nspawn 10\nscript 10\n"


COMPOSING = """
import signal
received = []
previous = signal.getsignal(signal.SIGTERM)
def notice(number, frame):
    if callable(previous):
        previous(number, frame)
    received.append(number)
"""


@pytest.mark.parametrize("condition", ["True", "previous in (None, signal.SIG_DFL)"])
def test_a_library_that_composes_handlers_saves_its_checkpoint(compared, condition):
    """PyTorch Lightning calls the handler that it finds, or steps back where there is one."""
    outcome = compared.outcome(
        f"""
record()
{COMPOSING}
if {condition}:
    signal.signal(signal.SIGTERM, notice)
print("ready", flush=True)
while not received:
    time.sleep(0.01)
with open("checkpoint", "w") as checkpoint:
    checkpoint.write("epoch 7")
sys.exit(3)
""",
        act=terminate,
    )
    assert (outcome.returncode, outcome.files) == (3, {"checkpoint": "epoch 7"})


def run_kernel(directory, injection, code):
    """Run code in a kernel that is then shut down; return what it printed and its exit code."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv = [HOSTS, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    with (directory / "log").open("ab") as log:
        manager.start_kernel(env={**plain, **injection}, cwd=directory, stdout=log, stderr=log)
    process = manager.provisioner.process
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute(code)
        printed = ""
        while not printed.endswith("ready\n"):
            message = client.get_iopub_msg(timeout=60)
            assert message["msg_type"] != "error", message["content"]["traceback"]
            if message["msg_type"] == "stream":
                printed += message["content"]["text"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    return printed, process.returncode


@pytest.mark.parametrize("end", ["", "busy()"], ids=["idle", "busy"])
def test_a_kernel_finds_the_same_signals_and_ends_by_the_same(injection, tmp_path, end):
    """A busy one is shut down by SIGTERM, and does not have to be killed."""
    code = RECORD + STATE + BUSY + f"print(json.dumps(state()))\nprint('ready')\n{end}"
    plain, injected = (run_kernel(tmp_path, env, code) for env in [{}, injection])
    assert injected == plain
    assert plain[1] == (-signal.SIGTERM if end else 0)
