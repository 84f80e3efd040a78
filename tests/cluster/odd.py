"""Images that facilities have and that nobody plans for."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pythons import installed

from cluster import images, recipes

if TYPE_CHECKING:
    from cluster.cluster import Cluster

OWN_SITE = "localhost/af-otel-test/own-site:1"
NO_PYTHON = "localhost/af-otel-test/no-python:1"
PYTHON_38 = "localhost/af-otel-test/python38:1"
SITECUSTOMIZE = """
import os
os.environ["OWN_SITE"] = "was here"
"""


def own_site(cluster: Cluster) -> str:
    """A user's image whose PYTHONPATH has a sitecustomize, and an old API of OpenTelemetry."""
    if not cluster.has_image(OWN_SITE):
        layers, settings = recipes.image("user")
        with tempfile.TemporaryDirectory() as tree:
            site = Path(tree) / "srv" / "site"
            site.mkdir(parents=True)
            (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
            _readable(tree)
            extra = images.layer(Path(tree), cluster.state)
        settings["env"] = {**settings["env"], "PYTHONPATH": "/srv/site"}
        layers = [*layers, recipes.other_telemetry(), extra]
        images.load(cluster.node, OWN_SITE, layers, **settings)
        extra.path.unlink()
    return OWN_SITE


def no_python(cluster: Cluster) -> str:
    """An image with a shell and no Python at all; it sleeps."""
    if not cluster.has_image(NO_PYTHON):
        with tempfile.TemporaryDirectory() as tree:
            for path in ("usr/bin/python3", "usr/bin/python3.11", "usr/lib/python3.11"):
                hidden = Path(tree) / path
                hidden.parent.mkdir(parents=True, exist_ok=True)
                (hidden.parent / f".wh.{hidden.name}").touch()
            _readable(tree)
            cluster.image(NO_PYTHON, Path(tree), upon="base", entrypoint=["sleep", "infinity"])
    return NO_PYTHON


def python_38(cluster: Cluster) -> str:
    """An image whose only Python is 3.8, older than any SDK of ours; it sleeps."""
    program = installed().get("3.8")
    if program is None:
        pytest.skip("this machine has no Python 3.8 to make an image of")
    if not cluster.has_image(PYTHON_38):
        with tempfile.TemporaryDirectory() as tree:
            target = Path(tree) / "opt" / "python3.8"
            prefix = Path(program).resolve().parents[1]
            tests = shutil.ignore_patterns("test", "tests", "site-packages", "*.a", "__pycache__")
            shutil.copytree(prefix, target, symlinks=True, ignore=tests)
            (Path(tree) / "usr/bin").mkdir(parents=True)
            (Path(tree) / "usr/bin/.wh.python3.11").touch()
            (Path(tree) / "usr/bin/python3").symlink_to("/opt/python3.8/bin/python3.8")
            _readable(tree)
            # Some are linked to a library of their own, by its place on this machine.
            env = {"LD_LIBRARY_PATH": "/opt/python3.8/lib"}
            sleep = ["sleep", "infinity"]
            cluster.image(PYTHON_38, Path(tree), upon="base", entrypoint=sleep, env=env)
    return PYTHON_38


def _readable(tree: str) -> None:
    Path(tree).chmod(0o755)
