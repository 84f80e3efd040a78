"""Carry out checks: several at a time, each by itself, and whatever happens our probes go."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from af_otel.checks import _registry
from af_otel.checks.finding import SEVERITIES, Finding, NotChecked, Severity, Unchecked
from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from af_otel.checks._registry import Check
    from af_otel.checks.context import Context

_AT_A_TIME = 8
Progress = Literal["waiting", "running", "done"]


@dataclass
class Done:
    """A check, and what came of it."""

    check: Check
    progress: Progress = "waiting"
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    seconds: float | None = None


@dataclass
class Report:
    """All checks of one run, so far or complete."""

    facility: str
    where: str  # was looked: the API's address, or the files
    done: list[Done]
    left_out: list[Check] = field(default_factory=list)  # of a cluster, where there is none
    seconds: float = 0.0

    @property
    def findings(self) -> list[Finding]:
        """All of them, the worst first."""
        found = [finding for each in self.done for finding in each.findings]
        return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))

    @property
    def unchecked(self) -> list[Unchecked]:
        """What could not be looked at."""
        return [item for each in self.done for item in each.unchecked]

    @property
    def blocks(self) -> bool:
        """Whether something stands in the way."""
        return any(finding.severity == "blocks" for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "ok": not self.blocks,
            "facility": self.facility,
            "where": self.where,
            "seconds": round(self.seconds, 3),
            "checked": [each.check.name for each in self.done if not each.unchecked],
            "findings": [finding.as_json() for finding in self.findings],
            "not_checked": [item.as_json() for item in self.unchecked],
            "left_out": [check.name for check in self.left_out],
        }


def chosen(only: Iterable[str] = (), skip: Iterable[str] = ()) -> list[Check]:
    """The checks that are wanted, by name; a part of a name will do.

    Raises
    ------
    AfOtelError
        No check is called so.
    """
    checks = _registry.every()
    wanted = [name.replace("_", "-") for name in only]
    unwanted = [name.replace("_", "-") for name in skip]
    for name in [*wanted, *unwanted]:
        if not any(name in check.name for check in checks):
            raise AfOtelError(f"No check is called `{name}`", hint="`--list` shows their names")
    return [
        check
        for check in checks
        if (not wanted or any(name in check.name for name in wanted))
        and not any(name in check.name for name in unwanted)
    ]


def run(
    context: Context,
    checks: Sequence[Check] | None = None,
    progress: Callable[[Report], None] = lambda _: None,
    *,
    where: str = "",
) -> Report:
    """Carry out checks; `progress` hears of every step, in the calling thread."""
    wanted = list(chosen() if checks is None else checks)
    live = context.cluster is not None
    host = where or (context.cluster.host if context.cluster else "")
    report = Report(
        context.facility.name,
        host,
        [Done(check) for check in wanted if live or check.source == "files"],
        [check for check in wanted if not live and check.source != "files"],
    )
    began = time.monotonic()
    executor = ThreadPoolExecutor(max_workers=_AT_A_TIME, thread_name_prefix="check")
    changed = threading.Event()
    try:
        futures: set[Future[None]] = {
            executor.submit(_carry_out, each, context, changed) for each in report.done
        }
        while futures:
            _, futures = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
            if changed.is_set():
                changed.clear()
                progress(report)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        if context.probes is not None:
            with ThreadPoolExecutor(max_workers=_AT_A_TIME) as removal:
                context.probes.close(removal)
    report.seconds = time.monotonic() - began
    progress(report)
    return report


def _carry_out(done: Done, context: Context, changed: threading.Event) -> None:
    name = done.check.name
    began = time.monotonic()
    done.progress = "running"
    changed.set()
    try:
        for item in done.check.function(context):
            if isinstance(item, Finding):
                done.findings.append(replace(item, check=name))
            else:
                done.unchecked.append(replace(item, check=name))
    except NotChecked as reason:
        done.unchecked.append(Unchecked(reason.why, reason.hint, name))
    except AfOtelError as error:
        # What is forbidden, the hint says once more, and how that ends.
        where = "" if isinstance(error, Forbidden) else error.where
        why = error.what + (f" ({where})" if where else "")
        done.unchecked.append(Unchecked(why, error.hint, name))
    except Exception as error:  # a cluster has what nobody thought of; the other checks go on
        why = f"it failed on what it found: {type(error).__name__}: {error}"
        done.unchecked.append(Unchecked(why, "please report this", name))
    done.seconds = time.monotonic() - began
    done.progress = "done"
    changed.set()
