"""The Pythons of this machine: on PATH, and pyenv's."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# The Python whose JupyterLab and Dask are tested; `make test` tests the oldest supported ones, too.
HOSTS = str(Path(os.environ.get("AF_OTEL_TEST_PYTHON", sys.executable)).absolute())
OLDEST = Path(__file__).parents[1] / ".venv-oldest" / "bin" / "python"

# As `make` has found or installed it.
UV = Path(__file__).parents[1] / ".make" / "uv"

# Locks of environments that tests make; `make locks` writes them.
ENVIRONMENTS = Path(__file__).parent / "environments"

TRACED = ("3.10", "3.11", "3.12", "3.13", "3.14")
UNTOUCHED = ("2.7", "3.6", "3.7", "3.8", "3.9")


@functools.cache
def installed() -> dict[str, str]:
    """The path of an interpreter by its `major.minor`."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*versions.glob("*/bin/python")]
    candidates += [
        Path(path) for version in TRACED + UNTOUCHED if (path := shutil.which(f"python{version}"))
    ]
    for path in candidates:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        # Python 2 answers on stderr; a shim of pyenv's for a version not chosen fails.
        said = re.match(r"Python (\d+\.\d+)", answer.stdout or answer.stderr)
        if answer.returncode == 0 and said:
            found.setdefault(said[1], str(path))
    return found


def venv(python: str, directory: Path, environment: str) -> str:
    """Make a virtual environment as a lock in `environments` says; return its interpreter."""
    uv = str(UV) if UV.exists() else "uv"
    subprocess.run([uv, "venv", "-q", "-p", python, directory], check=True)
    interpreter = str(directory / "bin" / "python")
    lock = ENVIRONMENTS / f"{environment}.lock"
    # In another directory: here, uv would add the constraints of pyproject.toml.
    command = [uv, "--directory", "/", "pip", "install", "-q", "--python", interpreter]
    command += ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    subprocess.run(command, check=True)
    return interpreter
