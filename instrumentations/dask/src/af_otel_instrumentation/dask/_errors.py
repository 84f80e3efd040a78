"""The class of a task's exception, read from its pickle without loading it.

Its `repr`, which comes along, holds the text, and unpickling would run the user's code.
"""

from __future__ import annotations

import pickletools
from itertools import islice
from typing import Any

_UNKNOWN = "Exception"
# What wraps an exception in its pickle, to keep its traceback or to make an instance.
_WRAPPERS = frozenset({"tblib.pickling_support", "copyreg"})
_BY_VALUE = (
    "_make_skeleton_class"  # cloudpickle: (metaclass, name, bases, ...), for classes of a notebook
)
_OPERATIONS = 60


def error_type(exception: Any) -> str:
    """Return the class name of what a worker or the scheduler gave as a task's exception."""
    try:
        return _class_name(_pickle(exception)) or _UNKNOWN
    except Exception:
        return _UNKNOWN


def _pickle(exception: Any) -> bytes:
    if isinstance(exception, bytes):
        return exception  # the scheduler's own: KilledWorker, NoWorkerError, ...
    if hasattr(exception, "frames"):
        return bytes(exception.frames[0])
    return bytes(exception.data)  # never serialised: the worker is in this process


def _class_name(pickle: bytes) -> str | None:
    strings: list[str] = []
    names_left = None  # of a class by value: its metaclass' name, then its own
    for operation, argument, _ in islice(pickletools.genops(pickle), _OPERATIONS):
        if operation.name == "STACK_GLOBAL" and names_left is None:
            module, name = strings[-2:]
            if name == _BY_VALUE:
                names_left = 1
            elif module not in _WRAPPERS:
                return name
        elif operation.name == "STACK_GLOBAL":
            names_left = 0
        elif isinstance(argument, str):
            if names_left == 0:
                return argument
            strings.append(argument)
    return None
