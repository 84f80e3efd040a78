"""Bring a facility up, here or detached; take it down; find it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from af_otel.local import processes
from af_otel.local.facility import START_AGAIN, Facility
from af_otel.local.logs import tail

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel.local.options import Options
    from af_otel.local.state import State

POLL = 0.1
STOP_WITHIN = 40.0  # All services' patience one after the other, and some.


def current(state: State) -> Facility | None:
    """The facility that runs in this state directory, None when none does."""
    holder = state.holder()
    # Where the supervisor was killed, its guardian holds the lock until everything is gone.
    if holder is None or not processes.alive(holder):
        return None
    facility = _of(state, holder)
    if facility is not None:
        _bury(facility)
    return facility


def _bury(facility: Facility) -> None:
    """Mark services as dead whose processes are gone: a full disk keeps the file as it was."""
    for name, service in facility.services.items():
        if service.state in {"stopping", "stopped"} or not service.pid:
            continue
        if not processes.runs(service.pid, facility.state):
            service.pid, service.state = None, "dead"
            service.ended = service.ended or "its process is gone"
            facility.ready = False
            facility.errors.append(
                {
                    "service": name,
                    "what": f"`{name}` has ended, and its supervisor could not write it down yet",
                    "where": f"`{facility.state}`",
                    "hint": f"is its disk full? `{service.log}` may say why the service ended",
                }
            )


def require(state: State) -> Facility:
    """The facility that runs in this state directory."""
    facility = current(state)
    if facility is None:
        raise AfOtelError(
            "No facility runs here",
            where=f"`{state.directory}`",
            hint="start one with `af-otel up`, or name its directory with `--state DIR`",
        )
    return facility


def supervise(
    state: State, options: Options, changed: Callable[[Facility], None]
) -> Facility | None:
    """Run a facility in this process until it is told to stop; None if another runs there.

    One whose start fails is written to its file like one that runs: others may wait for it.
    """
    from af_otel import payload
    from af_otel.local import services
    from af_otel.local.ports import Ports
    from af_otel.local.supervisor import Supervisor

    lock = state.lock()
    if lock is None:
        return None
    chosen = Ports(dict(options.ports))
    try:
        for log in state.logs.iterdir():
            # One start's logs, and those of the one before it.
            if log.suffix == ".log":
                log.replace(log.with_suffix(".log.old"))
        # What the last supervisor could not end, as it was killed with its guardian.
        processes.sweep(str(state.directory), patience=3)
        plan = services.plan(state, chosen, payload.cached(), options.traces)
        return Supervisor(plan, changed).run()
    except AfOtelError as error:
        failed = Facility(state.name, str(state.directory), os.getpid(), time.time(), "failed")
        failed.errors.append({"what": error.what, "where": error.where, "hint": error.hint})
        failed.write(state.facility_file)
        return failed
    finally:
        state.remove_sockets()
        chosen.release()
        lock.release()


def detach(state: State, options: Options, changed: Callable[[Facility], None]) -> Facility | None:
    """Run a facility in a process of its own; return when it is ready, or has failed to be."""
    with state.supervisor_log.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "af_otel.local", str(state.directory), options.as_json()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while True:
            ended = child.poll() is not None
            facility = _of(state, child.pid)
            if facility is not None:
                changed(facility)
                if facility.phase == "ready" or ended:
                    return facility
            elif ended and child.returncode == 0:
                return None
            elif ended:
                lines = "\n".join(f"    | {line}" for line in tail(state.supervisor_log, 12))
                raise AfOtelError(
                    f"The supervisor ended: {processes.ended(child.returncode)}",
                    where=f"`{state.supervisor_log}`\n{lines}",
                    hint="run `af-otel up` without `--detach` to see more",
                )
            time.sleep(POLL)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise


def running(state: State) -> Facility | None:
    """The facility that runs or starts here; one that is ending is waited for, until it is gone."""
    until = time.monotonic() + STOP_WITHIN
    while state.holder() is not None:
        facility = current(state)
        if facility is not None and facility.phase in {"starting", "ready"}:
            return facility
        if time.monotonic() > until:
            raise AfOtelError(
                "An earlier facility does not come to its end",
                where=f"`{state.directory}`, held by process {state.holder()}",
                hint="run `af-otel down`, or name another directory with `--state DIR`",
            )
        time.sleep(POLL)
    return None


def wait_until_ready(state: State, changed: Callable[[Facility], None]) -> Facility:
    """Wait for the facility that somebody else is starting."""
    while True:
        facility = require(state)
        changed(facility)
        if facility.phase == "ready":
            return facility
        time.sleep(POLL)


def start_again(state: State, dead: Facility) -> Facility:
    """Start again what has died in a facility, and wait for it."""
    before = {name: dead.services[name].started for name in dead.dead}
    with contextlib.suppress(ProcessLookupError):
        os.kill(dead.pid, START_AGAIN)
    while True:
        facility = require(state)
        services = [facility.services[name] for name in before]
        if all(
            service.started != before[name] and service.state in {"ready", "dead"}
            for name, service in zip(before, services, strict=True)
        ):
            return facility
        time.sleep(POLL)


def stop(state: State, changed: Callable[[Facility], None]) -> bool:
    """Stop the facility with all it started; False when there was nothing to stop."""
    holder = state.holder()
    if holder is not None:
        _end(state, holder, changed)
    return bool(processes.sweep(str(state.directory), patience=3)) or holder is not None


def _end(state: State, holder: int, changed: Callable[[Facility], None]) -> None:
    until = time.monotonic() + STOP_WITHIN
    last = None
    with contextlib.suppress(ProcessLookupError):
        os.kill(holder, signal.SIGTERM)
    while state.holder() is not None:
        facility = _of(state, holder)
        if facility is not None and facility.phase == "stopping":
            last = facility
            changed(facility)
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
            until += STOP_WITHIN
        time.sleep(POLL)
    if last is not None and not state.facility_file.exists():
        # Its last word, by which the last of its services has stopped, was there too short to see.
        for status in last.services.values():
            status.state = "dead" if status.state == "dead" else "stopped"
        last.phase = "stopped"
        changed(last)


def _of(state: State, pid: int) -> Facility | None:
    """What this supervisor has written; a file of an earlier one does not count."""
    facility = Facility.read(state.facility_file)
    return facility if facility is not None and facility.pid == pid else None
