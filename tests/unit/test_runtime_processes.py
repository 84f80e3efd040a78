"""Processes that are traced: how they start, fork and end, and what they say."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from servers import accepting, wait_for

BROKEN = [
    ("OTEL_TRACES_SAMPLER", "foo"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ("OTEL_RESOURCE_ATTRIBUTES", "garbage"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "none_such"),
    ("BAGGAGE", ";;=%zz"),
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_what_the_sdk_cannot_use_is_one_line_without_a_stack_trace(payload, tmp_path, name, value):
    """The process runs on, traced or not, and prints what it would have printed."""
    (tmp_path / "a.py").write_text(
        "from distributed import Client\n"
        "with Client(n_workers=1, processes=False, dashboard_address=None) as client:\n"
        "    print(client.submit(sum, range(4), pure=False).result())\n"
    )
    result = subprocess.run(
        [sys.executable, tmp_path / "a.py"],
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": str(payload), name: value,
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "AF_OTEL_FLUSH_TIMEOUT": "0",
            "PYTHONWARNINGS": "ignore", "AF_OTEL_LOG": "stderr",
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "6\n")
    told = [line for line in result.stderr.splitlines() if "does not take telemetry" not in line]
    (line,) = told
    assert line.startswith("af-otel: ")
    assert any(word in line for word in (name, value))


def traced(body, payload_path, **env):
    """Start a process under a payload that makes spans with the providers of the runtime; it takes
    its time where the machine is busy.
    """
    code = textwrap.dedent("""
        import os, signal, sys, time
        sys.path.append(os.environ["LIB"])
        from _af_otel.runtime import _lazy
        from _af_otel.runtime._lazy import LazyTracerProvider, LazyMeterProvider, Loader
        _lazy.WAIT = 60
        loader = Loader("kernel")
        tracer = LazyTracerProvider(loader).get_tracer("test")
        meter = LazyMeterProvider(loader).get_meter("test")
    """)
    return subprocess.Popen(
        [sys.executable, "-c", code + textwrap.dedent(body)],
        env={**os.environ, "LIB": str(payload_path / "af_otel_lib"), **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_header_that_cannot_be_read_is_not_quoted(payload):
    """It is somebody's token; a long setting of another kind is cut."""
    process = traced(
        "loader.wait()", payload, OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="none",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", AF_OTEL_FLUSH_TIMEOUT="0",
        OTEL_EXPORTER_OTLP_HEADERS="Authorization Bearer s3cret", BAGGAGE="x" * 9000,
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert "Header format invalid" in err
    assert "s3cret" not in err
    assert max(map(len, err.splitlines())) < 600


def test_the_end_of_a_process_sends_what_is_queued(payload, collector):
    """A script that ends at once and one that forks keep their spans."""
    env = collector.settings
    ended = traced(
        "tracer.start_span('ended').end(); meter.create_counter('c').add(1)", payload, **env
    )
    forked = traced(
        """
        tracer.start_span('before').end()
        if os.fork() == 0:
            tracer.start_span('in child').end()
            sys.exit(0)
        os.wait()
        tracer.start_span('after').end()
        """,
        payload, **env,
    )  # fmt: skip
    for process in (ended, forked):
        process.communicate(timeout=60)
    assert [p.returncode for p in (ended, forked)] == [0, 0]
    names = {"ended", "before", "in child", "after"}
    collector.wait_for_spans(lambda spans: {span["name"] for span in spans} >= names)


def test_a_process_that_is_killed_has_sent_what_it_had_for_seconds(payload, collector):
    """With the default settings: finished spans, and markers of those that stay open."""
    process = traced(
        "tracer.start_span('finished').end(); open = tracer.start_span('open'); time.sleep(600)",
        payload, **collector.settings,
    )  # fmt: skip
    collector.wait_for_span("finished")
    marker = collector.wait_for_span("open")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert marker["attributes"]["af_otel.pending"]


def test_children_of_multiprocessing_are_spared_the_parents_queue(payload, collector):
    """What the parent has queued is sent once, not once per child."""
    process = traced(
        """
        import multiprocessing
        def work(n): tracer.start_span(f'child {n}').end()
        tracer.start_span('queued').end()
        with multiprocessing.get_context('fork').Pool(2) as pool:
            pool.map(work, range(4))
            pool.close()
            pool.join()
        """,
        payload, **collector.settings, OTEL_BSP_SCHEDULE_DELAY="60000",
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    collector.wait_for_span("queued")
    assert len(collector.spans("queued")) == 1


def test_children_do_not_send_their_parents_metrics_once_more(payload, collector):
    """A counter only goes up; a child that lives on has its parent's as it was at the fork."""
    process = traced(
        """
        counter = meter.create_counter('counted')
        loader.wait()
        counter.add(1)
        pid = os.fork()
        for _ in range(10):
            time.sleep(.2)
            if pid: counter.add(1)
        """,
        payload, **collector.settings, OTEL_METRIC_EXPORT_INTERVAL="100",
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    wait_for(lambda: [p for p in collector.points("counted") if p["value"] == 11], "all")
    values = [point["value"] for point in collector.points("counted")]
    assert values == sorted(values)


def test_a_pool_that_is_closed_and_joined_loses_nothing(payload, collector):
    """Its workers exit in order; leaving its `with` block kills them instead."""
    process = traced(
        """
        import multiprocessing
        def work(n): tracer.start_span(f'work {n}').end()
        with multiprocessing.get_context('fork').Pool(2) as pool:
            pool.map(work, range(4), chunksize=1)
            pool.close()
            pool.join()
        """,
        payload, **collector.settings, OTEL_BSP_SCHEDULE_DELAY="60000",
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    for number in range(4):
        collector.wait_for_span(f"work {number}")


def test_a_forked_child_has_a_connection_of_its_own(payload):
    """On its parent's, the two would read the answers to each other's requests."""
    with accepting() as (endpoint, senders):
        process = traced(
            """
            def send(): tracer.start_span('x').end(); sys.stdin.readline()
            send(); send()
            if os.fork() == 0: send(); os._exit(0)
            os.wait()
            """,
            payload, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_METRICS_EXPORTER="none",
            OTEL_BSP_SCHEDULE_DELAY="1",
        )  # fmt: skip
        for number in (1, 2, 3):
            wait_for(lambda number=number: len(senders) >= number, "a request")
            process.stdin.write("\n")
            process.stdin.flush()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    parent, again, child = senders
    assert parent == again != child


def test_a_child_that_is_forked_while_the_sdk_loads_can_import_it(payload):
    """The fork waits for the import: its lock would be held in the child by nobody."""
    process = traced(
        """
        import threading
        begun = threading.Event()
        class Slow:
            def find_spec(name, path=None, target=None):
                if name == "_af_otel.opentelemetry.sdk.trace.export":
                    begun.set(); time.sleep(0.5)
        sys.meta_path.insert(0, Slow)
        threading.Thread(target=loader.wait).start(); begun.wait()
        if os.fork() == 0:
            import _af_otel.opentelemetry.sdk.trace.export
            print(tracer.start_span("x").is_recording(), flush=True)
            os._exit(0)
        os.wait()
        """,
        payload, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert out == "True\n", err


def test_threads_of_telemetry_block_signals(payload):
    """In forked children as well; but not those of a fault, which `faulthandler` reports."""
    process = traced(
        """
        from pathlib import Path
        def masks():
            tracer.start_span("open")
            for task in Path("/proc/self/task").iterdir():
                lines = dict(line.split(":") for line in (task / "status").read_text().splitlines())
                mask = int(lines["SigBlk"], 16)
                signals = [number for number in (15, 13, 11) if mask >> number - 1 & 1]
                print(task.name == str(os.getpid()), *signals, flush=True)
        masks()
        if os.fork() == 0: masks(); os._exit(0)
        os.wait()
        """,
        payload, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", AF_OTEL_FLUSH_TIMEOUT="0",
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert sorted(lines) == ["False 15 13"] * 2 + ["True"] * 2


def test_a_sdk_that_never_loads_is_waited_for_once(payload):
    """On a disk that hangs a thousand spans cost what one does."""
    process = traced(
        """
        class Hangs:
            def find_spec(name, path=None, target=None):
                if name == "_af_otel.opentelemetry.sdk.trace.export": time.sleep(99)
        sys.meta_path.insert(0, Hangs)
        _lazy.WAIT = 1
        for _ in range(1000): tracer.start_span("x").end()
        print("runs", flush=True); os._exit(0)
        """,
        payload,
    )
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "runs\n"


def test_a_seeded_random_goes_on_as_without_us(payload):
    """Ids, exemplars and the exporter's thread take no number from the user's generator; children
    have ids of their own.
    """
    process = traced(
        """
        import random; parent = os.getpid()
        counter = meter.create_counter("c"); loader.wait()
        random.seed(42); seeded = random.getstate()
        for _ in range(9):
            with tracer.start_as_current_span("x"):
                counter.add(1); counter.add(1)
        time.sleep(1)  # some exports
        print(random.getstate() == seeded, flush=True)
        if os.fork() == 0:
            random.seed(42)
        print(tracer.start_span("y").get_span_context().trace_id, flush=True)
        if os.getpid() != parent: os._exit(0)
        os.wait()
        """,
        payload, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="100",
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    same, *ids = out.split()
    assert same == "True", err
    assert len(set(ids)) == 2


def test_a_child_of_multiprocessing_sends_its_spans_at_its_end(payload, collector):
    """It ends by `os._exit`, so that no `atexit` of ours is reached."""
    process = traced(
        """
        import multiprocessing
        tracer.start_span('parent').end()
        child = multiprocessing.get_context('fork').Process(
            target=lambda: tracer.start_span('child of multiprocessing').end())
        child.start(); child.join()
        """,
        payload, **collector.settings, OTEL_BSP_SCHEDULE_DELAY="60000",
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    collector.wait_for_span("child of multiprocessing")


def test_without_a_collector_a_process_says_so_once(payload):
    """Nothing listens: one line says what is wrong, whatever number of batches is lost."""
    process = traced(
        """
        for n in range(20): tracer.start_span('x').end(); time.sleep(0.1)
        time.sleep(1)
        """,
        payload, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.2", OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    (line,) = err.splitlines()
    assert "the Collector does not take telemetry" in line


def test_the_end_of_a_process_tries_once(payload):
    """Where nobody takes it, more tries would only be waited for."""
    tries = []

    class Refuses(socketserver.BaseRequestHandler):
        def handle(self):
            tries.append(self.client_address)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        process = traced(
            "tracer.start_span('x').end(); meter.create_counter('c').add(1)", payload,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_address[1]}",
            AF_OTEL_FLUSH_TIMEOUT="8000",
        )  # fmt: skip
        process.communicate(timeout=60)
        server.shutdown()
    # Spans and metrics; each once more on a new connection, as the first may have been a stale one.
    assert len(tries) == 4


def test_what_waits_for_its_next_try_has_it_at_the_end(payload, collector):
    """The Collector may be back by then."""
    collector.stop()
    process = traced(
        """
        tracer.start_span('patient').end()
        print("made", flush=True); sys.stdin.readline()
        """,
        payload, **collector.settings, OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_EXPORTER_OTLP_TIMEOUT="3600", OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip
    assert process.stdout.readline() == "made\n"
    time.sleep(4)  # its tries are after 0.1, 1, 3 and 7 seconds
    collector.start()
    process.communicate("\n", timeout=60)
    collector.wait_for_span("patient")


def test_a_collector_that_never_answers_does_not_hold_the_end_of_a_process(payload):
    """It accepts and is silent for ever; the process ends by its own bound."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = traced(
            "tracer.start_span('x').end()", payload,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="3600", AF_OTEL_FLUSH_TIMEOUT="500",
        )  # fmt: skip
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_process_that_ends_before_the_sdk_is_there_says_nothing(payload):
    """It recorded nothing, so there is nothing to say; the SDK starts no pool of threads then."""
    process = traced(
        """
        import concurrent.futures.thread as pools, threading
        fresh = LazyTracerProvider(Loader("kernel"))
        def last():
            pools._shutdown = True
            fresh.get_tracer("late").start_span("never").end()
        threading._register_atexit(last)
        """, payload,
        OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none",
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
