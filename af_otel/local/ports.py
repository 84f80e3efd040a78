"""Ports of this machine: the usual one if it is free, else the next that is."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field

from af_otel.errors import AfOtelError

HOST = "127.0.0.1"
TRIES = 200


@dataclass
class Ports:
    """The ports of one facility, held until the process that chose them ends.

    A server binds its port seconds after it was chosen; meanwhile another facility that starts
    beside this one must not choose it, too. A name in the abstract socket namespace says so: it is
    exclusive, sees the same network namespace as the port, and the kernel drops it with its owner.
    """

    wanted: dict[str, int] = field(default_factory=dict)
    chosen: dict[str, int] = field(default_factory=dict)
    _held: list[socket.socket] = field(default_factory=list, repr=False)

    def choose(self, name: str, usual: int) -> int:
        """The port for `name`: the one asked for, or the first free one from `usual` upwards."""
        if name in self.wanted:
            port = self.wanted[name]
            if not self._take(port):
                raise AfOtelError(
                    f"Port {port} is taken",
                    where=f"`--port {name}={port}`",
                    hint="name another one, or leave the option out: a free one is chosen then",
                )
        else:
            # Another service's wish is not this one's luck.
            reserved = set(self.wanted.values())
            candidates = (p for p in range(usual, min(usual + TRIES, 65536)) if p not in reserved)
            port = next((p for p in candidates if self._take(p)), 0)
            if not port:
                raise AfOtelError(
                    f"No port is free between {usual} and {usual + TRIES}",
                    where=f"`{name}` on {HOST}",
                    hint=f"name one with `--port {name}=PORT`",
                )
        self.chosen[name] = port
        return port

    def _take(self, port: int) -> bool:
        if port in self.chosen.values() or not is_free(port):
            return False
        if not hasattr(socket, "AF_UNIX"):
            return True
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0af-otel/port/{port}")
        except OSError:
            holder.close()
            return False
        self._held.append(holder)
        return True

    def release(self) -> None:
        """Let others choose these ports again."""
        while self._held:
            with contextlib.suppress(OSError):
                self._held.pop().close()


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as listener:
        # As servers do: without it, connections of a server just stopped would block the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(1)
        except (OSError, OverflowError):
            return False
    return True
