#!/usr/bin/env python3
"""Run parts of the hosts' own test suites plain and injected, and compare the failures.

The tests are those of the releases that an environment has. A test whose outcome differs runs again
both ways, which tells a difference from a flaky test. The exit code is 1 if tests differ.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.table import Table

from af_otel.errors import AfOtelError
from building.progress import Progress
from upstream import environments, running, sources
from upstream.receiver import receiving
from upstream.results import Comparison, Outcome
from upstream.suites import SUITES, Suite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RERUNS = 3
WIDTH = 120  # of the table, also in a file
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _options(arguments)
    # Tests of interrupts need the default dispositions, also in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    running.adopt_orphans()
    compared: dict[str, Comparison] = {}
    failed = False
    try:
        tools = environments.Tools.find(options.python)
        chosen = list(_chosen(options.only, tools))
        with Progress(len(chosen)) as progress:
            for suite, version in chosen:
                name = f"{suite.library} {version}"
                progress.server(name)
                try:
                    with _directory(name, keep=options.keep) as directory:
                        compared[name] = _compare(suite, version, directory, tools, progress)
                except AfOtelError as error:
                    failed = True
                    progress.say(f"error: {name}: {error}")
    except AfOtelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    if options.json:
        print(json.dumps({name: _as_json(each) for name, each in compared.items()}, indent=2))
    else:
        _report(compared)
    different = any(not d.is_flaky for each in compared.values() for d in each.differences)
    return int(failed or different)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"{', '.join(SUITES)}; repeatable. `NAME==VERSION` chooses another release than the "
        "installed one",
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the interpreter of the environment whose releases are tested; default: this one",
    )
    parser.add_argument("--json", action="store_true", help="results as JSON on stdout")
    parser.add_argument("--keep", action="store_true", help="keep the environments and logs")
    return parser.parse_args(arguments)


def _chosen(only: Sequence[str] | None, tools: environments.Tools) -> Iterator[tuple[Suite, str]]:
    """Yield each suite and the release that it is run for."""
    installed = tools.installed()
    for entry in only or SUITES:
        name, _, version = entry.partition("==")
        suite = SUITES.get(name)
        if suite is None:
            raise AfOtelError(f"Suite `{name}` is unknown", hint=f"choose from {', '.join(SUITES)}")
        version = version or installed.get(environments.normalized(name), "")
        if not version:
            raise AfOtelError(f"{name} is not installed", where=f"`{tools.python}`")
        yield suite, version


@contextlib.contextmanager
def _directory(name: str, *, keep: bool) -> Iterator[Path]:
    """Make a directory for a suite, which is removed at the end unless it is to be kept."""
    directory = Path(tempfile.mkdtemp(prefix="af-otel-upstream-"))
    try:
        yield directory
    finally:
        if keep:
            print(f"{name}: environment and logs are in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _compare(
    suite: Suite,
    version: str,
    directory: Path,
    tools: environments.Tools,
    progress: Progress,
) -> Comparison:
    source = sources.get(suite, version, tools, progress)
    progress.phase("installing")
    environment = environments.make(suite, version, source, directory, tools, progress)
    with receiving() as receiver:
        runner = running.Runner(
            suite, environment, directory, tools, running.injection(receiver.endpoint), progress
        )
        comparison = Comparison(
            runner.run("plain", suite.tests, inject=False),
            runner.run("injected", suite.tests, inject=True),
        )
        if suite.service not in receiver.services:
            arrived = ", ".join(sorted(receiver.services)) or "none"
            raise AfOtelError(
                f"No telemetry of {suite.service} arrived, so its hooks were not tested",
                where=f"telemetry of: {arrived}",
            )
        tests = comparison.repeatable
        for number in range(1, RERUNS + 1) if tests else ():
            plain = runner.run(f"plain-{number}", tests, inject=False)
            injected = runner.run(f"injected-{number}", tests, inject=True)
            comparison.reruns.append((plain, injected))
    return comparison


def _report(compared: dict[str, Comparison]) -> None:
    console = Console(highlight=False, soft_wrap=True, width=WIDTH)
    table = Table()
    for heading in ("suite", "tests", "failed plain", "failed injected"):
        table.add_column(heading, justify="left" if heading == "suite" else "right")
    for heading in ("only plain", "only injected", "flaky", "s plain", "s injected"):
        table.add_column(heading, justify="right")
    for name, each in compared.items():
        table.add_row(name, *map(str, _numbers(each).values()))
    console.print(table)
    for name, each in compared.items():
        for difference in each.differences:
            verdict = "flaky" if difference.is_flaky else "different"
            console.print(f"{verdict}: {name}: {difference.test}", markup=False)
            console.print(f"    {difference}", markup=False)
            if difference.message:
                console.print(f"    {difference.message[:300]}", markup=False)


def _numbers(compared: Comparison) -> dict[str, int]:
    different = [each for each in compared.differences if not each.is_flaky]
    return {
        "tests": len(compared.tests),
        "failures_plain": compared.plain.count(Outcome.FAILED),
        "failures_injected": compared.injected.count(Outcome.FAILED),
        "only_plain": sum(each.fails_only_plain for each in different),
        "only_injected": sum(each.fails_only_injected for each in different),
        "flaky": len(compared.differences) - len(different),
        "seconds_plain": round(compared.plain.seconds),
        "seconds_injected": round(compared.injected.seconds),
    }


def _as_json(compared: Comparison) -> dict[str, Any]:
    return _numbers(compared) | {
        "failures": [
            test
            for test, result in compared.plain.results.items()
            if result.outcome is Outcome.FAILED
        ],
        "differences": [
            {
                "test": each.test,
                "flaky": each.is_flaky,
                "plain": [result.outcome.value for result in each.plain],
                "injected": [result.outcome.value for result in each.injected],
                "message": each.message,
            }
            for each in compared.differences
        ],
    }


def _terminated(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
