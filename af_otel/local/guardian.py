"""The process that clears a facility away when its supervisor was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from af_otel.local import processes

if TYPE_CHECKING:
    from af_otel.local.state import State

PATIENCE = 6.0  # The kernel sent SIGTERM to the services; the hub is ending its users' servers.


class Guardian:
    """A fork that waits for the supervisor's end.

    Services get a signal from the kernel when the supervisor dies, but not what they have started:
    users' servers, kernels, the proxy. The fork also holds the lock on the state directory, so
    that nobody starts a facility in it before the last process of this one is gone.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._start()

    def _start(self) -> None:
        read_end, self._alive = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                # Of the supervisor's event loop, which must not take our signals for its own.
                signal.set_wakeup_fd(-1)
                os.close(self._alive)
                self._wait(self._state, read_end)
            finally:
                os._exit(0)
        os.close(read_end)

    def restart_if_ended(self) -> None:
        """Start another guardian if somebody has killed this one."""
        if os.waitpid(self._pid, os.WNOHANG)[0]:
            os.close(self._alive)
            self._start()

    def dismiss(self) -> None:
        """End the guardian: the supervisor has cleared everything away itself."""
        with contextlib.suppress(BrokenPipeError, ChildProcessError):  # it was killed
            os.write(self._alive, b".")
            os.waitpid(self._pid, 0)
        os.close(self._alive)

    @staticmethod
    def _wait(state: State, read_end: int) -> None:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        # Its output would keep a pipe of the supervisor's open.
        log = os.open(state.supervisor_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        if os.read(read_end, 1):
            return
        mark = str(state.directory)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and processes.find(mark):
            time.sleep(0.2)
        left = processes.sweep(mark, patience=2)
        state.facility_file.unlink(missing_ok=True)
        state.remove_sockets()
        os.write(2, f"the supervisor was killed; {left} processes ended here\n".encode())
