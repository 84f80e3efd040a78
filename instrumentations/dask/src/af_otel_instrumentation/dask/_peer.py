"""Tell the processes that this one talks to that it is traced.

Both ends of a connection begin with a message about themselves, in which `distributed` ignores what
it does not know. A carrier that a peer does not take out of Dask's messages would be seen by users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._hooks import complain
from af_otel_semconv.carriers import DASK_ANNOTATION
from distributed.comm.core import Comm

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel_instrumentation.dask._hooks import Hooks


def hook(hooks: Hooks) -> None:
    """Mark this process in the handshake of each connection that is made from now on."""

    def make(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def handshake_info(self: Any) -> Any:
            info = wrapped(self)
            if hooks.active:
                try:
                    return {**info, DASK_ANNOTATION: True}
                except Exception:
                    complain("Comm.handshake_info")
            return info

        return handshake_info

    hooks.wrap(Comm, "handshake_info", make)


def is_traced(comm: Any) -> bool:
    """Return whether the process at the other end of a connection takes carriers out again."""
    return bool(comm is not None and comm.remote_info.get(DASK_ANNOTATION))
