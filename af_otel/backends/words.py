"""What is said of a span beside its name: the same on a terminal and on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from af_otel_semconv import attributes as names
from af_otel_semconv import spans

from af_otel.backends.story import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.backends.spans import Link
    from af_otel.backends.story import Fold, Node, Story

KEEP_SPANS = 6  # siblings of one name that are told one by one
KEEP_TRACES = 20  # the same for the traces of a session
_SECOND, _MINUTE, _HOUR, _DAY = 0.9995, 60, 3600, 86400  # below the first, no 1000 ms


class Remark(NamedTuple):
    """Some words, of what sort they are, and for a link where it leads."""

    words: str
    sort: str  # failed, open, orphan, less, link, plain
    link: Link | None = None


def title(node: Node) -> str:
    """Its name, and a cell's number."""
    number = node.span.attributes.get(names.CELL_EXECUTION_COUNT)
    return f"{node.span.name} [{number}]" if _is_count(number) else node.span.name


def remarks(story: Story, node: Node) -> Iterator[Remark]:
    """What failed, whether it ended, how many tasks, and where it came from."""
    if node.error:
        words = f"failed: {node.error}" if node.error != "error" else "failed"
        yield Remark(words, "failed")
    if node.state is not State.ENDED:
        yield Remark(node.state.value, "open")
    attributes = node.span.attributes
    tasks = attributes.get(names.GRAPH_TASKS, attributes.get(names.TASKS))
    if _is_count(tasks):
        yield Remark(count(tasks, "task"), "plain")
    erred = attributes.get(names.GRAPH_TASKS_ERRED, attributes.get(names.TASKS_ERRED))
    if _is_count(erred) and erred:
        yield Remark(f"{erred} failed", "less")
    for link in node.span.links:
        name = story.named(link)
        words = f"from `{name}`" if name else f"from trace {link.trace_id}"
        yield Remark(words, "link", link)


def _is_count(value: Any) -> bool:
    """Return whether an attribute, which a user may have set to anything, is a number of things."""
    return isinstance(value, int) and not isinstance(value, bool)


def kind(node: Node) -> str:
    """What spans have in common that are folded together."""
    name = node.span.name
    return spans.RUN_TASKS if name.startswith(spans.RUN_TASKS) else name


def folded(item: Fold, what: str) -> str:
    """What stands for spans that are not told; `what` they are: a span or a trace."""
    longest = max(node.span.seconds for node in item.nodes)
    return f"… {len(item.nodes)} more `{item.name}` {what}s, at most {duration(longest)} each"


def facts(story: Story) -> str:
    """How long and how much it was, as far as it was asked for."""
    traces = count(len(story.traces), "trace")
    if not story.complete:
        traces = f"the newest {traces}"
    return (
        f"{duration((story.end - story.start) / 1e9)}: "
        f"{count(sum(1 for _ in story.nodes()), 'span')} in {traces} "
        f"from {count(len(story.processes), 'process', 'processes')}"
    )


def errors(story: Story) -> str:
    """How many spans failed."""
    return count(story.errors, "error") if story.errors else "no errors"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 span", "12,000 spans"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Three digits at most, in the unit that suits; below 0 where a clock was put back."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < _SECOND:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)}m {int(seconds % _MINUTE):02}s"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)}h {int(seconds % _HOUR // _MINUTE):02}m"
    return f"{int(seconds // _DAY)}d {int(seconds % _DAY // _HOUR):02}h"
