"""Run the same script plain and injected, so that a test can compare what came of it."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client import KernelManager
from pythons import HOSTS, TRACED, installed

from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Act = Callable[[subprocess.Popen[bytes]], Any]

# A process that hangs fails the test; one that is merely slow on a busy machine does not.
TIMEOUT = 120

# `record` leaves every thread and hook of telemetry behind in the process that calls it. Without
# injection it does nothing.
RECORD = """
import os, sys, time
def record():
    injected = "_af_otel_boot" in sys.modules
    assert injected == ("INJECTED" in os.environ), "the comparison is void"
    if injected:
        from af_otel import metrics
        metrics.counter("recorded").add(1)
        from _af_otel.runtime import _lazy, activate
        tracer = _lazy.LazyTracerProvider(activate._loader).get_tracer("test")
        while not tracer.start_span("open").is_recording():
            time.sleep(0.01)
        tracer.start_span("finished").end()
"""


def oldest_and_newest() -> list[str]:
    """Return the oldest and the newest traced interpreter, without this environment's packages."""
    versions = [version for version in TRACED if version in installed()]
    bare = Path(sys.base_prefix) / "bin"
    return [
        str(bare / f"python{version}") if path == sys.executable else path
        for version in dict.fromkeys([versions[0], versions[-1]])
        for path in [installed()[version]]
    ]


@dataclass
class Outcome:
    """What a process leaves behind. Only stderr is not compared."""

    returncode: int
    stdout: str
    files: Mapping[str, str]
    stderr: str = field(compare=False)


def _difference(plain: Outcome, injected: Outcome) -> str:
    lines = [
        [f"exited with {one.returncode}", *one.stdout.splitlines(), *one.stderr.splitlines()]
        + [f"{name}: {text}" for name, text in one.files.items()]
        for one in (plain, injected)
    ]
    return "\n".join(difflib.unified_diff(*lines, "plain", "injected", lineterm="", n=0))


@dataclass
class Comparison:
    """Runs scripts plain and injected by one interpreter.

    Attributes
    ----------
    injection
        The variables that inject telemetry.
    """

    python: str
    injection: Mapping[str, str]
    directory: Path

    def outcome(self, script: str, act: Act | None = None) -> Outcome:
        """Run a script both ways, require the same outcome, and return it.

        Parameters
        ----------
        script
            Its code, which may call `record`. It prints something when `act` may begin.
        act
            Called with the running process.
        """
        plain, injected = self.outcomes(script, act)
        assert injected == plain, _difference(plain, injected)
        return plain

    def outcomes(self, script: str, act: Act | None = None) -> tuple[Outcome, Outcome]:
        """Run a script plain, then injected, and return both outcomes."""
        return (
            self._run(script, act, "plain", {}),
            self._run(script, act, "injected", self.injection),
        )

    def _run(
        self,
        script: str,
        act: Act | None,
        name: str,
        env: Mapping[str, str],
    ) -> Outcome:
        code = self.directory / "script.py"
        code.write_text(RECORD + textwrap.dedent(script))
        directory = self.directory / name
        directory.mkdir()
        out, err = self.directory / f"{name}.out", self.directory / f"{name}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [self.python, code],
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), **env},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            if act is not None:
                wait_for(lambda: out.read_text() or process.poll() is not None, "`ready`", TIMEOUT)
                act(process)
            returncode = process.wait(TIMEOUT)
        finally:
            process.kill()
        files = {path.name: path.read_text() for path in sorted(directory.iterdir())}
        return Outcome(returncode, out.read_text(), files, err.read_text())


@contextmanager
def running_kernel(
    directory: Path,
    env: Mapping[str, str],
    argv: Sequence[str] = (HOSTS, "-m", "ipykernel_launcher"),
) -> Iterator[Any]:
    """Run a kernel and yield its client."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv = [*argv, "-f", "{connection_file}"]
    with (directory / "kernel.log").open("ab") as log:
        manager.start_kernel(
            env={**plain, "HOME": str(directory), **env}, cwd=directory, stdout=log, stderr=log
        )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def run_cells(
    directory: Path,
    env: Mapping[str, str],
    cells: list[str],
    argv: Sequence[str] = (HOSTS, "-m", "ipykernel_launcher"),
) -> list[str]:
    """Run cells in a kernel; return what each shows."""
    with running_kernel(directory, env, argv) as client:
        return ["".join(_outputs(client, cell)) for cell in cells]


def _outputs(client: Any, cell: str) -> Iterator[str]:
    request = client.execute(cell)
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        if content.get("execution_state") == "idle":
            return
        yield content.get("text") or "\n".join(content.get("traceback", []))
