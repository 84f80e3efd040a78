"""What the commands for a cluster share."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from af_otel import __main__ as command
from af_otel.cli._cluster import open_facility
from af_otel.facility import parse_text
from af_otel.kubernetes.inventory import Inventory, Revision


class _Cluster:
    """One with an install of ours, and nothing else."""

    def __init__(self, secret):
        self._secret = secret

    def get(self, ref):
        return self._secret if ref.kind == "Secret" else None


def test_backends_stay_whatever_else_the_file_says(tmp_path):
    """Who has said `--with-backends` once need not again; words are the words that they were."""
    text = "name: a\nhub: {namespace: b, selector: {component: hub, since: 2026-02-30, n: 0123}}\n"
    file = tmp_path / "facility.yaml"
    file.write_text(text)
    installed = parse_text(text, with_backends=True)
    inventory = Inventory("a", "af-otel", ()).begin(Revision.of(installed, []), [])

    assert open_facility(_Cluster(inventory.as_object()), file) == installed


def test_ctrl_c_while_the_command_loads_is_no_error(monkeypatch):
    """Its parts take a second to load on a busy machine; a traceback had been printed."""
    loading = ModuleType("af_otel.cli")
    loading.__getattr__ = _interrupted
    monkeypatch.setattr("af_otel.cli", loading)
    monkeypatch.setitem(sys.modules, "af_otel.cli", loading)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 130


def _interrupted(name):
    raise KeyboardInterrupt
