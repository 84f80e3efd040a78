"""What is injected: the same bytes each time, small, and written whole or not at all."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from af_otel import payload as payloads
from af_otel import vendoring
from af_otel.errors import AfOtelError

AF_OTEL = str(Path(sys.executable).with_name("af-otel"))


def af_otel(*arguments, **env):
    return subprocess.run(
        [AF_OTEL, *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def content(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_the_zip_is_the_same_bytes_in_every_process_and_holds_the_directory(tmp_path):
    """Nothing of the time, the machine or the order of a directory gets into it; it is small."""
    for name, seed in (("a.zip", "1"), ("b.zip", "2")):
        done = af_otel("payload", "--zip", tmp_path / name, PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
    first, second = (tmp_path / "a.zip").read_bytes(), (tmp_path / "b.zip").read_bytes()
    assert first == second
    assert len(first) <= 800_000

    assert af_otel("payload", tmp_path / "payload").returncode == 0
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        inside = {
            entry.filename: archive.read(entry)
            for entry in archive.infolist()
            if not entry.is_dir()
        }
    assert inside == content(tmp_path / "payload")


def test_the_payload_is_pure_python_for_every_python(tmp_path):
    """No byte code, nothing compiled, no protobuf; every licence comes along."""
    names = set(content(payloads.build(tmp_path / "payload")))
    suffixes = {Path(name).suffix for name in names}
    assert suffixes <= {".py", ".typed", ".txt", ""}, suffixes
    assert not any("protobuf" in name or "google" in name for name in names)
    assert sum("licenses/" in name for name in names) >= len(vendoring._THIRD_PARTY)


def test_the_configmap_holds_the_zip(tmp_path):
    """It is what `kubectl apply` takes, under the limit, in the namespace asked for."""
    done = af_otel("payload", "--configmap", "--namespace", "hub", "--name", "af")
    manifest = yaml.safe_load(done.stdout)
    assert (manifest["kind"], manifest["metadata"]) == (
        "ConfigMap", {"name": "af", "namespace": "hub"},
    )  # fmt: skip
    packed = base64.b64decode(manifest["binaryData"]["payload.zip"])
    assert packed == payloads.archive()
    assert len(packed) < payloads.CONFIGMAP_LIMIT


def test_a_payload_that_is_published_again_leaves_the_one_in_use(tmp_path, monkeypatch):
    """Its link is switched; the same content is the same directory."""
    link = tmp_path / "payload"
    first = payloads.publish(link)
    assert payloads.publish(link) == first
    parts = payloads.files()
    monkeypatch.setattr(payloads, "files", lambda: {**parts, "new.py": b""})
    second = payloads.publish(link)
    assert (link.resolve(), first.is_dir()) == (second, True)
    assert "new.py" in content(link)
    assert "new.py" not in content(first)
    assert sorted(tmp_path.iterdir()) == sorted([link, first, second])


def test_a_directory_is_never_changed_in_place(tmp_path):
    """A payload in use and other files are left alone; an empty directory is replaced."""
    target = tmp_path / "payload"
    payloads.build(target)
    before = content(target)
    for write in (payloads.build, payloads.publish):
        with pytest.raises(AfOtelError, match="may be in use"):
            write(target)
    assert content(target) == before
    (tmp_path / "empty").mkdir()
    payloads.publish(tmp_path / "empty")
    assert (tmp_path / "empty" / "sitecustomize.py").exists()

    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    refused = af_otel("payload", home)
    assert refused.returncode == 1
    assert "exists and is not a payload" in refused.stderr
    assert "hint:" in refused.stderr
    assert content(home) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("payload", "/proc/payload"), 1, "cannot be written"),
        (("payload", "--zip", "/proc/x.zip"), 1, "cannot be written"),
        (("payload",), 2, "name what to write"),
        (("payload", "--zip", "--configmap"), 2, "two payloads"),
        (("run", "--", "no-such-command"), 1, "`no-such-command` is no command"),
        (("run", "--endpoint", "http://x", "--", "true"), 1, "has no option `--endpoint`"),
    ],
)
def test_what_cannot_be_done_is_one_clear_error(options, code, said):
    """What was asked, why not, and an exit code that tells use from failure."""
    done = af_otel(*options)
    assert done.returncode == code
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_run_traces_what_it_runs_and_is_otherwise_not_there(tmp_path):
    """Environment, arguments and exit code are the command's; PYTHONPATH keeps what it had."""
    code = (
        "import os, sys;"
        "print(os.environ['PYTHONPATH'], '_af_otel_boot' in sys.modules); sys.exit(7)"
    )
    done = af_otel("run", "--", sys.executable, "-c", code, PYTHONPATH=str(tmp_path))
    path, booted = done.stdout.split()
    assert path.split(os.pathsep)[1:] == [str(tmp_path)]
    assert (booted, done.returncode) == ("True", 7)


def test_what_run_cannot_execute_is_one_clear_error(tmp_path):
    """A file that is executable and of no format that the machine knows."""
    command = tmp_path / "command"
    command.write_bytes(b"\0")
    command.chmod(0o755)
    result = af_otel("run", "--", command, XDG_CACHE_HOME=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: `{command}` cannot be run")


def test_env_is_what_a_shell_a_unit_and_an_image_read(tmp_path):
    """The same variables in each form; values survive the shell."""
    asked = ("env", "--payload", tmp_path / "it's here", "--facility", "my-facility")
    known = json.loads(af_otel(*asked, "--format", "json").stdout)
    assert known == {
        "PYTHONPATH": str(tmp_path / "it's here"),
        "AF_OTEL_ENDPOINT": "http://localhost:4318",
        "AF_OTEL_FACILITY": "my-facility",
    }
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    script = f"{af_otel(*asked).stdout}\n{sys.executable} -I -c '{show}'"
    seen = json.loads(subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout)
    assert known.items() <= seen.items()
    assert 'Environment="PYTHONPATH=' in af_otel(*asked, "--format", "systemd").stdout
    assert 'ENV PYTHONPATH="' in af_otel(*asked, "--format", "dockerfile").stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [("unset PYTHONPATH", ""), ("PYTHONPATH=", ""), ("PYTHONPATH='/a b:/c'", ":/a b:/c")],
)
def test_env_extends_the_path_that_is_there(tmp_path, before, after):
    """An image or a job has packages of its own on it; systemd can expand nothing, and says so."""
    payload = tmp_path / "it's here"
    asked = ("env", "--payload", payload)
    lines = f"{before}\n{af_otel(*asked).stdout}"
    shown = 'printf "%s" "$PYTHONPATH"'
    done = subprocess.run(["sh", "-euc", lines + shown], capture_output=True, text=True, check=True)
    assert done.stdout == f"{payload}{after}"
    # In an ENV, Docker expands as a shell does between double quotes.
    (line,) = (
        line.removeprefix("ENV ")
        for line in af_otel(*asked, "--format", "dockerfile").stdout.splitlines()
        if "PYTHONPATH" in line
    )
    script = f"{before}\n{line}\n{shown}"
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{payload}{after}"
    assert af_otel(*asked, "--format", "systemd").stdout.startswith("# This replaces a PYTHONPATH")


@pytest.mark.parametrize(
    ("form", "endpoint"),
    [("systemd", "http://me:p%%40$@c:1"), ("dockerfile", "http://me:p%40\\$@c:1")],
)
def test_env_escapes_what_a_form_would_read_as_something_else(tmp_path, form, endpoint):
    """A percent sign is a specifier to systemd, and a dollar a variable to Docker."""
    asked = ("--payload", tmp_path, "--endpoint", "http://me:p%40$@c:1", "--facility", "a, b")
    said = af_otel("env", *asked, "--format", form).stdout
    assert f'AF_OTEL_ENDPOINT={endpoint}"' in said.replace('T="h', "T=h")
    assert 'AF_OTEL_FACILITY=a, b"' in said.replace('Y="a', "Y=a")


def test_two_first_uses_at_once_share_one_payload(tmp_path):
    """Facilities that are started side by side on a new machine do not trip over each other."""
    code = "from af_otel import payload; print(payload.cached())"
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    paths = {first.communicate(timeout=120)[0], second.communicate(timeout=120)[0]}
    assert (first.returncode, second.returncode, len(paths)) == (0, 0, 1)
    assert (Path(paths.pop().strip()) / "af_otel_boot.py").is_file()
