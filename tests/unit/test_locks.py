"""What the scripts install is locked: exact versions, with hashes, from no particular registry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "tests")]

from cluster import recipes  # noqa: E402

import locks  # noqa: E402
from af_otel.errors import AfOtelError  # noqa: E402
from building import requirements  # noqa: E402

UV = ROOT / ".make" / "uv"


def tracked(pattern):
    """The files of the repository, those included that are not yet committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / line for line in done.stdout.splitlines()]


@pytest.fixture
def checkout(tmp_path):
    """A copy of all locks and of what they are made from."""
    for lock in locks.LOCKS:
        for name in (lock.path, *lock.inputs):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def stale(checkout):
    """The locks that do not match their inputs."""
    return [lock.path for lock in locks.LOCKS if is_stale(lock, checkout)]


def is_stale(lock, checkout):
    try:
        lock.check(checkout)
    except AfOtelError as error:
        return "run `make locks`" in error.hint
    return False


def test_every_lock_is_checked(checkout):
    """None is forgotten in the list, and all match their inputs."""
    assert {file.relative_to(ROOT).as_posix() for file in tracked("*.lock")} == {
        lock.path for lock in locks.LOCKS
    }
    assert stale(checkout) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("pyproject.toml", '"httpx>=0.27"', '"httpx>=0.28"', ["requirements.lock"]),
        (
            "pyproject.toml",
            '"dask==',
            '"dask!=',
            ["requirements.lock", "tests/cluster/hub.lock", "tests/cluster/user.lock"],
        ),
        ("pyproject.toml", "line-length = 100", "line-length = 99", []),
        ("instrumentations/coffea/pyproject.toml", ">=0.66b1", ">=0.66", ["requirements.lock"]),
        ("tests/oldest.txt", "numpy", "numpy<2", ["tests/oldest.lock"]),
        ("tools/toolchains.lock", "sha256:", "sha256:0", ["tools/toolchains.lock"]),
    ],
)
def test_a_change_makes_a_lock_stale(checkout, file, old, new, expected):
    """A requirement, a constraint or the lock itself; not what has nothing to do with it."""
    text = (checkout / file).read_text()
    assert old in text
    (checkout / file).write_text(text.replace(old, new, 1))
    assert stale(checkout) == expected


def test_an_upgrade_of_a_host_makes_the_locks_of_its_own_tests_stale(checkout):
    """They are to have the versions of the environment that the suites are compared in."""
    file = checkout / "requirements.lock"
    file.write_text(file.read_text().replace("ipykernel==", "ipykernel==1", 1))
    libraries = ("ipykernel", "jupyter_server", "jupyterhub", "distributed")
    assert stale(checkout) == [
        "requirements.lock",
        *(f"tools/upstream/{library}.lock" for library in libraries),
    ]


@pytest.mark.parametrize("lock", locks.LOCKS, ids=lambda lock: lock.path)
def test_locks_have_hashes_and_no_host(lock):
    """Each line belongs to an entry with hashes; URLs and options are not among them."""
    file = ROOT / lock.path
    rest = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    entries = requirements.entries(file)
    assert "".join(entries.values()).splitlines() == rest
    assert entries
    for text in entries.values():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", text)
        assert "://" not in text


@pytest.mark.parametrize("file", tracked("*package-lock.json"), ids=lambda file: file.parent.name)
def test_npm_packages_have_hashes_and_no_host(file):
    """`npm ci` takes the registry that it is configured with, and checks what it gets."""
    packages = json.loads(file.read_text())["packages"]
    assert len(packages) > 1
    for name, package in packages.items():
        if name:
            assert package["integrity"].startswith("sha512-"), name
            assert "resolved" not in package, name


def test_a_file_with_another_hash_is_refused(tmp_path):
    """As `make venv` installs: nothing lands in the environment."""
    text = requirements.only(ROOT / "requirements.lock", ["sniffio", "six"])
    bad = tmp_path / "requirements.txt"
    bad.write_text(re.sub("sha256:.{6}", "sha256:000000", text))
    command = [UV, "--directory", "/", "pip", "install", "--target", tmp_path / "target"]
    command += ["--no-cache", "--require-hashes", "--only-binary", ":all:", "-r", bad]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Hash mismatch" in done.stderr
    assert not list((tmp_path / "target").glob("*/METADATA"))


def test_images_are_made_from_the_mirror_that_apt_has(tmp_path, monkeypatch):
    """Its address is in no file of ours; where apt has none, the error says what to do."""
    (tmp_path / "apt-get").write_text(
        "#!/bin/sh\n"
        "echo http://mirror.example/debian-security/ main Debian-Security\n"
        "echo http://mirror.example/debian/ contrib Debian\n"
        "echo http://mirror.example/debian/ main Debian\n"
    )
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert recipes._mirror() == "http://mirror.example/debian"

    (tmp_path / "apt-get").write_text("#!/bin/sh\necho http://mirror.example/ubuntu main Ubuntu\n")
    with pytest.raises(AfOtelError, match="apt has no mirror of Debian") as without:
        recipes._mirror()
    assert "apt-get update" in without.value.hint

    (tmp_path / "apt-get").unlink()
    with pytest.raises(AfOtelError, match="apt has no mirror of Debian") as without:
        recipes._mirror()
    assert "apt-get" in without.value.where
