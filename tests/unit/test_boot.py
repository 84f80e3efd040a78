"""The head of the payload: what it recognises, and that it leaves every other process as it was."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pythons import UNTOUCHED, installed

import af_otel.bootstrap

SITE = Path(af_otel.bootstrap.__file__).parent / "site"


# Without this environment's packages: a facility's image has none of ours.
BARE = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}")


def run(code, *options, python=BARE, path=(SITE,), cwd=None, **env):
    """Run code in an interpreter with nothing but `env` around it; what it logs is on stderr."""
    return subprocess.run(
        [python, *options, "-c", code],
        env={"PYTHONPATH": ":".join(map(str, path)), "AF_OTEL_LOG": "stderr", **env},
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


@pytest.fixture
def boot(monkeypatch):
    """The bootstrap's module, as `sitecustomize` imports it."""
    monkeypatch.syspath_prepend(str(SITE))
    import af_otel_boot

    return af_otel_boot


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/opt/bin/jupyterhub -f config.py", "hub"),
        ("-m jupyterhub --debug", "hub"),
        ("/usr/bin/jupyterhub-singleuser --port=8888", "server"),
        ("-m jupyterhub.singleuser", "server"),
        ("/usr/bin/batchspawner-singleuser jupyterhub-singleuser --port=8888", "server"),
        ("/usr/bin/jupyter-nbclassic", "server"),
        ("/usr/bin/jupyter-lab", "server"),
        ("/usr/bin/jupyter-labhub", "server"),
        ("-m jupyter_server", "server"),
        ("-m ipykernel.kernelapp -f x.json", "kernel"),
        ("-m jupyter_server.serverapp --no-browser", "server"),
        ("-Xfrozen_modules=off -m ipykernel_launcher -f x.json", "kernel"),
        ("-X frozen_modules=off -W ignore -m ipykernel_launcher -f x.json", "kernel"),
        ("-Bm ipykernel -f x.json", "kernel"),
        ("-mipykernel_launcher -f x.json", "kernel"),
        ("/usr/bin/dask scheduler --port 0", "dask-scheduler"),
        ("/usr/bin/dask worker tcp://h:1", "dask-worker"),
        ("-m dask worker tcp://h:1", "dask-worker"),
        ("-m distributed.cli.dask_worker tcp://h:1", "dask-worker"),
        ("/usr/bin/dask-worker tcp://h:1", "dask-worker"),
        ("/usr/bin/dask-gateway-server", "dask-gateway"),
        ("/usr/bin/dask config list", "python"),
        ("analysis.py -m jupyterhub", "python"),
        ("/usr/bin/jupyter lab", "python"),  # it executes jupyter-lab next
        ("-m pip install jupyterhub", "python"),
        ("", "python"),
        ("-", "python"),
        ("-m", "python"),
        ("-X", "python"),
        ("-- jupyterhub", "hub"),
        ("-c pass", "python"),
    ],
)
def test_processes_are_known_by_their_command_line(boot, command, role):
    """Options of the interpreter in front of what is run do not hide it; arguments do not pose as
    it.
    """
    assert boot.recognise(["python", *command.split()]) == role


def test_children_of_multiprocessing_are_told_from_its_helpers(boot):
    """A spawned child may become a Dask worker; the resource tracker becomes nothing."""
    child = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)"
    tracker = "from multiprocessing.resource_tracker import main;main(4)"
    assert boot.recognise(["python", "-Bc", child, "--multiprocessing-fork"]) == "multiprocessing"
    assert boot.recognise(["python", "-c", tracker]) is None


@pytest.mark.parametrize(
    ("command", "parent", "operated"),
    [
        ("-m jupyterhub", "", True),
        ("-m dask scheduler", "", True),
        ("-m ipykernel_launcher -f x.json", "", False),
        ("analysis.py", "", False),
        ("-c multiprocessing.spawn", "analysis.py", False),
        ("-c multiprocessing.spawn", "/lib/ipykernel_launcher.py -f x.json", False),
        ("-c multiprocessing.spawn", "/usr/bin/dask worker tcp://h:1", True),
        ("-c multiprocessing.spawn", "/lib/dask/__main__.py worker tcp://h:1", True),
        ("-c multiprocessing.spawn", "/lib/distributed/cli/dask_worker.py tcp://h:1", True),
    ],
)
def test_an_operator_reads_the_stderr_of_hosts(boot, monkeypatch, command, parent, operated):
    """Of a nanny's child as well, which has its parent's `sys.argv`."""
    monkeypatch.setattr(boot, "role", boot.recognise(["python", *command.split()]))
    monkeypatch.setattr(sys, "argv", parent.split())
    monkeypatch.setenv("HOME", "/home/me")
    assert boot.log() == ("stderr" if operated else "/home/me/.local/state/af-otel/log")
    monkeypatch.setenv("AF_OTEL_LOG", "relative")  # it would be in whatever directory a user works
    assert (boot.log() == "stderr") is operated
    monkeypatch.setenv("AF_OTEL_LOG", "~/log")
    assert boot.log() == "/home/me/log"


STATE = """
import json, sys, threading
print(json.dumps([sorted(sys.modules), sys.path, threading.active_count(), sys.warnoptions]))
"""


def test_an_untraced_process_is_as_it_would_be_without_us():
    """One private module more, no thread, and the same path to import from."""
    modules, path, threads, options = json.loads(run(STATE).stdout)
    plain = json.loads(run(STATE, path=()).stdout)
    assert set(modules) - set(plain[0]) == {"_af_otel_boot"}
    assert (path, threads, options) == (plain[1], plain[2], plain[3])


def test_the_next_sitecustomize_is_run_as_if_it_came_first(tmp_path):
    """It is imported once, found by its name afterwards, and may change the path."""
    own = tmp_path / "sitecustomize.py"
    own.write_text("import sys; sys.path.append('/added'); print('own', __name__)")
    code = "import sitecustomize, sys; print(sitecustomize.__file__, sys.path[-1])"
    assert run(code, path=(SITE, tmp_path)).stdout.split() == [
        "own", "sitecustomize", str(own), "/added",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "problem", ["raise ValueError('theirs')", "import not_there", "syntax error"]
)
def test_a_sitecustomize_that_raises_says_what_it_always_said(tmp_path, problem):
    """The interpreter's report and its exit code are the same with and without us."""
    (tmp_path / "sitecustomize.py").write_text(problem)
    with_us = run("print('runs')", path=(SITE, tmp_path))
    without = run("print('runs')", path=(tmp_path,))
    assert (with_us.returncode, with_us.stdout) == (without.returncode, without.stdout)
    assert with_us.stderr.splitlines()[:1] == without.stderr.splitlines()[:1]


@pytest.mark.parametrize("name", ["AF_OTEL_DISABLED", "OTEL_SDK_DISABLED"])
def test_switched_off_it_waits_for_nothing(tmp_path, name):
    """No finder is installed, and the environment's own sitecustomize is still run."""
    (tmp_path / "sitecustomize.py").write_text("print('own')")
    code = "import sys; print([f for f in sys.meta_path if type(f).__module__ == '_af_otel_boot'])"
    assert run(code, path=(SITE, tmp_path), **{name: "true"}).stdout == "own\n[]\n"


def test_an_imported_library_keeps_its_own_loader(tmp_path):
    """Tools that read a module's source through its loader find what they always found."""
    (tmp_path / "distributed.py").write_text("X = 1")
    code = (
        "import distributed as d;"
        "print(type(d.__loader__).__name__, d.__spec__.loader is d.__loader__)"
    )
    result = run(code, path=(SITE, tmp_path))
    assert result.stdout == "SourceFileLoader True\n"


def test_a_library_that_is_looked_for_before_it_is_imported_is_still_waited_for(tmp_path):
    """`importlib.util.find_spec` is how others ask whether they have it: it imports nothing."""
    (tmp_path / "distributed.py").write_text("")
    code = "import importlib.util as u; u.find_spec('distributed'); u.find_spec('distributed'); "
    code += "import distributed; import importlib; importlib.reload(distributed)"
    done = run(code, path=(SITE, tmp_path))

    # This payload has no library, which is told when it is wanted, and once.
    assert done.returncode == 0
    assert done.stderr.count("af-otel:") == 1


def test_a_payload_without_its_library_is_one_line(tmp_path):
    """Half a payload, as a full disk leaves it, costs tracing and nothing else."""
    (tmp_path / "distributed.py").write_text("X = 1")
    result = run("import distributed; print(distributed.X)", path=(SITE, tmp_path))
    assert result.stdout == "1\n"
    assert len(result.stderr.splitlines()) == 1
    assert "af-otel: this process runs untraced" in result.stderr


@pytest.mark.parametrize("rest", [b"def start(:\n", b"\0" * 100, b""])
def test_a_head_that_is_damaged_is_one_line(tmp_path, rest):
    """What a full disk has left of it hides neither the program nor the next sitecustomize."""
    damaged, own = tmp_path / "payload", tmp_path / "own"
    for folder in (damaged, own):
        folder.mkdir()
    (damaged / "sitecustomize.py").write_bytes((SITE / "sitecustomize.py").read_bytes())
    (damaged / "af_otel_boot.py").write_bytes(rest)
    (own / "sitecustomize.py").write_text("print('own')")
    result = run("print('runs')", path=(damaged, own))
    assert (result.returncode, result.stdout) == (0, "own\nruns\n")
    (line,) = result.stderr.splitlines()
    assert line.startswith("af-otel: not started: ")


def test_of_two_payloads_the_first_serves(tmp_path, payload):
    """An image may bring one, and `af-otel run` or the facility put another before it."""
    other = shutil.copytree(payload, tmp_path / "other")
    (tmp_path / "distributed.py").write_text("X = 1")
    code = "import distributed, _af_otel; print(_af_otel.__path__)"
    result = run(code, path=(payload, other, tmp_path))
    assert result.stdout == f"['{payload}/af_otel_lib/_af_otel']\n", result.stderr


@pytest.mark.parametrize("close", ["", "import sys; sys.stderr.close()"])
def test_where_nothing_can_be_said_the_import_goes_on(tmp_path, close):
    """The disk that it goes to is full, or the program has closed it."""
    (tmp_path / "distributed.py").write_text("")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BARE, "-c", f"{close}\nimport distributed\nprint('runs', flush=True)"],
            env={"PYTHONPATH": f"{SITE}:{tmp_path}", "AF_OTEL_LOG": "stderr"},
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.stdout == "runs\n"


@pytest.mark.parametrize("broken", ["missing", "file", "half a zip"])
def test_a_payload_that_cannot_be_read_is_no_payload(tmp_path, payload, broken):
    """The interpreter skips it, as it does with any entry of PYTHONPATH."""
    target = tmp_path / "payload.zip"
    if broken == "file":
        target.write_text("no payload")
    elif broken == "half a zip":
        from af_otel.payload import archive

        target.write_bytes(archive()[:100_000])
    result = run("print('runs')", path=(target,))
    assert (result.stdout, result.stderr, result.returncode) == ("runs\n", "", 0)


@pytest.mark.parametrize("version", [v for v in UNTOUCHED if v in installed()])
def test_an_older_python_runs_on_untouched(payload, tmp_path, version):
    """Same output, no word on stderr, the environment's own sitecustomize run, on Pythons we do not
    serve.
    """
    (tmp_path / "sitecustomize.py").write_text("print('own')")
    result = run("print('runs')", python=installed()[version], path=(payload, tmp_path))
    assert (result.stdout, result.stderr, result.returncode) == ("own\nruns\n", "", 0)


def test_options_that_ignore_the_environment_ignore_us(payload):
    """`python -I` and `-E` have no PYTHONPATH: they are as they ever were."""
    code = "import sys; print('_af_otel_boot' in sys.modules)"
    assert [run(code, option, path=(payload,)).stdout for option in ("-I", "-E", "-S")] == [
        "False\n"
    ] * 3
