"""What an install or an uninstall is at, for whoever shows it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from typing_extensions import ParamSpec

from af_otel.kubernetes.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

# Seconds: an API server that restarts is back sooner, and one that is gone is gone.
PATIENCE = 90
_PAUSE = 2.0


@dataclass
class Step:
    """One thing that is done, and what it is waiting for."""

    name: str
    detail: str = ""
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    began: float = 0.0  # by time.monotonic
    seconds: float | None = None

    @property
    def elapsed(self) -> float | None:
        """Seconds it took, or takes so far; None if it was never begun."""
        if self.seconds is None and self.began:
            return time.monotonic() - self.began
        return self.seconds


@dataclass
class Progress:
    """The steps so far; `changed` is called whenever one of them did.

    Parameters
    ----------
    notice
        For what a person should see although it may pass, such as an API server that is away.
    """

    changed: Callable[[], None] = lambda: None
    notice: Callable[[str], None] = lambda _: None
    patience: float = PATIENCE
    steps: list[Step] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step for as long as the context lasts; it failed if that ends in an exception."""
        step = Step(name, state="running", began=time.monotonic())
        self.steps.append(step)
        self.changed()
        try:
            yield step
            step.state = "done"
        except BaseException:
            step.state = "failed"
            raise
        finally:
            step.seconds = time.monotonic() - step.began
            self.changed()

    def say(self, step: Step, detail: str) -> None:
        """What a step is at now."""
        if step.detail != detail:
            step.detail = detail
            self.changed()

    def patiently(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do `call`, again and again while the API server is away; it must be one to repeat.

        Raises
        ------
        Unreachable
            It stayed away.
        """
        try:
            return call(*args, **kwargs)
        except Unreachable as error:
            self.notice(f"{error.what}: trying again for {self.patience:.0f} s")
        began = time.monotonic()
        while True:
            time.sleep(_PAUSE)
            waited = time.monotonic() - began
            with contextlib.suppress(*([Unreachable] if waited < self.patience else [])):
                result = call(*args, **kwargs)
                self.notice(f"It answers again, after {waited:.0f} s")
                return result
