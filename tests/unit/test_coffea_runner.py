"""Runs of coffea processors over real ROOT files: spans, and metrics equal to coffea's report."""

from __future__ import annotations

import pytest
from af_otel_instrumentation import coffea as instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

processor = pytest.importorskip("coffea.processor")
import awkward  # noqa: E402
import coffea  # noqa: E402
import numpy as np  # noqa: E402
import uproot  # noqa: E402
from coffea.nanoevents import BaseSchema  # noqa: E402


class Momenta(processor.ProcessorABC):
    """The sum of a branch, or a failure."""

    def __init__(self, failing=False):
        self.failing = failing

    def process(self, events):
        if self.failing:
            raise RuntimeError("canary-4711")
        return {"entries": len(events), "sum": float(awkward.sum(events.pt))}

    def postprocess(self, accumulator):
        return accumulator


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("root")
    for number in range(2):
        with uproot.recreate(directory / f"{number}.root") as file:
            file["Events"] = {"pt": np.arange(5000, dtype="f4") + number}
    return {"muons": [str(path) for path in sorted(directory.iterdir())]}


def instrumented():
    exported, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exported))
    instrumentation.instrument(tracer_provider=tracers, meter_provider=MeterProvider([reader]))
    return exported, reader


@pytest.fixture
def telemetry():
    yield instrumented()
    instrumentation.uninstrument()
    assert "af_otel" not in processor.Runner.run.__module__


def counted(reader):
    data = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics if data else []
    return {m.name: m.data.data_points[0] for m in metrics}


def runner(**options):
    return processor.Runner(
        executor=processor.IterativeExecutor(status=False), schema=BaseSchema, chunksize=2000,
        **options,
    )  # fmt: skip


def test_metrics_are_what_coffea_reports(files, telemetry):
    """Bytes, entries, chunks and time, also on the span, whose parent is the caller's."""
    exported, reader = telemetry
    with TracerProvider().get_tracer("t").start_as_current_span("run cell") as cell:
        out, report = runner(savemetrics=True)(files, Momenta(), treename="Events")
    points = counted(reader)
    assert out["entries"] == report["entries"] == 10_000
    for key in ("bytesread", "entries", "chunks", "processtime"):
        assert points[f"coffea.{key}"].value == report[key]
        assert points[f"coffea.{key}"].attributes == {"coffea.processor": "Momenta"}
    (span,) = exported.get_finished_spans()
    assert span.name == "run processor"
    assert span.parent.span_id == cell.get_span_context().span_id
    assert span.attributes["coffea.entries"] == 10_000
    assert points["coffea.run.duration"].count == 1


@pytest.mark.parametrize("savemetrics", [True, False])
def test_the_caller_gets_what_it_would_have_got(files, telemetry, savemetrics):
    """Only the time differs; `savemetrics` is as it was."""
    mine = runner(savemetrics=savemetrics)
    with_us = mine(files, Momenta(), treename="Events")
    raw = mine.run(files, Momenta(), treename="Events")
    assert mine.savemetrics is savemetrics
    assert counted(telemetry[1])["coffea.entries"].value == 20_000
    instrumentation.uninstrument()
    plain = runner(savemetrics=savemetrics)(files, Momenta(), treename="Events")
    plain_raw = runner(savemetrics=savemetrics).run(files, Momenta(), treename="Events")
    assert set(raw) == set(plain_raw)
    if savemetrics:
        assert with_us[0] == plain[0]
        assert set(with_us[1]) == set(plain[1])
    else:
        assert with_us == plain


@pytest.mark.usefixtures("telemetry")
def test_a_coffea_that_cannot_report_is_not_asked(files, monkeypatch):
    """Two versions of 2025 hand back the report where the processor's output should be."""
    instrumentation.uninstrument()
    monkeypatch.setattr(coffea, "__version__", "2025.10.1")
    exported, reader = instrumented()
    assert "metrics" not in runner().run(files, Momenta(), treename="Events")
    assert set(counted(reader)) == {"coffea.run.duration"}
    assert [span.name for span in exported.get_finished_spans()] == ["run processor"]


def test_what_a_subclass_notes_of_a_run_is_kept(files, telemetry):
    """Also where it notes it in the middle of one."""

    class Noting(processor.Runner):
        def preprocess(self, *args, **kwargs):
            self.filesets = getattr(self, "filesets", 0) + 1
            return super().preprocess(*args, **kwargs)

    mine = Noting(executor=processor.IterativeExecutor(status=False), schema=BaseSchema)
    for number in (1, 2):
        mine.run(files, Momenta(), treename="Events")
        assert (mine.filesets, mine.savemetrics) == (number, False)


def test_a_failure_is_coffeas_own(files, telemetry):
    """The span has its class, nothing has its text."""
    exported, reader = telemetry
    with pytest.raises(Exception, match="canary-4711"):
        runner()(files, Momenta(failing=True), treename="Events")
    (span,) = exported.get_finished_spans()
    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == "RuntimeError"
    assert "canary" not in span.to_json()
    assert counted(reader)["coffea.run.duration"].attributes["error.type"] == "RuntimeError"


def test_a_function_is_a_processor_too(files, telemetry):
    """From 2026 on; it goes by its name."""
    runner()(files, entries_of, treename="Events")
    assert counted(telemetry[1])["coffea.entries"].attributes == {"coffea.processor": "entries_of"}


def entries_of(events):
    return {"entries": len(events)}
