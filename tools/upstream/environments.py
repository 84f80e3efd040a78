"""Virtual environments that have the hosts of another environment and what the tests need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from af_otel.local import servers
from building import commands, requirements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from building.progress import Progress
    from upstream.suites import Suite


@dataclass(frozen=True)
class Tools:
    """What every step needs.

    Parameters
    ----------
    python
        The interpreter whose environment has the hosts.
    cache
        A directory for what is downloaded.
    uv
        The program.
    env
        The environment of programs that are run.
    log
        The file for their output.
    """

    python: str
    cache: Path
    uv: str
    env: Mapping[str, str]
    log: Path

    @classmethod
    def find(cls, python: str) -> Tools:
        """Return the tools of this checkout.

        Raises
        ------
        AfOtelError
            There is no uv.
        """
        own = servers.CHECKOUT / ".make" / "uv"
        uv = str(own) if own.exists() else shutil.which("uv")
        if uv is None:
            raise AfOtelError("uv was not found", where=f"`{own}`", hint="run `make venv`")
        cache = servers.cache().parent / "upstream"
        cache.mkdir(parents=True, exist_ok=True)
        return cls(python, cache, uv, plain_environment(), cache / "tools.log")

    def installed(self) -> dict[str, str]:
        """Return the version of each distribution that the hosts' environment has.

        Names are normalized, such as `jupyter-server`. Editable ones, which are ours, are left out.
        """
        command = [self.uv, "pip", "freeze", "--no-config", "--exclude-editable"]
        done = subprocess.run(
            [*command, "--python", self.python],
            env=dict(self.env),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AfOtelError(
                "The installed distributions cannot be listed",
                where=f"`{self.python}`",
                hint=done.stderr.strip(),
            )
        lines = [line.partition("==") for line in done.stdout.splitlines()]
        return {normalized(name): version for name, _, version in lines if version}


def normalized(name: str) -> str:
    """Return the name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what would inject, configure or trace a test."""
    foreign = ("AF_OTEL_", "OTEL_", "PYTHON", "PYTEST_", "JUPYTER", "DASK_", "TRACE", "BAGGAGE")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and name != "VIRTUAL_ENV"
    }


@dataclass(frozen=True)
class Environment:
    """A virtual environment with a library, its tests and what they need.

    Parameters
    ----------
    python
        Its interpreter.
    root
        Pytest's root directory, below which the tests are.
    config
        Pytest's configuration file.
    script
        The script that runs pytest.
    """

    python: Path
    root: Path
    config: Path
    script: Path


def make(
    suite: Suite, version: str, source: Path, directory: Path, tools: Tools, progress: Progress
) -> Environment:
    """Make an environment for a suite below `directory`.

    Every distribution has the version that the hosts' environment has, except the library and its
    companions, which have the version of the suite.
    """
    together = {normalized(name) for name in (suite.library, *suite.companions)}
    versions = tools.installed() | dict.fromkeys(together, version)
    constraints = directory / "constraints.txt"
    constraints.write_text("".join(f"{name}=={at}\n" for name, at in versions.items()))
    venv = directory / "venv"
    python = venv / "bin" / "python"
    options = ["--constraints", str(constraints), "-r", str(suite.requirements)]
    if _has(suite.lock, versions):
        options = ["--require-hashes", "--only-binary", ":all:", "-r", str(suite.lock)]
    else:
        progress.say(f"{suite.library} {version}: not in `{suite.lock.name}`, so without hashes")
    for command in (
        ["venv", "--no-config", "--python", tools.python, str(venv)],
        ["pip", "install", "--compile-bytecode", "--python", str(python), *options],
    ):
        commands.run([tools.uv, *command], cwd=directory, env=tools.env, log=tools.log)
    if suite.starts_servers and os.geteuid() == 0:
        server = venv / "etc" / "jupyter" / "jupyter_server_config.json"
        server.write_text('{"ServerApp": {"allow_root": true}}', encoding="utf-8")
    root = next(venv.glob("lib/python*/site-packages")) if suite.in_package else directory / "root"
    root.mkdir(exist_ok=True)
    for pattern in suite.files:
        for path in source.glob(pattern):
            _copy(path, root / path.relative_to(source))
    config = directory / suite.config
    shutil.copyfile(source / suite.config, config)
    script = directory / "script" / suite.script
    script.parent.mkdir()
    # Processes that multiprocessing spawns import it again.
    text = 'import sys, pytest\nif __name__ == "__main__":\n    sys.exit(pytest.main())\n'
    script.write_text(text, encoding="utf-8")
    return Environment(python, root, config, script)


def _has(lock: Path, versions: Mapping[str, str]) -> bool:
    """Return whether a lock has the given versions, as far as it has the distributions at all."""
    locked = requirements.entries(lock)
    names = requirements.names(lock)
    return all(version in locked for version in versions.items() if version[0] in names)


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
