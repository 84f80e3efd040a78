"""Run a suite in an environment, plain or injected."""

from __future__ import annotations

import contextlib
import ctypes
import json
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from af_otel.errors import AfOtelError
from af_otel.local import servers
from upstream import results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from building.progress import Progress
    from upstream.environments import Environment, Tools
    from upstream.suites import Suite

LIMIT = 3600  # seconds for one run of a suite
TEST_LIMIT = 300  # seconds for one test, also on a busy machine
POLL = 0.5
LAST_LINES = 20
TESTS_FAILED = 1  # pytest's exit code
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
DONE = b"%]"  # at the end of pytest's line for a test


@dataclass(frozen=True)
class Runner:
    """Runs tests of one suite.

    Parameters
    ----------
    directory
        A directory for logs, results and the home directory of each run.
    injection
        The variables that inject telemetry.
    """

    suite: Suite
    environment: Environment
    directory: Path
    tools: Tools
    injection: Mapping[str, str]
    progress: Progress

    def run(self, name: str, tests: Sequence[str], *, inject: bool) -> results.Run:
        """Run tests and return their results.

        Raises
        ------
        AfOtelError
            Pytest did not run to its end.
        """
        directory = self.directory / name
        (directory / "home").mkdir(parents=True)
        (directory / "tmp").mkdir()
        self.progress.phase(f"{name}, tests", 0)
        log, junit = directory / "log", directory / "junit.xml"
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(directory, junit, tests),
                cwd=directory if self.suite.in_package else self.environment.root,
                env=self._env(directory, inject=inject),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self._wait(process, log)
            finally:
                process.kill()
                end_descendants()
        if process.returncode not in {0, TESTS_FAILED} or not junit.exists():
            lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            raise AfOtelError(
                f"Pytest ended with {process.returncode} in the run `{name}`\n    "
                + "\n    ".join(lines),
                where=f"`{log}`, which `--keep` keeps",
            )
        return results.Run(results.read(junit), time.monotonic() - began)

    def _command(self, directory: Path, junit: Path, tests: Sequence[str]) -> list[str]:
        return [
            *(str(self.environment.python), str(self.environment.script), "-v", "--color=no"),
            "--continue-on-collection-errors",
            *("-c", str(self.environment.config), "--rootdir", str(self.environment.root)),
            *("-p", "no:cacheprovider", "--basetemp", str(directory / "tmp" / "pytest")),
            *("-o", "junit_family=xunit1", f"--junitxml={junit}", f"--timeout={TEST_LIMIT}"),
            *self.suite.arguments,
            # Not by `Path`, which would change what a test's parameters contain.
            *(f"{self.environment.root}/{test}" for test in tests),
        ]

    def _env(self, directory: Path, *, inject: bool) -> dict[str, str]:
        path = [
            self.environment.python.parent,
            *(servers.find(name).path.parent for name in self.suite.programs),
        ]
        return {
            **self.tools.env,
            "PATH": ":".join([*map(str, path), self.tools.env.get("PATH", "")]),
            "HOME": str(directory / "home"),
            "TMPDIR": str(directory / "tmp"),
            **(self.injection if inject else {}),
        }

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + LIMIT
        with log.open("rb") as lines:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise AfOtelError(
                        f"A run of {self.suite.library} did not end in {LIMIT} s", where=f"`{log}`"
                    )
                for _ in range(lines.read().count(DONE)):
                    self.progress.advance()
                time.sleep(POLL)


def injection(endpoint: str) -> dict[str, str]:
    """Return the variables that inject telemetry for an endpoint, by `af-otel env`."""
    command = [str(servers.CHECKOUT / ".venv" / "bin" / "af-otel"), "env", "--format", "json"]
    done = subprocess.run(
        [*command, "--endpoint", endpoint], capture_output=True, text=True, check=True
    )
    variables: dict[str, str] = json.loads(done.stdout)
    return variables


def adopt_orphans() -> None:
    """Become the parent of orphans among our descendants, so that `end_descendants` finds them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill every process that a run has left behind, in whichever session it is."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
            process.wait(10)
