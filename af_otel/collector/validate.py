"""What a Collector's own binary says of a configuration."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel.collector import config
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = 60  # seconds; it reads, and starts nothing
# Files that are read while the configuration is, and that only a pod has.
_IN_A_POD = ("AF_OTEL_ACCOUNT_TOKEN", "AF_OTEL_HUB_TOKEN_FILE")


def validate(program: Path, files: Mapping[str, str], env: Mapping[str, str]) -> None:
    """Have `program` read `files`, laid over each other in their order.

    Raises
    ------
    AfOtelError
        It does not accept them; `where` is what it says.
    """
    here = {key: value for key, value in os.environ.items() if not key.startswith("AF_OTEL_")}
    here |= env
    here |= {name: os.devnull for name in _IN_A_POD if not Path(here.get(name, "")).is_file()}
    with tempfile.TemporaryDirectory(prefix="af-otel-") as directory:
        options = []
        for name, text in files.items():
            file = Path(directory) / name
            file.write_text(text, encoding="utf-8")
            options += ["--config", str(file)]
        try:
            result = subprocess.run(
                [str(program), "validate", *options, config.FLAGS],
                env=here,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AfOtelError(
                f"`{program}` does not run as a Collector", where=str(error)
            ) from error
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().removeprefix("Error: ")
        raise AfOtelError(
            "The Collector refuses its configuration",
            where=said or f"exit code {result.returncode}",
            hint="the files are written for the Collector's version 0.159 with the components of "
            "collector-config/builder.yaml",
        )
