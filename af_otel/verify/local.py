"""The local facility (`af-otel up`) as a place to verify: through the login form, as a person."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel_semconv import services

from af_otel.backends.connect import connect
from af_otel.backends.prometheus import Prometheus
from af_otel.local.view import NOTEBOOK, state_option
from af_otel.verify import hops
from af_otel.verify.collector import SpansFile
from af_otel.verify.place import TRACE_STORE, Cell
from af_otel.verify.user import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from af_otel.backends.spans import Span
    from af_otel.backends.store import TraceStore
    from af_otel.local.facility import Facility
    from af_otel.verify.kernel import Kernel
    from af_otel.verify.visitor import Visitor

NAME = "verify"
# Which log tells of a service.
_LOGS = {
    services.JUPYTER_SERVER: services.JUPYTERHUB,
    services.JUPYTER_KERNEL: services.JUPYTERHUB,
    services.DASK_WORKER: "dask-worker-1",
}


class LocalPlace:
    """A facility on this machine, and the notebook that every user of it finds at home."""

    enters = "log in"
    notebook = NOTEBOOK
    hops: Sequence[hops.Hop] = hops.with_dask(services.DASK_SCHEDULER)
    # Spans are sent every 1 s and metrics every 5 s, and a store finds a trace two seconds later:
    # what takes longer is not coming.
    patience = 20.0
    poll = 0.3

    def __init__(self, facility: Facility) -> None:
        self.name = facility.name
        self._facility = facility
        self._option = state_option(facility)
        self._spans = SpansFile(Path(facility.spans_file))
        access = facility.access()
        self.store: TraceStore | None = connect(
            facility.trace_store, facility.urls["traces"], access
        )
        self.unproven = ""
        self.prometheus = Prometheus(facility.urls["prometheus"], access)
        self._made = contextlib.ExitStack()
        self._user: User | None = None

    def enter(self, left: Callable[[], float], said: Callable[[str], None]) -> Visitor:  # noqa: ARG002
        """Log in as a user that no other verification here is now."""
        hub = self._facility.hub
        name = self._made.enter_context(_name(Path(self._facility.state)))
        user = self._made.enter_context(User(hub["url"], name, hub["password"]))
        user.log_in()
        self._user = user
        said(f"as `{name}`")
        return user

    def cells(self, visitor: Visitor, kernel: Kernel, left: Callable[[], float]) -> list[Cell]:  # noqa: ARG002
        """The code of the example notebook, as the user's server has it."""
        params = {"type": "notebook", "content": "1"}
        answer = visitor.server_api("GET", f"contents/{NOTEBOOK}", params=params)
        return [
            Cell(cell.get("id", str(number)), "".join(cell["source"]))
            for number, cell in enumerate(answer.json()["content"]["cells"])
            if cell["cell_type"] == "code"
        ]

    def ran(self, cell: Cell) -> None:
        """Logs of the facility stay."""

    def leave(self) -> str:
        """Stop the server and log out."""
        with self._made:
            if self._user is None:
                return "nobody was let in"
            self._user.stop_server()
            self._user.log_out()
            return "the server is stopped, the user logged out"

    def session(self, from_kernel: str) -> str:
        """What the kernel says; else the session of the server spawned last."""
        if from_kernel:
            return from_kernel
        spawns = [span for span in self._spans.read() if span.name == self.hops[0].span]
        return spawns[-1].session if spawns else ""

    def at_collector(self) -> list[Span]:
        """What its file of spans says."""
        return self._spans.read()

    def heard(self) -> bool:
        """Whether there is a span in that file."""
        return bool(self._spans.read())

    def collector(self) -> str:
        """Where it listens."""
        return self._facility.urls["collector_otlp"]

    def misplaced(self, span: Span) -> str:  # noqa: ARG002
        """All of it is one machine."""
        return ""

    def silent(self, about: str) -> bool:  # noqa: ARG002
        """None is: `af-otel up` starts all of them traced."""
        return False

    def advice(self, about: str) -> str:
        """Which log to read."""
        log = self._facility.trace_store if about == TRACE_STORE else _LOGS.get(about, about)
        return f"read `af-otel logs {log}{self._option}`"

    def look_at(self, session: str) -> str:
        """As anybody would."""
        return f"trace {session}{self._option}"


@contextlib.contextmanager
def _name(state: Path) -> Iterator[str]:
    """A user name that no other verification here has now; few names, used again and again."""
    directory = state / "verify"
    directory.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while True:
        name = NAME if number == 1 else f"{NAME}-{number}"
        descriptor = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            number += 1
            continue
        try:
            # The hub gives what is missing: the notebook of the version that runs now.
            shutil.rmtree(state / "home" / name / "examples", ignore_errors=True)
            yield name
        finally:
            os.close(descriptor)
        return
