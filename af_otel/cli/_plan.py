"""A plan for people: what would be made, changed and deleted, and what that sets off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from af_otel.backends.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from af_otel.kubernetes.install import Prepared
    from af_otel.kubernetes.plan import Change, Plan
    from af_otel.kubernetes.refs import Ref
    from af_otel.kubernetes.removal import Removal

_SIGNS = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "delete": ("-", "red"),
    "foreign": ("!", "bold red"),
}
_LONG = 160  # characters of a line; an admission policy has some of thousands
_MOST, _ALL = 24, 1_000_000  # lines of one object's diff
_LINES = {"+": "green", "-": "red", "@": "dim"}


def changes(plan: Plan, *, full: bool) -> RenderableType:
    """A line for each object that would not stay as it is; of those that change, what.

    Parameters
    ----------
    full
        Also the whole of what would be made or deleted.
    """
    parts: list[RenderableType] = []
    table = _table()
    for change in plan.changes:
        if change.action == "same":
            continue
        sign, style = _SIGNS[change.action]
        table.add_row(
            Text(sign, style=style),
            change.action if change.action != "foreign" else "in the way",
            change.ref.kind,
            Text(place(change.ref), overflow="fold"),
            Text(change.why, style=style),
        )
        shown = full or change.action == "change"
        if shown and change.diff:
            parts += [table, _diff(change, _ALL if full else _MOST)]
            table = _table()
    parts.append(table)
    same = len(plan.of("same"))
    if same:
        parts.append(Text(f"{count(same, 'object')} as they should be", style="dim"))
    return Group(*parts)


def consequences(prepared: Prepared, *, restart: bool) -> list[str]:
    """What an install does to what is not its own."""
    said = []
    for pod in prepared.hub:
        meta = pod["metadata"]
        where = f"Pod `{meta['name']}` of the hub in `{meta['namespace']}`"
        said.append(
            f"{where} is started anew, so that it is injected; users' servers run on meanwhile"
            if restart
            else f"{where} stays untraced until it is started anew"
        )
    return [*said, *prepared.notes]


def removal(plan: Removal) -> RenderableType:
    """What an uninstall takes, and what it leaves."""
    table = _table()
    for ref in plan.objects:
        table.add_row(Text("-", style="red"), "delete", ref.kind, Text(place(ref)), "")
    if plan.namespace:
        name = Text(plan.inventory.namespace)
        table.add_row(Text("-", style="red"), "delete", "Namespace", name, "")
    for ref, why in plan.stays.items():
        table.add_row("", "leave", ref.kind, Text(place(ref)), Text(why, style="yellow"))
    return table


def as_json(plan: Plan) -> list[dict[str, Any]]:
    """The changes, without what stays as it is."""
    return [change.as_json() for change in plan.changes if change.action != "same"]


def place(ref: Ref) -> str:
    """An object's name, with its namespace if it has one."""
    return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name


def _diff(change: Change, most: int) -> Text:
    text = Text()
    lines = list(shortened(change.diff))
    for line in lines[:most]:
        text.append(f"    {line}\n", style=_LINES.get(line[:1], ""))
    if len(lines) > most:
        # Not `diff`, which compares with facility.yaml: of a rollback it shows the reverse.
        text.append(f"    … {len(lines) - most} more lines: `--dry-run` shows them\n", style="dim")
    for field, manager in (change.owners or {}).items():
        text.append(f"    `{field}` was set by `{manager}`\n", style="yellow")
    text.rstrip()
    return text


def shortened(lines: Sequence[str]) -> Iterator[str]:
    """The lines of a diff, of very long ones the place where the old and the new part."""
    for at, line in enumerate(lines):
        if len(line) <= _LONG:
            yield line
            continue
        begin = 1
        for other in (*lines[at + 1 : at + 2], *lines[max(0, at - 1) : at]):
            if {line[0], other[:1]} == {"+", "-"}:
                pairs = enumerate(zip(line[1:], other[1:], strict=False), 1)
                differs = next((place for place, (a, b) in pairs if a != b), len(other))
                begin = max(1, differs - _LONG // 2)
                break
        cut = line[begin : begin + _LONG]
        yield (
            line[0] + ("…" if begin > 1 else "") + cut + ("…" if begin + _LONG < len(line) else "")
        )


def _table() -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(width=1)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
