#!/usr/bin/env python3
"""Lock what the scripts install: exact versions, with the hashes of all files of each release.

Needs only Python and `.make/uv`, because no environment can be made without the locks. `--check`
needs no network.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from af_otel.errors import AfOtelError  # noqa: E402

# The parts of a pyproject.toml that decide what is installed, and the one with the constraints.
REQUIREMENTS = re.compile(r"\[(project|dependency-groups|tool\.uv)\b")
CONSTRAINTS = re.compile(r"\[tool\.uv\]")
DIGEST = "# SHA-256 of these and of what follows: "
INSTRUMENTATIONS = ("jupyterhub", "jupyter-server", "ipykernel", "dask", "coffea", "http")
OURS = (
    "af-otel",
    "af-otel-semconv",
    *(f"af-otel-instrumentation-{name}" for name in INSTRUMENTATIONS),
)


def _projects(*names: str) -> tuple[str, ...]:
    return tuple(f"instrumentations/{name}/pyproject.toml" for name in names)


@dataclass(frozen=True)
class Lock:
    """A lock and what it is made from.

    Parameters
    ----------
    path
        The lock, relative to the root of the repository, as all paths here.
    inputs
        Requirement files and pyproject.toml files.
    python
        The oldest Python that it is installed on. It holds for all newer ones, too.
    pinned
        Whether the constraints of the repository's pyproject.toml apply.
    constraints
        Locks whose versions are taken for what is in both.
    options
        More options of `uv pip compile`.
    """

    path: str
    inputs: tuple[str, ...]
    python: str = "3.10"
    pinned: bool = False
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def digest(self, body: str, root: Path = ROOT) -> str:
        """Return the SHA-256 of the inputs and of the lock's requirements."""
        digest = hashlib.sha256(body.encode())
        for name in (*self.inputs, *self.constraints):
            chosen = REQUIREMENTS if name.endswith(".toml") else None
            digest.update(_content(root / name, chosen))
        if self.pinned:
            digest.update(_content(root / "pyproject.toml", CONSTRAINTS))
        return digest.hexdigest()

    def check(self, root: Path = ROOT) -> None:
        """Raise an AfOtelError unless the lock is what was made from the inputs."""
        file = root / self.path
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        _, _, rest = text.partition(DIGEST)
        digest, _, body = rest.partition("\n")
        if not body or digest != self.digest(body, root):
            raise AfOtelError(
                f"`{self.path}` does not match {self._sources()}",
                where="one of them was changed after the lock was made" if text else "no lock",
                hint="run `make locks` and commit the result",
            )

    def write(self, uv: str, *, upgrade: bool) -> None:
        """Resolve the inputs; versions that still fit stay unless they are to be upgraded."""
        file = ROOT / self.path
        with tempfile.TemporaryDirectory() as scratch:
            output = Path(scratch) / "lock"
            if file.is_file():
                shutil.copyfile(file, output)
            command = [
                *(uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
                *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
                *("--no-python-downloads", "--python-version", self.python),
                # uv reads the constraints of the pyproject.toml around its directory.
                *("--directory", str(ROOT if self.pinned else Path(scratch))),
                *(f"--no-emit-package={name}" for name in OURS),
                *(f"--constraints={ROOT / name}" for name in self.constraints),
                *self.options,
                *(("--upgrade",) if upgrade else ()),
                *("--output-file", str(output)),
                *(str(ROOT / name) for name in self.inputs),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise AfOtelError(
                    f"{self._sources()} cannot be resolved",
                    where=done.stderr.strip(),
                    hint="change the requirements that it names; if it is the network, try again",
                )
            body = output.read_text(encoding="utf-8")
        head = f"# Made by `make locks` from {', '.join(self.inputs)}.\n"
        file.write_text(f"{head}{DIGEST}{self.digest(body)}\n{body}", encoding="utf-8")

    def _sources(self) -> str:
        return ", ".join(f"`{name}`" for name in self.inputs)


def _content(file: Path, chosen: re.Pattern[str] | None) -> bytes:
    """Return a file, or the chosen sections of a TOML file."""
    text = file.read_text(encoding="utf-8")
    if chosen is not None:
        sections = re.split(r"(?m)^(?=\[)", text)
        text = "".join(section.rstrip() for section in sections if chosen.match(section))
    return f"\0{text}".encode()


LOCKS = (
    Lock(
        "requirements.lock",
        ("pyproject.toml", *_projects("semconv", *INSTRUMENTATIONS)),
        pinned=True,
        options=("--group", "dev"),
    ),
    Lock("tools/build.lock", ("tools/build.txt",)),
    Lock("tools/toolchains.lock", ("tools/toolchains.txt",)),
    Lock(
        "tests/oldest.lock",
        (
            "tests/oldest.txt",
            *_projects("semconv", "jupyterhub", "jupyter-server", "ipykernel", "dask"),
        ),
    ),
    # The Python of the images' Debian.
    Lock("tests/cluster/hub.lock", ("tests/cluster/hub.txt",), "3.11", pinned=True),
    Lock("tests/cluster/user.lock", ("tests/cluster/user.txt",), "3.11", pinned=True),
    Lock("tests/cluster/other-telemetry.lock", ("tests/cluster/other-telemetry.txt",), "3.11"),
    Lock("tools/upstream/sources.lock", ("tools/upstream/sources.txt",)),
    *(
        Lock(
            f"tools/upstream/{library}.lock",
            (f"tools/upstream/{library}.txt",),
            constraints=("requirements.lock",),
        )
        for library in ("ipykernel", "jupyter_server", "jupyterhub", "distributed")
    ),
    *(
        Lock(f"tests/environments/{file.stem}.lock", (f"tests/environments/{file.name}",))
        for file in sorted((ROOT / "tests" / "environments").glob("*.txt"))
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors are printed to stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [lock.path for lock in LOCKS]
    parser.add_argument(
        "locks", nargs="*", metavar="LOCK", help=f"{', '.join(names)}; default: all"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a stale lock")
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases that fit")
    options = parser.parse_args(arguments)
    if unknown := set(options.locks) - set(names):
        parser.error(f"no such lock: {', '.join(sorted(unknown))}")
    failed = False
    for lock in LOCKS:
        if options.locks and lock.path not in options.locks:
            continue
        try:
            if options.check:
                lock.check()
            else:
                lock.write(str(ROOT / ".make" / "uv"), upgrade=options.upgrade)
                print(f"af-otel: wrote {lock.path}", file=sys.stderr)
        except AfOtelError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
