"""The class of a task's exception, without its text and without loading it."""

from __future__ import annotations

import pickle

import cloudpickle
import pytest
from af_otel_instrumentation.dask._errors import error_type
from distributed.core import error_message
from distributed.protocol import serialize
from distributed.scheduler import KilledWorker
from distributed.worker import Reschedule


class Own(Exception):
    """Pickled by reference."""


class Talkative(Exception):
    """Says something in its repr that is not its name."""

    def __repr__(self):
        return "SECRET('42')"


def raised(error):
    """What a worker sends when a task raised this."""

    def task():
        raise error

    try:
        task()
    except BaseException as caught:
        return error_message(caught)["exception"]


def notebook_class():
    namespace = {"__name__": "__main__"}
    exec("class FitFailed(RuntimeError):\n    pass", namespace)
    return namespace["FitFailed"]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("secret"), "ValueError"),
        (KeyError("secret"), "KeyError"),
        (FileNotFoundError(2, "secret", "/secret"), "FileNotFoundError"),
        (UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"), "UnicodeDecodeError"),
        (Own("secret"), "Own"),
        (Talkative("secret"), "Talkative"),
        (Reschedule(), "Reschedule"),
        (notebook_class()("secret"), "FitFailed"),
    ],
)
def test_the_name_is_the_class(error, name):
    """As it is in a worker of this process, and as it comes from another."""
    sent = raised(error)
    assert error_type(sent) == name
    header, frames = serialize(sent)

    class Serialized:
        def __init__(self):
            self.header, self.frames = header, frames

    assert error_type(Serialized()) == name


def test_the_schedulers_own_errors_are_plain_pickles():
    """KilledWorker is made by the scheduler itself."""
    killed = pickle.dumps(KilledWorker("secret", None, 3))
    assert error_type(killed) == "KilledWorker"
    assert error_type(pickle.dumps(MemoryError("secret"))) == "MemoryError"


@pytest.mark.parametrize("junk", [b"", b"secret", None, object(), b"\x80\x05\x8c\x06secret."])
def test_what_is_not_understood_is_an_exception(junk):
    """And never a part of what was given."""
    assert error_type(junk) == "Exception"


def test_a_cause_does_not_hide_the_error():
    """Exceptions that were raised from others are pickled with them."""
    error = ValueError("secret")
    error.__cause__ = Own("deeper secret")
    assert error_type(raised(error)) == "ValueError"


def test_cloudpickles_class_by_value_is_what_it_was_made_for():
    """The layout that is read here is the one of the cloudpickle that is installed."""
    assert b"_make_skeleton_class" in cloudpickle.dumps(notebook_class()("x"))
