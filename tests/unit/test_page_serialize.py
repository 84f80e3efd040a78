"""What the front end is given of a story, and the story as a file."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from af_otel.backends.spans import Event, Link, Span
from af_otel.backends.story import Story, tell
from af_otel.page.document import document
from af_otel.page.serialize import LONGEST, serialize

SECOND = 10**9
NASTY = "</script><script>document.title='pwned'</script><!--"


def span(number, name="work", parent=0, at=0, **given):
    return Span(
        trace_id=f"{given.pop('trace', 1):032x}",
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=name,
        service=given.pop("service", "jupyter-kernel"),
        start=(1_700_000_000 + at) * SECOND,
        end=(1_700_000_001 + at) * SECOND,
        **given,
    )


def names(items):
    """The names of a tree with what is folded, nested."""
    return [
        (item["name"], names(item["items"])) if "name" in item else names(item["items"])
        for item in items
    ]


def counted(items):
    return sum("name" in item for item in items) + sum(counted(item["items"]) for item in items)


def test_tree_is_that_of_the_story():
    """Names, nesting, errors and links as `af-otel trace --json` has them."""
    story = tell(
        [
            span(1, "spawn server"),
            span(2, "execute cell", at=2, trace=2, status="error",
                 attributes={"error.type": "OSError"},
                 links=(Link(f"{1:032x}", f"{1:016x}"), Link("f" * 32, "e" * 16))),
            span(3, "run cell", parent=2, at=2, trace=2),
        ],
        session_id="5e55",
    )  # fmt: skip

    made = serialize(story)

    assert names(made["items"]) == [("spawn server", []), ("execute cell", [("run cell", [])])]
    cell = made["items"][1]
    assert cell["error"] == "OSError"
    assert cell["remarks"] == [["failed: OSError", "failed"]]
    assert [(link["span"], link["words"]) for link in cell["links"]] == [
        (f"{1:016x}", "from `spawn server`"),
        ("e" * 16, f"from trace {'f' * 32}"),
    ]
    assert made["title"] == "Session 5e55"
    assert made["error_words"] == "1 error"


def test_many_alike_are_folded_as_on_the_terminal():
    """The words are those of `af-otel trace`; what is folded is there to be unfolded."""
    story = tell([span(1), *(span(n, "toy", parent=1, at=n) for n in range(2, 32))])

    (root,) = serialize(story)["items"]

    *shown, fold = root["items"]
    assert [item["name"] for item in shown] == ["toy"] * 6
    assert fold["fold"] == "… 24 more `toy` spans, at most 1 s each"
    assert len(fold["items"]) == 24


def test_a_huge_story_is_cut_and_says_by_how_much():
    """What is told comes first; every span is either sent or counted."""
    spans = [span(1), *(span(n, "toy", parent=1, at=n) for n in range(2, 1002))]
    spans += [span(2000 + n, f"own name {n}", parent=2, at=n) for n in range(300)]
    story = tell(spans)

    items = serialize(story, most=200)["items"]

    def cut(items):
        return sum(item.get("cut", 0) + cut(item["items"]) for item in items)

    assert counted(items) == 200
    assert counted(items) + cut(items) == sum(1 for _ in story.nodes()) == 1301


def test_work_grows_with_the_story_and_not_faster():
    """Nothing that looks at every span is asked for each of them."""

    class Counting(Story):
        looks = 0

        def nodes(self):
            Counting.looks += 1
            return super().nodes()

    spans = [span(1), *(span(n, f"own name {n}", parent=1, at=n) for n in range(2, 202))]
    story = Counting(tell(spans).roots)
    serialize(story)

    assert Counting.looks < 20


def test_long_values_are_cut_and_numbers_stay_exact():
    """A browser's numbers have 53 bits: values travel as text."""
    long = serialize(tell([span(1, attributes={"a": "x" * 9999, "b": 2**63, "c": [1, True]})]))
    values = dict(long["items"][0]["attributes"])

    assert len(values["a"]) < LONGEST + 50
    assert "9,999 characters" in values["a"]
    assert (values["b"], values["c"]) == ("9223372036854775808", "[1, true]")


def a_document():
    event = Event(NASTY, 1_700_000_000 * SECOND, {NASTY: NASTY})
    nasty = span(1, NASTY, service=NASTY, attributes={NASTY: NASTY}, events=(event,))
    return document(tell([nasty], session_id=NASTY))


def test_a_file_needs_nothing_but_itself():
    """No address of anything, no import, and a policy under which nothing could be fetched."""
    page = a_document()

    assert not re.search(r'\b(?:src|href)="(?!#|data:,)', page.split("<script type")[0])
    assert not re.search(r"^import |^export |\bimport\(|\bfetch\(", page, re.MULTILINE)
    assert "default-src 'none'" in page


def test_markup_in_a_file_is_text():
    """Two scripts only: the data, which none of its texts can end, and ours, whose hash is told."""
    page = a_document()

    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    assert json.loads(scripts[0])["items"][0]["name"] == NASTY
    digest = base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "<title>Session &lt;/script&gt;" in page
