"""Logs of services that agree on nothing but the date are read as one."""

from __future__ import annotations

import threading
import time

from af_otel.local import logs


def test_the_tail_of_a_long_log_is_its_last_lines(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert logs.tail(path, 2) == ["line 49998", "line 49999"]
    assert logs.tail(path, 0) == []
    assert logs.tail(tmp_path / "none", 3) == []


def test_all_logs_are_merged_in_the_order_of_time(tmp_path, monkeypatch):
    """Each service writes the time its own way; a traceback stays with its first line."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    contents = {
        "hub": "[I 2026-11-22 10:00:01.000 JupyterHub app:1] one\nTraceback ...\n  File ...\n"
        "[I 2026-11-22 10:00:04.000 JupyterHub app:1] four\n",
        "collector": "2026-11-22T10:00:02.500Z\tinfo\ttwo\n",
        "jaeger": "level=warn ts=2026-11-22T10:00:03.123456789Z msg=three\n",
        "worker": "2026-11-22T11:00:05+01:00 five\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    lines = logs.merged({name: tmp_path / name for name in contents}, 40)
    assert [line.service for line in lines] == [
        "hub", "hub", "hub", "collector", "jaeger", "hub", "worker",
    ]  # fmt: skip
    assert [line.text[-4:] for line in logs.merged({"hub": tmp_path / "hub"}, 2)] == [
        " ...",
        "four",
    ]


def test_following_gives_whole_lines_and_survives_a_new_start(tmp_path):
    """A log that is begun anew, as by another `up`, is read from its beginning."""
    path = tmp_path / "log"
    path.write_text("before\n")
    lines = logs.follow({"hub": path}, pause=0.01)
    found = []
    reader = threading.Thread(target=lambda: found.extend(next(lines) for _ in range(3)))

    def write():
        with path.open("a") as file:
            file.write("fir")
            file.flush()
            file.write("st\nsecond\n")

    timer = threading.Timer(0.2, write)
    reader.start()
    timer.start()
    timer.join()
    again = threading.Timer(0.3, lambda: path.write_text("anew\n"))
    again.start()
    reader.join(timeout=30)
    again.join()
    assert [line.text for line in found] == ["first", "second", "anew"]
