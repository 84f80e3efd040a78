"""All that a verification makes is taken away again, whatever fails or is pressed meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from af_otel.errors import AfOtelError
from af_otel.verify.alone import alone
from af_otel.verify.interrupts import held_off
from af_otel.verify.undo import Undo


def failing(what):
    def undo():
        raise AfOtelError(what, where="there")

    return undo


def test_the_last_is_undone_first_and_nothing_is_left_out():
    """A step that fails is told at the end; the others were done."""
    undone, undo = [], Undo()
    undo.add("user", lambda: undone.append("user"))
    undo.add("server", failing("It does not stop"))
    undo.add("token", lambda: undone.append("token"))

    with pytest.raises(AfOtelError) as told:
        undo.all()

    assert undone == ["token", "user"]
    assert str(told.value).splitlines() == [
        "Not everything is removed: server may be left",
        "  where: It does not stop: there",
        "  hint:  the next `af-otel verify` removes it",
    ]
    assert undo.all() == []


def test_contexts_are_left_and_not_told():
    """A way in that was opened is closed, which is nobody's news."""
    left, undo = [], Undo()

    @contextlib.contextmanager
    def door():
        yield "open"
        left.append("door")

    assert undo.enter(door()) == "open"
    undo.add("user", lambda: None)
    assert undo.all() == ["user"]
    assert left == ["door"]


@pytest.mark.parametrize("pressed", [signal.SIGINT, signal.SIGTERM])
def test_a_clean_up_is_not_disturbed(pressed):
    """What is pressed during it has its effect afterwards, as it would have had."""
    # In the background of a shell, SIGINT is ignored from the start.
    both = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in both}
    done = []
    try:
        with pytest.raises(KeyboardInterrupt), held_off():
            os.kill(os.getpid(), pressed)
            os.kill(os.getpid(), pressed)
            done.append("cleaned up")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert done == ["cleaned up"]


HOLD = """
from af_otel.verify.alone import alone
with alone("facility", lambda: 1.0, print):
    print("in", flush=True)
    input()
"""


def test_one_is_alone_until_it_ends_however_that_is():
    """Another waits, and says so; a killed one has no claim."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "in\n"
    said = []

    def left():
        # It has waited; now the other one dies.
        process.kill()
        process.wait()
        return 1.0

    with alone("facility", left, said.append):
        assert set(said) == {"waits for another verification of this facility"}
    with alone("another facility", pytest.fail, pytest.fail):
        pass


def test_patience_for_another_one_ends():
    """Whoever has no time left says so, instead of a visit on top of the other's."""

    def left():
        raise AfOtelError("The time is over")

    with (
        alone("facility", left, print),
        pytest.raises(AfOtelError, match="The time is over"),
        alone("facility", left, print),
    ):
        pass
