"""Bills of materials against what they are of: a payload directory, and programs made by Go."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from af_otel.local import servers

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))

from building import toolchains  # noqa: E402
from building.progress import Progress  # noqa: E402

AF_OTEL = str(Path(sys.executable).with_name("af-otel"))


def af_otel(*arguments, **env):
    return subprocess.run(
        [AF_OTEL, *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def sbom(*arguments):
    """A bill of materials, which is valid by the schema of CycloneDX 1.6."""
    done = af_otel("sbom", *arguments)
    assert done.returncode == 0, done.stderr
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(done.stdout) is None
    return json.loads(done.stdout)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def the_hash(component):
    (found,) = component["hashes"]
    assert found["alg"] == "SHA-256"
    return found["content"]


def licence(component):
    (found,) = component["licenses"]
    return found["license"]["id"] if "license" in found else found["expression"]


def test_the_payload_has_these_files_and_no_others(tmp_path):
    """Each file of a real directory, with its hash, once; the zip and the directory's name, too."""
    bom = sbom("payload")
    assert af_otel("payload", tmp_path / "payload").returncode == 0
    assert af_otel("payload", "--zip", tmp_path / "payload.zip").returncode == 0
    root = (tmp_path / "payload").resolve()
    written = {
        path.relative_to(root).as_posix(): sha256(path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }
    listed = [
        (file["name"], the_hash(file))
        for component in bom["components"]
        for file in component["components"]
    ]
    assert len(listed) == len(written)
    assert dict(listed) == written

    subject = bom["metadata"]["component"]
    assert the_hash(subject) == sha256((tmp_path / "payload.zip").read_bytes())
    (directory,) = subject["properties"]
    assert root.name == f"payload.{directory['value']}"


def test_the_payload_has_these_distributions():
    """With the versions and licences that are installed; OpenTelemetry is not listed as ours."""
    components = {each["name"]: each for each in sbom("payload")["components"]}
    for name, component in components.items():
        version = metadata.version(name)
        assert component["version"] == version
        assert component["purl"] == f"pkg:pypi/{name}@{version}"
        assert licence(component) == "Apache-2.0"
    owners = {
        file["name"].removeprefix("af_otel_lib/"): name
        for name, component in components.items()
        for file in component["components"]
    }
    assert owners["sitecustomize.py"] == "af-otel"
    assert owners["_af_otel/typing_extensions.py"] == "af-otel"
    assert owners["_af_otel/opentelemetry/sdk/trace/__init__.py"] == "opentelemetry-sdk"
    assert owners["_af_otel/af_otel_instrumentation/dask/graph.py"] == (
        "af-otel-instrumentation-dask"
    )


@pytest.fixture(scope="module")
def go():
    """The Go that the servers are built with."""
    with Progress(1) as progress:
        return toolchains.go(progress).program


def modules(go, program):
    """Each module of a program with version and sum, as Go itself reads them."""
    text = subprocess.run(
        [go, "version", "-m", program], check=True, capture_output=True, text=True
    ).stdout
    first, *lines = text.splitlines()
    found = {"std": (first.rpartition(": go")[2], "")}
    last = ""
    for line in lines:
        kind, *fields = line.strip().split("\t")
        if kind == "=>":
            del found[last]
        if kind in {"dep", "=>"}:
            last, version, *sums = fields
            found[last] = version, *(sums or [""])
    return found


@pytest.mark.parametrize("name", ["collector", "prometheus", "jaeger"])
def test_a_program_has_the_modules_that_go_itself_reads(name, go):
    """All of them with version and hash, and no others; in any program that is made by Go."""
    program = servers.find(name).path
    bom = sbom("collector", program)
    expected = modules(go, program)
    assert len(bom["components"]) == len(expected) > 100
    for component in bom["components"]:
        version, checksum = expected[component["name"]]
        assert component.get("version", "") == version
        if checksum:
            assert bytes.fromhex(the_hash(component)) == base64.b64decode(
                checksum.removeprefix("h1:")
            )
        else:
            assert "hashes" not in component
    assert the_hash(bom["metadata"]["component"]) == sha256(program.read_bytes())


def test_our_own_collector_is_known_with_all_licences():
    """It is the default; each module is in the list that the licence check maintains."""
    bom = sbom("collector")
    own = servers.find("collector")
    subject = bom["metadata"]["component"]
    assert (subject["name"], subject["version"]) == (own.path.name, own.version)
    names = {component["name"] for component in bom["components"]}
    assert {"std", "go.opentelemetry.io/collector/receiver/otlpreceiver"} <= names
    assert all(licence(component) for component in bom["components"])


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", b"\xff Go buildinf:\x08\x02" + b"\0" * 64]
)
def test_what_is_not_made_by_go_is_refused(tmp_path, content):
    """Also a file that begins like build information and holds none."""
    file = tmp_path / "program"
    file.write_bytes(content)
    done = af_otel("sbom", "collector", file)
    assert done.returncode == 1
    assert not done.stdout
    assert f"where: `{file}`" in done.stderr
    assert "hint:" in done.stderr


def test_a_program_that_is_cut_off_is_refused(tmp_path):
    """Wherever in its build information it ends."""
    data = servers.find("collector").path.read_bytes()
    at = data.find(b"\xff Go buildinf:")
    while at % 16 or not data[at + 15] & 2:
        at = data.find(b"\xff Go buildinf:", at + 1)
    file = tmp_path / "program"
    for length in (14, 15, 32, 33, 40, 60, 1000):
        file.write_bytes(b"\0" * 16 + data[at : at + length])
        done = af_otel("sbom", "collector", file)
        assert done.returncode == 1, length
        assert done.stderr.startswith("error: "), done.stderr


def test_the_document_goes_into_a_file(tmp_path):
    """Or the error says why it cannot."""
    file = tmp_path / "bom.json"
    done = af_otel("sbom", "payload", "--output", file)
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads(file.read_text())["specVersion"] == "1.6"
    done = af_otel("sbom", "payload", "--output", tmp_path / "none" / "bom.json")
    assert done.returncode == 1
    assert "error: The bill of materials cannot be written" in done.stderr


def test_without_the_library_the_error_says_how_to_install_it(tmp_path):
    """It is an extra, because only this command needs it."""
    (tmp_path / "cyclonedx").mkdir()
    (tmp_path / "cyclonedx" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'cyclonedx'\", name='cyclonedx')"
    )
    done = af_otel("sbom", "payload", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "The package `cyclonedx` is not installed" in done.stderr
    assert "pip install 'af-otel[sbom]'" in done.stderr
