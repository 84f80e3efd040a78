"""Run the programs that build: output to a log, nothing left behind when we are stopped."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OnLine = Callable[[str], None]
LAST_LINES = 15
GRACE = 5  # seconds a stopped compiler has to remove its temporary files


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    on_line: OnLine = lambda _: None,
) -> None:
    """Run to the end, line by line; a failure is told with its last lines.

    The program gets a process group of its own, so that Ctrl-C reaches us first and we end all
    of it: `go build` alone would leave its compilers to finish.
    """
    tail: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                sink.write(line)
                tail.append(line.rstrip())
                on_line(line.rstrip())
            process.wait()
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        raise AfOtelError(
            f"`{' '.join(command[:2])}` failed with {process.returncode}\n    "
            + "\n    ".join(tail),
            where=f"the whole output is in `{log}`",
            hint="if it is the network, run it again: what is built so far is kept",
        )


def output(command: Sequence[str]) -> str:
    """What a short command prints, or nothing if it cannot be run."""
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def _end(process: subprocess.Popen[str]) -> None:
    """Stop the program, then whatever of its group is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
