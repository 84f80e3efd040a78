"""What fails in telemetry does not reach the user's call."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from af_otel.runtime._log import say

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def harmless(method: Callable[P, R]) -> Callable[P, R]:
    """Return None where `method` raises: without us, the user's call would do nothing."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
            say(f"`{method.__name__}` of OpenTelemetry is not recorded: {failed}")
            return None  # type: ignore[return-value]

    return call
