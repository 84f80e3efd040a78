"""Each hop of a session is proven by its spans, and one that is broken is told how."""

from __future__ import annotations

from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from af_otel.backends.spans import Link, Span
from af_otel.verify import hops
from af_otel.verify.collector import SpansFile

SESSION = "5e55"
HOPS = hops.with_dask("dask-scheduler")


def span(name, service, trace, number, parent="", links=()):
    return Span(
        trace_id=trace,
        span_id=f"{number:016x}",
        parent_id=parent and f"{parent:016x}",
        name=name,
        service=service,
        start=number,
        end=number + 1,
        attributes={"session.id": SESSION},
        resource={"service.instance.id": f"{service}-{number}"},
        links=tuple(Link("spawn", f"{link:016x}") for link in links),
    )


def session():
    """The spans of a session with one cell, by name."""
    spans = [
        span("spawn server", "jupyterhub", "spawn", 1),
        span("start server", "jupyter-server", "spawn", 2, parent=1),
        span("start kernel", "jupyter-server", "kernel", 3, links=[1]),
        span("execute cell", "jupyter-server", "cell", 4, links=[1]),
        span("run cell", "jupyter-kernel", "cell", 5, parent=4),
        span("compute graph", "dask-scheduler", "cell", 6, parent=5),
        span("worker share", "dask-worker", "cell", 7, parent=6),
    ]
    return {span.name: span for span in spans}


def first_problem(spans, cells=1):
    every = list(spans.values())
    proofs = hops.prove(HOPS, every, every, SESSION, cells)
    return next(((proof.span, proof.problem) for proof in proofs if not proof.proven), None)


def test_session_with_every_link_is_proven():
    """Nothing is wrong with it, whatever else is in its traces."""
    spans = session() | {"queue": span("queue", "jupyter-server", "cell", 8, parent=4)}

    assert first_problem(spans) is None
    assert hops.processes(spans.values()) == 8


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop.span)
def test_missing_span_breaks_its_hop(hop):
    """The first hop without its span is the one that is named."""
    spans = session()
    del spans[hop.span]

    assert first_problem(spans) == (
        hop.span,
        f"at the Collector: no span `{hop.span}` of `{hop.service}`",
    )


BROKEN = {
    "a parent of the wrong kind": ("run cell", {"parent_id": f"{3:016x}", "trace_id": "kernel"}),
    "a parent that is nowhere": ("compute graph", {"parent_id": "ff"}),
    "no parent": ("worker share", {"parent_id": ""}),
    "a parent where none belongs": ("execute cell", {"parent_id": f"{3:016x}"}),
    "no link": ("start kernel", {"links": ()}),
    "no session": ("compute graph", {"attributes": {}}),
    "another session": ("run cell", {"attributes": {"session.id": "other"}}),
    "another service": ("run cell", {"service": "python"}),
    "only a marker": (
        "run cell",
        {"attributes": {"af_otel.pending": True, "af_otel.pending.span_id": "ab"}},
    ),
}


def test_misplaced_spans_are_told_how():
    """Each way in which a hop can be there and yet be wrong."""
    told = ""
    for how, (name, changes) in BROKEN.items():
        spans = session()
        spans[name] = replace(spans[name], **changes)
        told += f"{how}\n   {first_problem(spans)[1].removeprefix('at the Collector:')}\n"

    assert told == snapshot("""\
a parent of the wrong kind
    a span `run cell` is a child of `start kernel` and not of `execute cell`
a parent that is nowhere
    a span `compute graph` has a parent that is not there, and should be a child of `run cell`
no parent
    a span `worker share` begins a trace and is no child of `compute graph`
a parent where none belongs
    a span `execute cell` has a parent where it should begin a trace
no link
    a span `start kernel` is not linked to `spawn server`
no session
    a span `compute graph` has no `session.id`
another session
    a span `run cell` has another session's id, `other`
another service
    no span `run cell` of `jupyter-kernel`, but of `python`
only a marker
    no span `run cell` of `jupyter-kernel`, which is still open
""")


def test_every_cell_counts():
    """One cell of two that has come is not enough."""
    assert first_problem(session(), cells=2) == snapshot(
        ("execute cell", "at the Collector: only 1 of 2 cells have a span `execute cell`")
    )


def test_what_the_collector_has_and_the_store_has_not_is_told_so():
    """The Collector saw all: what is missing was lost behind it."""
    every = list(session().values())
    *_, last = hops.prove(HOPS, every, every[:-1], SESSION, 1)

    assert (last.at_collector, last.in_store) == (True, False)
    assert last.problem == "in the trace store: no span `worker share` of `dask-worker`"


def test_collector_that_keeps_no_spans_is_not_asked():
    """What is proven then is proven by the trace store alone; what is missing is missing there."""
    every = list(session().values())
    *_, before, last = hops.prove(HOPS, None, every[:-1], SESSION, 1)

    assert before.proven
    assert before.at_collector is None
    assert last.problem == "in the trace store: no span `worker share` of `dask-worker`"


def test_span_from_elsewhere_breaks_its_hop():
    """The place knows where a span must come from; what it says is told of the span."""

    def misplaced(span):
        return "is from nowhere" if span.service == "jupyter-kernel" else ""

    every = list(session().values())
    proofs = hops.prove(HOPS, every, every, SESSION, 1, misplaced)

    assert [proof.problem for proof in proofs if not proof.proven] == [
        "in the trace store: a span `run cell` is from nowhere"
    ]


def test_session_without_dask_has_fewer_hops_and_processes():
    """A notebook's own come first; a scheduler inside the kernel is no process of its own."""
    assert HOPS[: len(hops.NOTEBOOK)] == hops.NOTEBOOK
    assert hops.fewest_processes(hops.NOTEBOOK) == 3
    assert hops.fewest_processes(hops.with_dask("jupyter-kernel")) == 4
    assert hops.fewest_processes(HOPS) == 5


def test_spans_that_forgot_their_session_are_seen_with_it():
    """A trace belongs to the session by one span: the others in it cannot hide."""
    forgot = replace(session()["compute graph"], attributes={})
    other = replace(session()["start kernel"], trace_id="other", attributes={"session.id": "x"})
    spans = [session()["run cell"], forgot, other]

    assert hops.of_session(spans, SESSION) == spans[:2]


LINE = (
    '{"resourceSpans":[{"scopeSpans":[{"spans":['
    '{"traceId":"%s","spanId":"00000000000000aa","name":"%s"}]}]}]}\n'
)


def test_spans_file_is_read_from_now_on_and_through_its_rotation(tmp_path):
    """Old lines are passed over, a half written one is waited for, a rotated file read on."""
    path = tmp_path / "spans.jsonl"
    path.write_text(LINE % ("0" * 32, "old"))
    file = SpansFile(path)
    with path.open("a") as writing:
        writing.write(LINE % ("1" * 32, "one"))
        writing.write((LINE % ("2" * 32, "two"))[:30])
    assert [span.name for span in file.read()] == ["one"]

    with path.open("a") as writing:
        writing.write((LINE % ("2" * 32, "two"))[30:])
    path.rename(tmp_path / "spans-2027-01-15T08-00-00.000.jsonl")
    path.write_text(LINE % ("3" * 32, "three"))

    assert sorted(span.name for span in file.read()) == ["one", "three", "two"]
    assert len(file.read()) == 3
