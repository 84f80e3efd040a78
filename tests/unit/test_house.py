"""The house is as its plans say: documentation made from the constants, imports that go one way."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_names_page_is_what_the_constants_say():
    """`tools/generate_docs.py` was run after the last change of a name."""
    result = run(sys.executable, "tools/generate_docs.py", "--check")
    assert result.returncode == 0, result.stderr


def test_imports_go_one_way():
    """import-linter's contracts in pyproject.toml hold."""
    result = run(Path(sys.executable).with_name("lint-imports"))
    assert result.returncode == 0, result.stdout


def test_instrumentations_need_no_sdk():
    """They are made of OpenTelemetry's API, so that they work under anybody's SDK."""
    sources = list((ROOT / "instrumentations").rglob("*.py"))
    assert sources
    for source in sources:
        assert not re.search(r"opentelemetry\.(sdk|exporter)", source.read_text()), source
