"""How `tools/upstream_suites.py` reads the results of a suite and compares two runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from upstream.results import Comparison, Outcome, Result, Run, read

PASSED, FAILED, SKIPPED, MISSING = Outcome
SUITE = """
import pytest

def test_passes():
    pass

@pytest.mark.parametrize("value", ["a/b", "x::y", "./z", "ü"])
def test_parameter(value):
    assert value != "x::y"

class TestGroup:
    class TestInner:
        def test_fails(self):
            assert False, "two\\nlines"

    @pytest.mark.xfail
    def test_known(self):
        assert False

    @pytest.mark.skip(reason="never")
    def test_skipped(self):
        pass

@pytest.fixture
def broken():
    raise ValueError("broken before")

@pytest.fixture
def broken_after():
    yield
    raise ValueError("broken after")

def test_error(broken):
    pass

def test_passes_and_fails(broken_after):
    pass

def test_fails_twice(broken_after):
    assert False, "first"
"""


def run_pytest(directory, *options):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options]
    return subprocess.run(
        [*command, "--rootdir", directory, directory],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_results_are_read_by_node_id(tmp_path):
    """Each test that pytest lists has its outcome and its message."""
    inner = tmp_path / "package" / "tests"
    inner.mkdir(parents=True)
    (inner / "test_suite.py").write_text(SUITE)
    listed = run_pytest(tmp_path, "--collect-only").splitlines()
    junit = tmp_path / "junit.xml"
    run_pytest(tmp_path, "-o", "junit_family=xunit1", f"--junitxml={junit}")
    results = read(junit)
    assert set(results) == {line for line in listed if "::" in line}
    file = "package/tests/test_suite.py"
    assert {
        test.removeprefix(f"{file}::"): result.outcome
        for test, result in results.items()
        if "test_parameter" not in test
    } == {
        "test_passes": PASSED,
        "TestGroup::TestInner::test_fails": FAILED,
        "TestGroup::test_known": SKIPPED,
        "TestGroup::test_skipped": SKIPPED,
        "test_error": FAILED,
        "test_passes_and_fails": FAILED,
        "test_fails_twice": FAILED,
    }
    failed = [test for test in results if results[test].outcome is FAILED]
    assert [test for test in failed if "parameter" in test] == [f"{file}::test_parameter[x::y]"]
    assert "broken before" in results[f"{file}::test_error"].message
    assert "broken after" in results[f"{file}::test_passes_and_fails"].message
    assert "first" in results[f"{file}::test_fails_twice"].message


def test_a_file_that_cannot_be_imported_is_a_failure(tmp_path):
    """It would hide all its tests otherwise."""
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name")
    junit = tmp_path / "junit.xml"
    run_pytest(tmp_path, "-o", "junit_family=xunit1", f"--junitxml={junit}")
    assert {test: each.outcome for test, each in read(junit).items()} == {"test_broken.py": FAILED}


def a_run(**outcomes):
    return Run({test: Result(outcome, f"{test} fails") for test, outcome in outcomes.items()})


def test_equal_runs_have_no_differences():
    """Failures that are there without injection are none of ours."""
    runs = a_run(a=PASSED, b=FAILED, c=SKIPPED)
    compared = Comparison(runs, runs)
    assert compared.tests == ["a", "b", "c"]
    assert compared.differences == []


@pytest.mark.parametrize(
    ("plain", "injected", "is_flaky"),
    [
        # Without a rerun there is only one result to go by.
        ([PASSED], [FAILED], False),
        ([FAILED], [PASSED], False),
        ([PASSED], [SKIPPED], False),
        ([PASSED], [MISSING], False),
        ([PASSED] * 4, [FAILED] * 4, False),
        ([PASSED] * 4, [FAILED, PASSED, PASSED, FAILED], False),
        ([FAILED] * 4, [PASSED] * 4, False),
        ([FAILED] * 4, [SKIPPED] * 4, False),
        ([PASSED] * 4, [FAILED, PASSED, PASSED, PASSED], True),
        ([FAILED, PASSED, PASSED, PASSED], [PASSED] * 4, True),
        ([PASSED, FAILED, PASSED, PASSED], [FAILED] * 4, True),
    ],
)
def test_a_difference_is_told_from_a_flaky_test(plain, injected, is_flaky):
    """A test differs if it fails on one side alone, and there more than once."""
    first, *others = [
        tuple(a_run(**({} if each is MISSING else {"a": each})) for each in pair)
        for pair in zip(plain, injected, strict=True)
    ]
    compared = Comparison(*first, others)
    [difference] = compared.differences
    assert difference.test == "a"
    assert difference.is_flaky == is_flaky
    assert difference.fails_only_injected == (FAILED in injected and FAILED not in plain)
    assert difference.fails_only_plain == (FAILED in plain and FAILED not in injected)
    assert compared.repeatable == ([] if MISSING in injected else ["a"])


def test_reruns_of_other_tests_say_nothing():
    """A test that was not repeated is judged by its first runs."""
    compared = Comparison(
        a_run(a=PASSED, b=PASSED),
        a_run(a=FAILED),
        [(a_run(a=PASSED), a_run(a=PASSED)) for _ in range(3)],
    )
    assert [(each.test, each.is_flaky) for each in compared.differences] == [
        ("a", True),
        ("b", False),
    ]
    assert str(compared.differences[0]) == (
        "plain: passed, passed, passed, passed; injected: failed, passed, passed, passed"
    )
