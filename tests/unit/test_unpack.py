"""The init step of an injected pod: it unpacks, or leaves the pod as it would have been; it always
ends, with 0.
"""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from pythons import TRACED, UNTOUCHED, installed

from af_otel import payload as payloads
from af_otel.kubernetes.objects import _pod

BARE = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}")
SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]
SEEN = """
import json, os, sys
print(json.dumps([sys.path, os.environ.get("PYTHONPATH"), os.environ.get("OWN")]))
"""


archive = functools.cache(payloads.archive)


@dataclass
class Step:
    """The step's command, where its two directories are ours."""

    home: Path
    payload: Path
    programs: Path

    def run(self, *, shell=("sh",), prefix=(), **env):
        self.programs.mkdir(exist_ok=True)
        command = [self.placed(word) for word in _pod.command()]
        assert command[0] == "sh"
        result = subprocess.run(
            [*prefix, *shell, *command[1:]],
            env={"PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin", **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result

    def placed(self, text):
        text = text.replace(_pod.PAYLOAD_HOME, str(self.payload))
        return text.replace(_pod.HOME, str(self.home))

    def python(self, name="python3", program=BARE, script=""):
        """The image's `python3`; by default it is one."""
        self.programs.mkdir(exist_ok=True)
        path = self.programs / name
        script = script or f'exec {program} "$@"'
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def without_python(self):
        """Programs enough for a shell, and no Python."""
        self.programs.mkdir(exist_ok=True)
        for name in ("sh", "rm", "sleep"):
            (self.programs / name).symlink_to(shutil.which(name))
        return {"PATH": str(self.programs)}

    def files(self):
        return sorted(path.name for path in self.home.iterdir())

    def path(self, *, own=""):
        """What the policy writes: ours, and the container's own or what stands for the image's."""
        return f"{self.home}:{own or self.placed(_pod.IMAGES_OWN)}"

    def seen(self, python=BARE, path=None, **env):
        """What a Python of the container has to search, and hands on to its children."""
        result = subprocess.run(
            [python, "-c", SEEN],
            env={"PYTHONPATH": self.path() if path is None else path, **env},
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")
        search, written, own = json.loads(result.stdout)
        return (
            search,
            [part for part in written.split(":") if part not in ("", str(self.home))],
            own,
        )


@pytest.fixture
def step(tmp_path):
    return made_in(tmp_path)


@pytest.fixture
def own(tmp_path):
    return images_own(tmp_path)


def made_in(directory):
    step = Step(directory / "af-otel", directory / "payload", directory / "bin")
    step.home.mkdir()
    step.payload.mkdir()
    (step.payload / "payload.zip").write_bytes(archive())
    (step.payload / "unpack.py").write_text(_pod.unpack())
    step.python()
    return step


def images_own(directory):
    """What an image has on PYTHONPATH: two directories, and a sitecustomize in the second."""
    first, second = directory / "own one", directory / "own2"
    first.mkdir()
    second.mkdir()
    (second / "sitecustomize.py").write_text("import os; os.environ['OWN'] = 'ran'")
    return f"{first}:{second}"


@pytest.fixture(scope="module", params=["unpacked", "failed"])
def done(request, tmp_path_factory):
    """A step that is over, in an image with a path of its own, and that path."""
    directory = tmp_path_factory.mktemp(request.param)
    step, own = made_in(directory), images_own(directory)
    if request.param == "failed":
        (step.payload / "payload.zip").unlink()
    step.run(PYTHONPATH=own)
    return step, own


@pytest.mark.parametrize("shell", SHELLS)
def test_the_payload_is_unpacked_and_compiled_for_the_images_python(step, shell):
    """All of it, readable for whoever the containers run as, and believed without a look."""
    words = [shell, "sh"] if shell == "busybox" else [shell]
    said = step.run(shell=words, PYTHONDONTWRITEBYTECODE="1").stdout
    assert step.files() == [
        ".tried", "__pycache__", "af_otel_boot.py", "af_otel_lib", "sitecustomize.py",
    ]  # fmt: skip
    with zipfile.ZipFile(step.payload / "payload.zip") as package:
        for name in package.namelist():
            assert (step.home / name).exists(), name
    modules = list(step.home.rglob("*.py"))
    compiled = list(step.home.rglob(f"*.{sys.implementation.cache_tag}.pyc"))
    assert len(compiled) == len(modules) > 200
    tag = sys.implementation.cache_tag
    assert said == f"af-otel: unpacked, {len(modules)} modules compiled for {tag}\n"
    for path in (*modules, *compiled):
        assert path.stat().st_mode & 0o044 == 0o044
    # PEP 552: hash-based, never checked.
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\1\0\0\0"}


def test_a_second_run_changes_nothing(step):
    """A node that is started again runs the step again, in the same volume."""
    step.run()
    before = {path: path.stat().st_mtime_ns for path in step.home.rglob("*")}
    (step.payload / "payload.zip").unlink()
    assert step.run().stdout == ""
    assert {path: path.stat().st_mtime_ns for path in step.home.rglob("*")} == before


@pytest.mark.parametrize("version", [v for v in TRACED + UNTOUCHED if v in installed()])
def test_the_images_own_path_is_where_it_was(done, version):
    """Same search path, same for children, its sitecustomize run: with the payload, without it, on
    every Python.
    """
    step, own = done
    python = installed()[version]
    search, handed_on, ran = step.seen(python)
    plain, _, plainly_ran = step.seen(python, path=own)
    assert (search, ":".join(handed_on), ran) == (plain, own, plainly_ran)
    assert ran == "ran"
    # A child has it from its parent, in order and once.
    again = step.seen(python, path=":".join([str(step.home), *handed_on]))
    assert again == (search, handed_on, ran)


def test_a_path_that_a_shell_has_changed_keeps_its_order(done):
    """An entrypoint puts something before and behind: the image's own stays between."""
    step, own = done
    search, handed_on, _ = step.seen(path=f"/before:{step.path()}:/behind")
    assert handed_on == ["/before", *own.split(":"), "/behind"]
    assert search[1:5] == handed_on


@pytest.mark.parametrize("path", ["/theirs:/too", "$(PYTHONPATH)"])
def test_a_path_of_the_pods_own_hides_the_images_as_ever(done, path):
    """Unless the kubelet found nothing behind a reference to it: then the image's counts."""
    step, own = done
    _, handed_on, _ = step.seen(path=step.path(own=path))
    assert handed_on == (own if path.startswith("$") else path).split(":")


@pytest.mark.parametrize("version", [v for v in TRACED + UNTOUCHED if v in installed()])
def test_an_empty_path_of_the_pods_own_is_none(done, version):
    """It hides the image's, and the end that it leaves behind ours is not the working directory."""
    step, _ = done
    python = installed()[version]
    search, handed_on, _ = step.seen(python, path=f"{step.home}:")
    assert (search, handed_on) == (step.seen(python, path="")[0], [])


def test_without_a_path_in_the_image_nothing_is_added(step):
    """Neither to the search path nor for children."""
    step.run()
    search, handed_on, _ = step.seen()
    assert (search, handed_on) == (step.seen(path="")[0], [])


def _missing(step):
    shutil.rmtree(step.payload)


def _half(step):
    (step.payload / "payload.zip").write_bytes(archive()[:100_000])


def _damaged(step):
    content = bytearray(archive())
    content[200_000:200_100] = bytes(100)
    (step.payload / "payload.zip").write_bytes(content)


def _no_payload(step):
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    (step.payload / "payload.zip").write_bytes(buffer.getvalue())


def _crash(step):
    step.python(script="kill -SEGV $$")


def _hang(step):
    (step.programs / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.3\n")
    (step.programs / "sleep").chmod(0o755)
    step.python(script="exec /bin/sleep 1000")


def _no_python(step):
    shutil.rmtree(step.programs)
    return step.without_python()


@pytest.mark.parametrize(
    "breaks", [_missing, _half, _damaged, _no_payload, _crash, _hang, _no_python]
)
def test_whatever_fails_leaves_nothing_but_the_images_own_path(step, own, breaks):
    """The step says so and ends with 0, and Python runs as it would without us."""
    env = breaks(step) or {}
    result = step.run(PYTHONPATH=own, **env)
    assert result.stdout.splitlines()[-1] == "af-otel: this pod runs untraced"
    assert step.files() == [".tried", "image", "sitecustomize.py"]
    search, handed_on, ran = step.seen()
    assert (search, ":".join(handed_on), ran) == (*step.seen(path=own)[:1], own, "ran")


@pytest.mark.parametrize("version", [v for v in UNTOUCHED if v in installed()])
def test_an_older_python_is_not_asked_to_unpack(step, version):
    """Another one of the image may; the reason is in the log."""
    step.python(program=installed()[version])
    said = step.run().stdout
    assert "is not traced" in said or version == "2.7"
    assert said.endswith("af-otel: this pod runs untraced\n")
    assert step.files() == [".tried", "sitecustomize.py"]
    step.home.joinpath(".tried").unlink()
    step.python(name="python")
    step.run()
    assert "af_otel_boot.py" in step.files()


def test_a_step_that_was_killed_is_not_tried_again(step):
    """What ended it, such as too little memory, would end it for ever."""
    (step.home / ".tried").touch()
    (step.home / "af_otel_lib").mkdir()
    assert step.run().stdout == "af-otel: this pod runs untraced\n"
    assert step.files() == [".tried", "sitecustomize.py"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize("size", ["512k", "1m", "2500k", "4m"])
def test_a_full_disk_is_left_as_empty_as_it_was(step, own, size):
    """Whether there is room for nothing, half the modules, or half their byte code."""
    look = 'ls -A $home; $python -c "import sys; print(sys.path)"'
    script = 'mount -t tmpfs -o size=$size tmpfs $home && "$@" > /dev/null && ' + look
    result = step.run(
        prefix=("unshare", "--mount", "sh", "-c", script, "sh"),
        home=str(step.home),
        size=size,
        python=f"env PYTHONPATH={step.path()} {BARE}",
        PYTHONPATH=own,
    )
    *files, path = result.stdout.splitlines()
    assert files == [".tried", "image", "sitecustomize.py"]
    assert path == str(step.seen(path=own)[0])


def test_no_templating_on_the_way_to_the_shell_finds_anything_to_replace():
    """KubeSpawner formats braces, the kubelet resolves `$(NAME)`, Helm's `tpl` both doubled."""
    for word in _pod.command():
        assert not set("{}") & set(word)
        assert "$(" not in word
        assert "$$" not in word
