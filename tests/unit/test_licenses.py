"""The licence check of `make lint`: which packages and images it accepts, and its errors."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))

import check_licenses  # noqa: E402
from building import toolchains  # noqa: E402
from building.progress import Progress  # noqa: E402
from licenses import cache, go  # noqa: E402
from licenses.policy import Package, Policy  # noqa: E402

LICENSECHECK = "github.com/google/licensecheck"
GO_MOD = "required by `tools/servers/server/go.mod`"
REPLACE = "replace it, or add an exception with its reason to `tools/licenses/policy.yaml`"
UPDATE = "run `.venv/bin/python tools/check_licenses.py --update`"


@pytest.fixture(scope="module")
def toolchain():
    """The Go that the check uses."""
    with Progress(1) as progress:
        return toolchains.go(progress)


@pytest.fixture(scope="module")
def classifier(toolchain):
    """The real classifier, cached per user."""
    with Progress(1) as progress:
        return go._Reader(toolchain, progress).classifier()


@pytest.fixture(scope="module")
def texts(toolchain):
    """Licence texts from the test data of the classifier's library."""
    answer = subprocess.run(
        [toolchain.program, "mod", "download", "-json", LICENSECHECK],
        cwd=go.CLASSIFIER,
        env=toolchain.env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    def text(licence):
        # The text follows the result that the library expects, and an empty line.
        file = Path(json.loads(answer)["Dir"]) / "testdata" / f"{licence}.t1"
        return file.read_text(encoding="utf-8").partition("\n\n")[2]

    return text


@pytest.fixture
def root(tmp_path, classifier, monkeypatch):
    """An empty repository, and an empty cache except for the classifier."""
    store = tmp_path / "cache"
    store.mkdir()
    shutil.copy(classifier, store)
    monkeypatch.setattr(cache, "directory", lambda: store)
    monkeypatch.delenv("CI", raising=False)
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", repository], check=True)
    return repository


@pytest.fixture
def errors(root, capsys):
    """Run the check and return its findings; also check the exit code and stdout."""

    def run(*arguments):
        code = check_licenses.main(arguments, root=root)
        output = capsys.readouterr()
        lines = [line for line in output.err.splitlines() if line.startswith("error: ")]
        assert code == bool(lines)
        assert bool(output.out) == (not lines)
        return [line.removeprefix("error: ") for line in lines]

    return run


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def require(root, module, version, *more):
    lines = ("module tools/server", "go 1.21", f"require {module} {version}", *more)
    write(root / "tools/servers/server/go.mod", "\n".join(lines))


def lock(root, **packages):
    content = {"lockfileVersion": 3, "packages": {"": {"name": "ours"}}}
    for name, entry in packages.items():
        content["packages"][f"node_modules/{name}"] = {"version": "1.0.0", **entry}
    write(root / "tools/page/package-lock.json", json.dumps(content))


def install(root, name, *fields):
    directory = root / ".venv/lib/python3.11/site-packages" / f"{name}-1.0.dist-info"
    lines = ("Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *fields)
    write(directory / "METADATA", "\n".join(lines) + "\n\n")


def test_the_repository_passes():
    """Everything that this repository installs, builds or names has a permissive licence."""
    result = subprocess.run(
        [sys.executable, "tools/check_licenses.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("licenses: ")
    assert ", all permissive" in result.stdout


def test_an_agpl_go_module_is_rejected(root, errors, texts):
    """The error names the licence from the module's licence file, and the go.mod."""
    require(root, "example.com/server", "v1.2.3", "replace example.com/server => ../fork")
    write(root / "tools/servers/fork/server.go", "package server\n")
    write(root / "tools/servers/fork/LICENSE", texts("AGPL-3.0"))
    module = "Go module `example.com/server` is under `AGPL-3.0`"
    assert errors() == [f"{module}, which is not allowed; {GO_MOD}; {REPLACE}"]

    write(root / "tools/servers/fork/LICENSE", texts("Apache-2.0"))
    assert errors() == []


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        (("LICENSE MIT", "enterprise/LICENSE SSPL-1.0", "enterprise/x.go"), "MIT AND SSPL-1.0"),
        (("LICENSE MIT", "docs/LICENSE CC-BY-NC-4.0", "x.go"), "MIT"),
        (("LICENSE MIT", "testdata/LICENSE GPL-2.0", "testdata/x.go"), "MIT"),
        (("COPYING GPL-3.0", "x.go"), "GPL-3.0"),
        (("LICENCE.md", "x.go"), "LicenseRef-unknown"),
        (("README.md", "x.go"), ""),
    ],
)
def test_all_licence_files_of_go_code_count(root, texts, files, licence):
    """Licence files next to Go code in subdirectories count; those of documentation do not."""
    require(root, "example.com/server", "v1.2.3", "replace example.com/server => ./fork")
    for name, _, text in (file.partition(" ") for file in files):
        write(root / "tools/servers/server/fork" / name, texts(text) if text else "package x\n")
    (package,) = go.check(root, download=False).packages
    assert package.licence == licence


def test_the_list_is_verified_against_licence_files(root, errors, texts, toolchain, monkeypatch):
    """A line of go.txt that contradicts the module's licence file is an error."""
    modules = root.parent / "modules"
    fake = dataclasses.replace(toolchain, module_cache=modules)
    monkeypatch.setattr(toolchains, "go", lambda _: fake)
    require(root, "example.com/Server", "v1.2.3")
    write(root / go.LIST, "example.com/Server v1.2.3 MIT\n")
    assert errors() == []

    write(modules / "example.com/!server@v1.2.3/LICENSE", texts("AGPL-3.0"))
    module = "Go module `example.com/Server` v1.2.3 is under `AGPL-3.0`"
    assert errors() == [
        f"{module}, which is not allowed; {GO_MOD}; {REPLACE}",
        f"{module}, but `tools/licenses/go.txt` says `MIT`; {GO_MOD}; {UPDATE}",
    ]

    assert errors("--update") == [f"{module}, which is not allowed; {GO_MOD}; {REPLACE}"]
    assert (root / go.LIST).read_text().endswith("example.com/Server v1.2.3 AGPL-3.0\n")


def test_the_list_has_exactly_the_required_versions(root, errors):
    """Another version of the same module does not count, and is an error as well."""
    require(root, "example.com/server", "v1.3.0")
    write(root / go.LIST, "example.com/server v1.2.0 MIT\n")
    module = "Go module `example.com/server`"
    assert errors() == [
        f"{module} v1.3.0 is not in `tools/licenses/go.txt`; {GO_MOD}; {UPDATE}",
        f"{module} v1.2.0 is in `tools/licenses/go.txt`, but not in any `go.mod`; {UPDATE}",
    ]


def test_go_mod_files_are_parsed(tmp_path):
    """Blocks, comments and replacements, with and without a version, are understood."""
    write(
        tmp_path / "tools/servers/a/go.mod",
        """
        module tools/a // ours
        require one.example/a v1.0.0 // indirect
        tool one.example/a/cmd
        require (
            two.example/b v2.0.0
            // three.example/c v3.0.0
            four.example/d v4.0.0 // indirect
        )
        replace two.example/b => five.example/e v5.0.0
        replace (
            four.example/d v4.0.1 => six.example/f v6.0.0
            one.example/a v1.0.0 => ../a
        )
        """,
    )
    local = str(tmp_path / "tools/servers/a/../a")
    assert set(go.requirements(tmp_path)) == {
        go.Module("one.example/a", "", str(Path(local).resolve())),
        go.Module("five.example/e", "v5.0.0"),
        go.Module("four.example/d", "v4.0.0"),
    }


def test_a_gpl_npm_package_is_rejected(root, errors):
    """So is one without a licence, or with one that is no SPDX expression."""
    lock(
        root,
        strict={"license": "GPL-3.0-only"},
        choice={"license": "(MIT OR GPL-3.0)"},
        nothing={},
        file={"license": "SEE LICENSE IN LICENSE.txt"},
    )
    end = f"; required by `tools/page/package-lock.json`; {REPLACE}"
    assert errors() == [
        f"npm package `file` 1.0.0 has an unknown licence, `SEE LICENSE IN LICENSE.txt`{end}",
        f"npm package `nothing` 1.0.0 has no licence{end}",
        f"npm package `strict` 1.0.0 is under `GPL-3.0-only`, which is not allowed{end}",
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (["License-Expression: MIT"], None),
        (["License-Expression: GPL-2.0-only OR Apache-2.0 WITH LLVM-exception"], None),
        (["License: Apache 2.0", "Classifier: License :: DFSG approved"], None),
        (["License: BSD 3-Clause License", "  Copyright (c) 2020, the authors"], None),
        (["License-Expression: AGPL-3.0-or-later"], "is under `AGPL-3.0-or-later`"),
        (["License-Expression: MIT AND LGPL-2.1-or-later"], "is under `MIT AND LGPL-2.1-or-later`"),
        (
            ["Classifier: License :: OSI Approved :: GNU Affero General Public License v3"],
            "is under `AGPL-3.0-only`",
        ),
        (
            ["License: MIT", "Classifier: License :: OSI Approved :: GNU Affero GPL, some day"],
            "has an unknown licence, `GNU Affero GPL, some day AND MIT`",
        ),
        (["License: Our Own Licence"], "has an unknown licence, `Our Own Licence`"),
        (["License: UNKNOWN"], "has no licence"),
        ([], "has no licence"),
    ],
)
def test_a_python_package_needs_a_permissive_licence(root, errors, fields, problem):
    """New and old metadata are read; with old metadata, all licences must be allowed."""
    install(root, "package", *fields)
    lines = errors()
    assert len(lines) == (problem is not None)
    for line in lines:
        assert line.startswith(f"Python package `package` 1.0 {problem}")
        assert "required by `pyproject.toml`" in line


def test_packages_that_a_developer_added_are_ignored(root, errors):
    """Packages in .venv that are not in the lock are not the repository's."""
    install(root, "debugger", "License-Expression: GPL-3.0-only")
    assert len(errors()) == 1
    write(root / "requirements.lock", "other==1.0 \\\n    --hash=sha256:00\n")
    assert errors() == []


def test_an_exception_is_for_one_package_and_licence():
    """Another licence of the same package, or the same licence of another one, is an error."""
    policy = Policy.read()
    for ecosystem, exceptions in policy.exceptions.items():
        for name, reviewed in exceptions.items():
            package = Package(ecosystem, name, "1.0", reviewed.licence, ("file",))
            assert policy.objection(package) is None
            relicensed = dataclasses.replace(package, licence="AGPL-3.0-only")
            assert "the exception is for" in policy.objection(relicensed)
            assert policy.objection(dataclasses.replace(package, name="other"))
            assert reviewed.reason


def test_denied_images_are_found_in_all_files(root, errors):
    """Images from other registries count; GitHub repositories and discovery fixtures do not."""
    image = "grafana/" + "tempo"  # in two parts, so that this file does not name it
    write(
        root / "manifests/backend.yaml",
        f"- image: {image}:2.8.2\n"
        f"- image: registry.example.org:5000/mirror/{image}@sha256:0123\n"
        f"- image: {image}-query:1\n"
        f"# https://github.com/{image}/issues\n"
        f"# https://github.com/{image}\n"
        "- image: prom/prometheus:v3.16.0\n",
    )
    write(root / "tests/cluster/test_init.py", f"'{image}:2.8.2'")
    lines = errors()
    assert [line.partition(" is under ")[0] for line in lines] == [
        f"Container image `{image}:2.8.2`",
        f"Container image `registry.example.org:5000/mirror/{image}@sha256:0123`",
        f"Container image `{image}-query:1`",
    ]
    assert "named in `manifests/backend.yaml`, line 2;" in lines[1]
