"""Checks on the terminal: which are under way, and what they found."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from af_otel.backends.words import count
from af_otel.cli._moving import Moving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

    from af_otel.checks._registry import Check
    from af_otel.checks.finding import Finding, Severity
    from af_otel.checks.run import Done, Report

_STYLES: dict[Severity, str] = {"blocks": "bold red", "warns": "yellow", "info": "cyan"}
_MARKS = {"blocks": "✗", "warns": "!", "info": "i"}
_AT_ONCE = 6  # checks under way that are shown


class Progress(Moving):
    """How far the checks are: lines that move on a terminal; elsewhere nothing until the end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, leave=False)
        self._report: Report | None = None

    def update(self, report: Report) -> None:
        """Show the checks as they are now."""
        self._report = report

    def _drawn(self) -> RenderableType:
        done = self._report.done if self._report else []
        ended = sum(each.progress == "done" for each in done)
        table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
        table.add_row(self._spinner, Text(f"{ended} of {len(done)} checks done"))
        running = [each for each in done if each.progress == "running"]
        for each in running[:_AT_ONCE]:
            table.add_row("", Text(each.check.asks, style="dim"))
        return table


def page(report: Report, width: int | None) -> Iterator[Text]:
    """All that was found, by group; then what could not be looked at; then the verdict.

    Parameters
    ----------
    width
        Of a terminal, whose lines are to end at words; None leaves every line whole.
    """
    for group, members in groupby(report.done, key=lambda each: each.check.group):
        yield Text(group, style="bold")
        for done in members:
            yield from _check(done, width)
        yield Text()
    yield from _unchecked(report, width)
    yield verdict(report)


def _check(done: Done, width: int | None) -> Iterator[Text]:
    if not done.findings and not done.unchecked:
        yield Text("  ✓ ", style="green").append(done.check.asks, style="not green dim")
    elif not done.findings:
        yield Text("  ? ", style="yellow").append(f"{done.check.asks} Not checked, see below")
    for finding in done.findings:
        yield from _finding(finding, width)


def _finding(finding: Finding, width: int | None) -> Iterator[Text]:
    style = _STYLES[finding.severity]
    mark = f"  {_MARKS[finding.severity]} {finding.severity}: "
    yield from _lines(mark, finding.what, width, style)
    for name, text in (("where", finding.where), ("why", finding.why)):
        if text:
            yield from _lines(f"      {name}: ", text, width, "dim")
    if finding.mend:
        yield Text("      mend:", style="dim").append(
            "  `--fix` does it" if finding.fixable else ""
        )
        # As it is, so that it can be copied.
        for line in finding.mend.splitlines():
            yield Text(f"        {line}", style="green")


def _lines(head: str, text: str, width: int | None, style: str) -> Iterator[Text]:
    """A text behind its head, the further lines below it."""
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    wrapped = (
        textwrap.wrap(
            head + text,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        if width
        else [head + text]
    )
    yield Text(wrapped[0][: len(head)], style=style).append(
        wrapped[0][len(head) :], style="not bold not dim default"
    )
    for line in wrapped[1:]:
        yield Text(line)


def _unchecked(report: Report, width: int | None) -> Iterator[Text]:
    if report.unchecked:
        yield Text("Not checked", style="bold")
        alike: dict[tuple[str, str], list[str]] = {}
        for item in report.unchecked:
            alike.setdefault((item.why, item.hint), []).append(item.check)
        for (why, hint), checks in alike.items():
            yield from _lines("  ? ", f"{', '.join(checks)}: {why}", width, "yellow")
            if hint:
                yield from _lines("      hint: ", hint, width, "dim")
        yield Text()
    if report.left_out:
        left = count(len(report.left_out), "check")
        yield Text(f"Left out: {left} that only a live cluster can answer\n", style="dim")


def verdict(report: Report) -> Text:
    """One line that says how it is."""
    checked = sum(not each.unchecked for each in report.done)
    said = f"{count(checked, 'check')} in {report.seconds:.1f} s of {report.where}: "
    line = Text(f"Facility `{report.facility}`, {said}")
    blocks, warns = report.count("blocks"), report.count("warns")
    if blocks:
        line.append(f"{count(blocks, 'finding')} in the way", style="bold red")
        line.append(f", {count(warns, 'warning')}" if warns else "")
    elif warns:
        line.append("nothing in the way", style="bold green")
        line.append(f", {count(warns, 'warning')}")
    else:
        line.append("nothing to change", style="bold green")
    if report.unchecked:
        line.append(f", {len(report.unchecked)} not checked", style="yellow")
    return line


def listed(checks: list[Check]) -> Table:
    """The checks that there are."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("check", no_wrap=True)
    table.add_column("asks")
    table.add_column("offline", no_wrap=True)
    for check in checks:
        table.add_row(check.name, check.asks, "yes" if check.source == "files" else "")
    return table
