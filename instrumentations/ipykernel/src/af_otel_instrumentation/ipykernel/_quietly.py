"""The border to the host: what fails in telemetry is said once, and the host goes on."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from traitlets.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def quietly(function: Callable[P, R]) -> Callable[P, R | None]:
    """Return None where `function` raises; the first failure is logged."""
    said = False

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        nonlocal said
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not said:
                said = True
                # Without a handler, the root logger's last resort is stderr, which here is the
                # cell's output: then it goes to the kernel application's log.
                log = logging.getLogger(function.__module__)
                (log if log.hasHandlers() else get_logger()).warning(
                    "Telemetry of `%s` failed (%s: %s); the work goes on without it",
                    function.__qualname__,
                    type(error).__name__,
                    error,
                )
            return None

    return call
