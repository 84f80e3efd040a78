"""A session's spans as trees, and what a reader is told of spans that never ended."""

from __future__ import annotations

import io
import itertools
import json

import pytest
from af_otel_semconv import attributes as names
from inline_snapshot import snapshot
from rich.console import Console

from af_otel.backends.spans import Link, Span
from af_otel.backends.story import DEEPEST, Fold, State, fold, tell
from af_otel.backends.words import duration, facts
from af_otel.cli._page import PAPER
from af_otel.cli._story import Lines, heading
from af_otel.page.serialize import serialize

NOW = 1_800_000_000.0  # s since the epoch
SESSION = "5e55"


class Session:
    """Makes spans whose times are seconds since the session's begin, an hour before NOW."""

    def __init__(self, began=NOW - 3600):
        self.began = began
        self.spans = []
        self.ids = itertools.count(1)

    def span(self, name, parent=None, at=0.0, took=1.0, *, trace=None, links=(), **given):
        number = next(self.ids)
        service = given.pop("service", "jupyter-server")
        span = Span(
            trace_id=trace or (parent.trace_id if parent else f"{number:032x}"),
            span_id=f"{number:016x}",
            parent_id=parent.span_id if parent else given.pop("parent_id", ""),
            name=name,
            service=service,
            start=int((self.began + at) * 1e9),
            end=int((self.began + at + took) * 1e9),
            status=given.pop("status", "unset"),
            resource={"service.instance.id": given.pop("instance", service)},
            attributes=given.pop("attributes", {}),
            links=tuple(Link(link.trace_id, link.span_id) for link in links),
        )
        self.spans.append(span)
        return span

    def marker(self, name, parent=None, at=0.0, *, of, **given):
        attributes = {names.PENDING: True, names.PENDING_SPAN_ID: of}
        return self.span(name, parent, at, 1.0, attributes=attributes, **given)

    def tell(self, now=NOW, session_id=SESSION):
        return tell(self.spans, now=now, session_id=session_id)


@pytest.fixture
def session():
    return Session()


def shape(nodes):
    """The names of a tree, nested."""
    return [
        {node.span.name: shape(node.children)} if node.children else node.span.name
        for node in nodes
    ]


def printed(story, width=PAPER, **options):
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False)
    console.print(Lines(story, width, **options).table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def test_traces_of_a_session_are_told_in_order_of_time(session):
    """Spans arrive in any order: roots and children are sorted by their start."""
    late = session.span("execute cell", at=9)
    spawn = session.span("spawn server", at=0)
    session.span("run cell", late, at=9.5)
    session.span("queue", late, at=9.1)
    session.span("start server", spawn, at=0.5)

    assert shape(session.tell().roots) == [
        {"spawn server": ["start server"]},
        {"execute cell": ["queue", "run cell"]},
    ]


def test_marker_gives_way_to_its_span(session):
    """A span that was open for a while has left a marker: it is not told twice."""
    cell = session.span("execute cell", took=5)
    run = session.span("run cell", cell, took=4)
    session.marker("run cell", cell, of=run.span_id)

    story = session.tell()

    assert shape(story.roots) == [{"execute cell": ["run cell"]}]
    assert {node.state for node in story.nodes()} == {State.ENDED}


def test_marker_stands_for_a_span_that_never_ended(session):
    """What the lost span had set off hangs under its marker."""
    cell = session.span("execute cell", took=5)
    lost = "00000000000000ff"
    session.marker("run cell", cell, at=0.1, of=lost, service="jupyter-kernel")
    child = session.span("my fit", cell, at=0.5)
    session.spans[-1] = Span(**{**vars(child), "parent_id": lost})

    assert shape(session.tell().roots) == [{"execute cell": [{"run cell": ["my fit"]}]}]


def open_cell(session, **execute):
    cell = session.span("execute cell", took=9, **execute)
    session.marker("run cell", cell, of="00000000000000ff", service="jupyter-kernel")
    return next(node for node in session.tell().nodes() if node.span.name == "run cell")


def test_a_recursion_of_thousands_is_told_whole(session):
    """What is deeper than anybody looks is told side by side, in whatever form it is asked for."""
    above = None
    for number in range(3000):
        above = session.span(f"level {number}", above, number / 1e3)
    story = session.tell()

    assert [node.span.name for node in story.nodes()] == [f"level {n}" for n in range(3000)]
    node, levels = story.roots[0], 1
    while node.children:
        node, levels = node.children[0], levels + 1
    assert levels == DEEPEST
    assert "level 2999" in json.dumps(story.as_json())
    assert "level 2999" in json.dumps(serialize(story))
    assert Lines(story, 100, everything=True).table.row_count == 3000


def test_attributes_of_our_names_may_be_anybodys(session):
    """A user's code may give a span of its own an attribute of ours, with any value."""
    session.span("mine", attributes={names.TASKS: "some", names.TASKS_ERRED: [1]})

    (root,) = serialize(session.tell())["items"]

    assert root["remarks"] == []


def test_spans_that_are_their_own_ancestors_are_told(session):
    """Whoever sends that has an error in it: the first of them is taken for a root."""
    one = session.span("one", parent_id=f"{2:016x}", trace="1")
    two = session.span("two", one, 1)
    session.span("under both", two, 2)
    session.span("alone", parent_id=f"{4:016x}", at=3)

    one, alone = session.tell().roots

    assert [node.span.name for node in one.walk()] == ["one", "two", "under both"]
    assert [node.span.name for node in alone.walk()] == ["alone"]


def test_span_that_its_waiting_parent_outlived_was_open_when_its_process_died(session):
    """The server has ended the cell, an hour ago: the kernel never will."""
    assert open_cell(session).state is State.DIED


def test_death_that_the_server_saw_needs_no_waiting():
    """A cell with the status `died` says it at once."""
    just_now = Session(began=NOW - 9.5)

    assert open_cell(just_now, attributes={names.CELL_STATUS: "died"}).state is State.DIED


def test_span_may_arrive_some_seconds_after_its_parent():
    """A cell that has just ended in the server says nothing of its kernel yet."""
    assert open_cell(Session(began=NOW - 9.5)).state is State.OPEN


def test_all_that_was_open_in_a_dead_process_is_told_so(session):
    """One span shows that the kernel died: its other open spans died with it."""
    open_cell(session)
    session.marker("my thread", of="00000000000000fe", service="jupyter-kernel")

    assert [node.state for node in session.tell().nodes() if node.span.name == "my thread"] == [
        State.DIED
    ]


def test_open_span_of_a_process_heard_of_lately_is_still_open(session):
    """A cell runs for an hour; its server has just sent another span."""
    session.marker("execute cell", of="00000000000000ff")
    session.span("start kernel", at=3590)

    assert [node.state for node in session.tell().nodes()] == [State.OPEN, State.ENDED]


def test_open_span_of_a_silent_process_is_not_judged(session):
    """Nothing was heard for an hour: it may run or have died."""
    session.marker("execute cell", of="00000000000000ff")

    assert [node.state for node in session.tell().nodes()] == [State.UNKNOWN]


def test_many_alike_are_folded_but_failed_ones_are_told(session):
    """Of 30 tasks six are told, the failed one among them, in order of time."""
    share = session.span("worker share")
    for number in range(30):
        status = "error" if number == 20 else "unset"
        session.span("task", share, at=number / 100, took=0.01 * number, status=status)
    root = session.tell().roots[0]

    told = fold(root.children, keep=6)

    assert [item.error for item in told[:-1]] == ["", "", "", "", "", "error"]
    assert isinstance(told[-1], Fold)
    assert len(told[-1].nodes) == 24


def test_one_more_is_not_folded_away(session):
    """A line that says `1 more` would be as long as the line it saves."""
    share = session.span("worker share")
    for _ in range(7):
        session.span("task", share)

    assert len(fold(session.tell().roots[0].children, keep=6)) == 7


def whole_session():
    session = Session()
    ok, died = {names.CELL_STATUS: "ok"}, {names.CELL_STATUS: "died"}
    spawn = session.span("spawn server", took=1.82, service="jupyterhub")
    session.span("start server", spawn, at=0.4, took=1.31)
    cell = session.span("execute cell", at=4, took=3.4, links=[spawn], attributes=ok)
    run = session.span("run cell", cell, 4, 3.39, service="jupyter-kernel",
                       attributes={names.CELL_EXECUTION_COUNT: 1})  # fmt: skip
    graph = session.span("compute graph", run, 4.5, 2.1, service="dask-scheduler",
                         attributes={names.GRAPH_TASKS: 20, names.TASKS_ERRED: 1})  # fmt: skip
    share = session.span("worker share", graph, 4.6, 2, service="dask-worker",
                         attributes={names.TASKS: 20})  # fmt: skip
    for number in range(20):
        failed = {"status": "error", "attributes": {names.ERROR_TYPE: "OSError"}}
        session.span("task", share, 4.6 + number / 10, 0.05, service="dask-worker",
                     **(failed if number == 3 else {}))  # fmt: skip
    last = session.span("execute cell", at=20, took=130, links=[spawn], attributes=died)
    session.marker("run cell", last, 20.01, of="00000000000000ff", service="jupyter-kernel")
    session.span("start server", at=21, parent_id="00000000000000aa", trace="a" * 32)
    return session.tell()


def test_story_is_told_in_words():
    """Durations, services, failures, links, open and folded spans: all of it without colour."""
    assert printed(whole_session()) == snapshot("""\
span                                                    service              at    took
spawn server                                            jupyterhub        +0 ms  1.82 s
└─ start server                                         jupyter-server  +400 ms  1.31 s
execute cell  from `spawn server`                       jupyter-server     +4 s   3.4 s
└─ run cell [1]                                         jupyter-kernel     +4 s  3.39 s
   └─ compute graph  20 tasks  1 failed                 dask-scheduler   +4.5 s   2.1 s
      └─ worker share  20 tasks                         dask-worker      +4.6 s     2 s
         ├─ task                                        dask-worker      +4.6 s   50 ms
         ├─ task                                        dask-worker      +4.7 s   50 ms
         ├─ task                                        dask-worker      +4.8 s   50 ms
         ├─ task  failed: OSError                       dask-worker      +4.9 s   50 ms
         ├─ task                                        dask-worker        +5 s   50 ms
         └─ … 15 more `task` spans, at most 50 ms each
execute cell  failed: died  from `spawn server`         jupyter-server    +20 s  2m 10s
└─ run cell  open when its process died                 jupyter-kernel    +20 s
start server  its parent is not in the trace            jupyter-server    +21 s     1 s\
""")


def test_narrow_terminal_keeps_the_times():
    """What is cut is the names; service and times stay whole."""
    lines = printed(whole_session(), width=80).splitlines()

    assert max(map(len, lines)) <= 80
    assert [line.split()[-1] for line in (lines[0], lines[1])] == ["took", "s"]
    assert any(line.endswith("+20 s  2m 10s") and "…" in line for line in lines)


def test_wide_terminal_shows_each_trace_as_a_waterfall():
    """A bar begins where its span does within its trace, and is never too short to be seen."""
    lines = printed(whole_session(), width=130).splitlines()

    assert [lines[number].rpartition(" s  ")[2] for number in (1, 2, 5)] == snapshot(
        ["━━━━━━━━━━━━━━━━━━━━━━━━", "     ━━━━━━━━━━━━━━━━━━", "   ━━━━━━━━━━━━━━━"]
    )


def test_a_name_gives_a_terminal_no_commands(session):
    """Anybody whose code makes spans chooses their names; an operator reads them."""
    odd = "\x1b]0;title\x07\x1b[2J\r\u202e\x9b"
    failed = {"status": "error", "attributes": {"error.type": odd}}
    root = session.span(odd, service=odd, **failed)
    for _ in range(30):
        session.span(odd, root)

    said = printed(session.tell())

    assert not set(odd) - set("]0;title[2J") & set(said)
    assert said.count("\N{REPLACEMENT CHARACTER}]0;title") > 5


def test_everything_folds_nothing():
    """`--all` tells each of the 20 tasks."""
    assert printed(whole_session(), everything=True).count("─ task") == 20


def test_heading_counts():
    """The first lines say which session, how long, and how much of it failed."""
    lines = [line.plain for line in heading(whole_session())]

    assert lines[0] == f"Session {SESSION}"
    assert lines[1].partition(", ")[2] == snapshot(
        "2m 30s: 29 spans in 4 traces from 5 processes, 2 errors"
    )


def test_heading_says_where_there_may_be_more(session):
    """A store is asked for a bounded number of traces: these need not be the whole session."""
    session.span("execute cell", at=0)
    session.span("execute cell", at=1)
    story = tell(session.spans, now=NOW, session_id=SESSION, complete=False)

    assert facts(story).endswith("2 spans in the newest 2 traces from 1 process")


def test_json_has_all_that_the_tree_has():
    """A link has the name of what it leads to, an open span has no duration."""
    story = whole_session().as_json()
    *_, cell, orphan = story["roots"]

    assert story["session"] == SESSION
    assert [link["name"] for link in cell["links"]] == ["spawn server"]
    assert cell["children"][0] == snapshot(
        {
            "trace_id": "0000000000000000000000000000001b",
            "span_id": "00000000000000ff",
            "parent_id": "000000000000001b",
            "name": "run cell",
            "service": "jupyter-kernel",
            "instance": "jupyter-kernel",
            "kind": "internal",
            "start": 1799996420009999872,
            "seconds": None,
            "state": "died",
            "status": "unset",
            "error": None,
            "attributes": {"af_otel.pending": True, "af_otel.pending.span_id": "00000000000000ff"},
            "events": [],
            "links": [],
            "children": [],
        }
    )
    assert orphan["parent_id"] == "00000000000000aa"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.00042, "0.42 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (59.96, "60 s"),
        (61, "1m 01s"),
        (3600, "1h 00m"),
        (90000, "1d 01h"),
        (-0.25, "-250 ms"),
        (-7200, "-2h 00m"),
    ],
)
def test_duration_suits_its_unit(seconds, text):
    """Three digits, from parts of a millisecond to days; a clock may have been put back."""
    assert duration(seconds) == text
