"""What two runs of the same tests have in common, and where they differ."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TWICE = 2


class Outcome(str, enum.Enum):
    """What became of a test; an error of a fixture is a failure."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSING = "did not run"


@dataclass(frozen=True)
class Result:
    """The outcome of a test, and the message of its failure."""

    outcome: Outcome
    message: str = ""


MISSING = Result(Outcome.MISSING)


@dataclass(frozen=True)
class Run:
    """One run of a suite: the result of each test by its node ID, and how long it took."""

    results: Mapping[str, Result]
    seconds: float = 0.0

    def count(self, outcome: Outcome) -> int:
        """Return how many tests had this outcome."""
        return sum(result.outcome is outcome for result in self.results.values())


def read(junit: Path) -> dict[str, Result]:
    """Return the results in a JUnit XML file of pytest's (family `xunit1`), by node ID."""
    found: dict[str, Result] = {}
    for case in ET.parse(junit).iter("testcase"):
        node, result = _node_id(case), _result(case)
        # A test has two entries if one of its fixtures fails at its end; the first failure counts.
        if found.get(node, MISSING).outcome is not Outcome.FAILED:
            found[node] = result
    return found


def _node_id(case: ET.Element) -> str:
    """Return the ID that selects a test: the file, the classes in it, the name."""
    file, classname, name = (case.get(key) or "" for key in ("file", "classname", "name"))
    if not classname:  # a file that could not be imported
        return file
    classes = classname.removeprefix(file.removesuffix(".py").replace("/", ".")).strip(".")
    return "::".join([file, *filter(None, classes.split(".")), name])


def _result(case: ET.Element) -> Result:
    for tag, outcome in (
        ("error", Outcome.FAILED),
        ("failure", Outcome.FAILED),
        ("skipped", Outcome.SKIPPED),
    ):
        element = case.find(tag)
        if element is not None:
            return Result(outcome, element.get("message") or element.text or "")
    return Result(Outcome.PASSED)


@dataclass(frozen=True)
class Difference:
    """A test that had another outcome when injected, with its results in all runs."""

    test: str
    plain: Sequence[Result]
    injected: Sequence[Result]

    @property
    def is_flaky(self) -> bool:
        """Whether something else than injection may be the reason.

        It is not if an outcome other than success occurs on one side alone, and at least twice if
        the test was repeated.
        """
        needed = min(len(self.plain), TWICE)
        plain, injected = (
            Counter(result.outcome for result in results if result.outcome is not Outcome.PASSED)
            for results in (self.plain, self.injected)
        )
        return not any(
            times >= needed and outcome not in other
            for one, other in ((plain, injected), (injected, plain))
            for outcome, times in one.items()
        )

    @property
    def fails_only_plain(self) -> bool:
        """Whether every failure was in a plain run."""
        return _fails(self.plain) and not _fails(self.injected)

    @property
    def fails_only_injected(self) -> bool:
        """Whether every failure was in an injected run."""
        return _fails(self.injected) and not _fails(self.plain)

    @property
    def message(self) -> str:
        """The first message of a failure, in one line."""
        for result in (*self.injected, *self.plain):
            if result.outcome is Outcome.FAILED and result.message:
                return " ".join(result.message.split())
        return ""

    def __str__(self) -> str:
        return "; ".join(
            f"{name}: {', '.join(result.outcome.value for result in results)}"
            for name, results in (("plain", self.plain), ("injected", self.injected))
        )


def _fails(results: Sequence[Result]) -> bool:
    return any(result.outcome is Outcome.FAILED for result in results)


@dataclass(frozen=True)
class Comparison:
    """A suite's two runs, and further ones of the tests that differ.

    Parameters
    ----------
    plain, injected
        The runs of the whole suite.
    reruns
        Further runs, plain and injected.
    """

    plain: Run
    injected: Run
    reruns: list[tuple[Run, Run]] = field(default_factory=list)

    @property
    def tests(self) -> list[str]:
        """Every test that either run has."""
        return sorted({*self.plain.results, *self.injected.results})

    @property
    def differences(self) -> list[Difference]:
        """The tests that had another outcome when injected, with all their results."""
        runs = [(self.plain, self.injected), *self.reruns]
        found = []
        for test in self.tests:
            pairs = [
                (plain.results.get(test, MISSING), injected.results.get(test, MISSING))
                for plain, injected in runs
                if test in plain.results or test in injected.results
            ]
            if pairs[0][0].outcome is not pairs[0][1].outcome:
                found.append(Difference(test, *zip(*pairs, strict=True)))
        return found

    @property
    def repeatable(self) -> list[str]:
        """The tests that differ and can be repeated: pytest knows them on both sides."""
        known = self.plain.results.keys() & self.injected.results
        return [each.test for each in self.differences if each.test in known]
