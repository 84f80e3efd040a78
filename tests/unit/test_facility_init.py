"""`af-otel init` writes its file at once or not at all, and never over somebody's."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import pytest
from discovered import found, service, workload, z2jh

from af_otel.errors import AfOtelError
from af_otel.facility import discovery
from af_otel.facility.read import schema_text

# The package has the command itself under this name.
command = importlib.import_module("af_otel.cli.init")
write, ours = command._write, command._ours


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path):
    """And nothing else is left in the directory."""
    write(tmp_path / "facility.yaml", "name: a\n", force=False)
    assert (tmp_path / "facility.yaml").stat().st_mode & 0o777 == 0o640
    assert [item.name for item in tmp_path.iterdir()] == ["facility.yaml"]


def test_a_file_that_is_there_stays_as_it_is(tmp_path):
    """Also one that somebody has made since it was looked for, and a link that leads nowhere."""
    path = tmp_path / "facility.yaml"
    path.write_text("mine")
    with pytest.raises(AfOtelError, match="there already"):
        write(path, "name: a\n", force=False)
    assert path.read_text() == "mine"
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "nowhere.yaml")
    with pytest.raises(AfOtelError, match="there already"):
        command._must_be_new(link)


def test_a_forced_write_keeps_the_mode_and_the_link(tmp_path):
    """A file may be a link into a checkout."""
    path = tmp_path / "real.yaml"
    path.write_text("old")
    path.chmod(0o600)
    link = tmp_path / "facility.yaml"
    link.symlink_to(path)
    write(link, "new", force=True)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["none/facility.yaml", "directory", "/dev/full"])
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, name):
    """A missing directory, a directory of that name: one sentence, and no half a file."""
    (tmp_path / "directory").mkdir()
    with pytest.raises(AfOtelError, match=r"cannot be written|there already") as caught:
        write(tmp_path / name, "name: a\n", force=name == "directory")
    assert name in caught.value.where
    assert [item.name for item in tmp_path.iterdir()] == ["directory"]


def test_only_a_schema_of_ours_is_replaced(tmp_path):
    """Somebody's file of that name is no schema of ours, whatever it is."""
    path = tmp_path / "facility.schema.json"
    assert ours(path)
    path.write_text(schema_text())
    assert ours(path)
    for text in ("{}", "[]", "no json", json.dumps({"title": "Other"})):
        path.write_text(text)
        assert not ours(path)


def test_json_lists_the_trace_stores_by_their_kind():
    """Also those that are not taken."""
    labels = {"app": "store"}
    stores = [
        workload("Deployment", name, "mon", labels | {"name": name}, {"image": image})
        + service(name, "mon", {"name": name}, 4318)
        for name, image in (("tempo", "grafana/tempo:2.8.2"), ("jaeger", "jaegertracing/jaeger"))
    ]
    seen = found(z2jh(), *stores)
    made = command._as_json(seen, discovery.write(seen), Path("facility.yaml"), complete=True)
    assert made["tempo"] == ["Tempo `tempo` in `mon`"]
    assert made["jaeger"] == ["Jaeger `jaeger` in `mon`"]
