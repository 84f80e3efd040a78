"""The border to the host: what fails in telemetry is said once, and the host goes on."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar

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
                logging.getLogger(function.__module__).warning(
                    "Telemetry of `%s` failed (%s: %s); requests are served all the same",
                    function.__qualname__,
                    type(error).__name__,
                    error,
                )
            return None

    return call
