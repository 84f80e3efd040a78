"""`af-otel collect`: an operator's functions on a schedule, into a real Collector."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers import wait_for

AF_OTEL = Path(sys.executable).parent / "af-otel"
EXAMPLES = Path(__file__).parents[2] / "examples" / "collectors"


def command(*arguments, **env):
    return [AF_OTEL, "collect", *arguments], {
        "env": {**os.environ, "OTEL_METRIC_EXPORT_INTERVAL": "300", **env},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def run(*arguments, **env):
    line, options = command(*arguments, **env)
    return subprocess.run(line, timeout=60, check=False, **options)


def test_home_directories_are_what_is_on_the_disk(tmp_path, collector):
    """The example, over homes whose sizes are known."""
    for name, blocks in (("ada", 3), ("bob", 8)):
        (tmp_path / "home" / name / "deep").mkdir(parents=True)
        (tmp_path / "home" / name / "deep" / "data").write_bytes(b"x" * blocks * 65536)
    done = run(
        "--once", EXAMPLES / "home_directories.py",
        AF_OTEL_HOMES=str(tmp_path / "home"), **collector.settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    used = {
        point["attributes"]["rank"]: point["value"]
        for point in wait_for(lambda: collector.points("facility.home_used"), "the homes")
    }
    du = subprocess.run(
        ["du", "-sB1", tmp_path / "home" / "bob"], capture_output=True, text=True, check=True
    )
    directories = 2 * 4096  # which `du` counts, too
    assert used["1"] == pytest.approx(int(du.stdout.split()[0]), abs=directories)
    assert used["1"] > used["2"] > 0
    (free,) = collector.points("facility.storage_free")
    assert (free["unit"], free["resource"]["service.name"]) == ("By", "af-otel-collect")
    (runs, *_) = collector.points("facility.collector.runs")
    assert runs["attributes"]["outcome"] == "ok"
    (took, *_) = collector.points("facility.collector.duration")
    assert took["value"]["count"] == 1
    assert took["value"]["bounds"][0] == 0.001  # seconds


SOURCE = """
import itertools, time
from af_otel.metrics import collector
rounds = itertools.count(1)

@collector(every=1, unit="{licence}")
def licences():
    "Licences in use."
    yield next(rounds), {"product": "solver"}

@collector(every=1)
def broken():
    raise ConnectionError("no such server")

@collector(every=1)
def hanging():
    time.sleep(3600)

@collector(every=1)
def odd():
    yield float("nan"), {}
    yield 4, {"kept": True}
"""


def test_one_that_fails_or_hangs_concerns_no_other(tmp_path, collector):
    """The others go on, round by round; what failed is said once; SIGTERM ends it at once."""
    (tmp_path / "mine.py").write_text(SOURCE)
    line, options = command(tmp_path / "mine.py", **collector.settings)
    process = subprocess.Popen(line, **options)
    wait_for(
        lambda: any(point["value"] >= 3 for point in collector.points("facility.licences")),
        "three rounds",
    )
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said.count("broken: ConnectionError: no such server\n") == 1
    assert {point["value"] for point in collector.points("facility.odd")} == {4}
    assert not collector.points("facility.hanging")
    failed = [
        point
        for point in collector.points("facility.collector.runs")
        if point["attributes"] == {"collector": "broken", "outcome": "error"}
    ]
    assert failed


def test_a_number_that_is_no_longer_true_is_no_longer_told(tmp_path, collector):
    """After three intervals without a new one, the series ends."""
    (tmp_path / "once.py").write_text(
        "from af_otel.metrics import collector\nasked = []\n"
        "@collector(every=1)\ndef first():\n"
        "    asked.append(1)\n    assert len(asked) == 1\n    return 5\n"
        "@collector(every=1)\ndef alive():\n    return len(asked)\n"
    )
    line, options = command(tmp_path / "once.py", **collector.settings)
    process = subprocess.Popen(line, **options)
    try:
        wait_for(
            lambda: any(point["value"] >= 6 for point in collector.points("facility.alive")), "six"
        )
    finally:
        process.terminate()
        process.communicate(timeout=20)
    told = [point["time"] for point in collector.points("facility.first")]
    alive = [point["time"] for point in collector.points("facility.alive")]
    assert told
    assert max(told) < max(alive)


DOUBLES = """
from af_otel.metrics import collector
one = collector(name="a.b")(lambda: 1)
other = collector(name="a_b")(lambda: 2)
"""


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("x = 1\n", "has no collector in it"),
        ("import none_such\n", "cannot be imported: ModuleNotFoundError"),
        ("def (:\n", "cannot be imported: SyntaxError"),
        (None, "is no Python file"),
        ("raise SystemExit(0)\n", "cannot be imported: SystemExit"),
        *(
            (f"import af_otel.metrics as m; {line}\n", what)
            for line, what in (
                ("m.collector(every='60')(len)", "`every` is '60'"),
                ("m.collector(unit=3)(len)", "`unit` is 3"),
                ("m.collector(name='two words')(len)", "'two words' is no name"),
                ("m.collector(len)", "takes 0 positional arguments"),
            )
        ),
        (
            DOUBLES,
            "Two collectors would be `facility_a_b` in Prometheus",
        ),
    ],
)
def test_a_file_that_is_none_is_one_error(tmp_path, source, what):
    """With its line where there is one."""
    if source is not None:
        (tmp_path / "bad.py").write_text(source)
    done = run(tmp_path / "bad.py")
    assert done.returncode == 1
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert "bad.py:1" in done.stderr or "cannot be imported" not in done.stderr


def test_a_file_may_be_called_as_a_module_of_python(tmp_path):
    """Batch queues are counted in `queue.py`; by whatever path it is named, its lines are told."""
    (tmp_path / "queue.py").write_text(
        "from af_otel.metrics import collector\n@collector()\ndef jobs():\n    return 3\n"
    )
    (tmp_path / "bad.py").write_text("\nimport none_such\n")
    here = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = run("--once", tmp_path / "queue.py", **here)
    assert (done.returncode, "jobs: 1 numbers" in done.stderr) == (0, True), done.stderr
    assert "bad.py:2" in run("--once", os.path.relpath(tmp_path / "bad.py"), **here).stderr


def test_what_a_function_returns_is_a_number_or_told(tmp_path):
    """In a line each, however it is wrong; a schedule outlives a `main` that exits."""
    (tmp_path / "returns.py").write_text(
        "import sys\nfrom af_otel.metrics import collector\n"
        "for name, said in {'text': '812', 'table': {'a': 1}, 'pair': (5, {'volume': 'home'})}"
        ".items():\n    vars()[name] = collector(name=name)(lambda said=said: said)\n"
        "@collector()\ndef leaves(): sys.exit('two\\nlines')\n"
        "@collector()\ndef odd(): yield [1]; yield 2, None\n"
    )
    done = run("--once", tmp_path / "returns.py", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert "pair: 1 numbers" in said
    assert "leaves: SystemExit: two lines" in said
    assert "odd: 1 numbers" in said
    assert "warning: af_otel.metrics: odd: a list is no number, so it is not recorded" in said
    for name, kind in (("text", "str"), ("table", "dict")):
        assert any(line.startswith(f"{name}: TypeError: it returned a {kind}") for line in said)


def test_once_tells_by_its_exit_code(tmp_path):
    """A file is tried with one command, also where no Collector is."""
    (tmp_path / "fails.py").write_text(
        "from af_otel.metrics import collector\n"
        "@collector()\ndef no():\n    raise OSError('away')\n"
    )
    began = time.monotonic()
    done = run("--once", tmp_path / "fails.py", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "no: OSError: away" in done.stderr
    assert time.monotonic() - began < 60
