"""Start a facility's services, watch them, and stop them: one process, one thread."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from af_otel.local import disk, processes
from af_otel.local.facility import START_AGAIN, Condition, Facility, ServiceStatus
from af_otel.local.guardian import Guardian
from af_otel.local.logs import tail

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from af_otel.local.plan import Plan, Service

READY_WITHIN = 90.0  # A cold disk and one busy core; on an idle machine it is a few seconds.
PROBE_EVERY = 0.1
HEALTH_EVERY = 2.0  # seconds; with the timeouts of two probes, a fault is seen within five
HEALTH_TIMEOUT = 1.0  # seconds
ASKED_AGAIN_AFTER = 0.5  # seconds; one late answer of a busy server is no fault
DISK_EVERY = 30.0  # seconds; at 20,000 spans/s, 200 MB more
TICK = 0.1  # While it starts or stops, somebody may be watching the seconds.
LAST_LINES, LINE_LENGTH = 12, 400  # Enough to see what it was; the log has the rest.
# What a log says when it is not the service's own fault, and what helps.
HINTS = (
    ("already in use", "another program took the port meanwhile: run `af-otel up` again"),
    ("No space left on device", "free some space on the disk and run `af-otel up` again"),
    ("No module named", "run `pip install 'af-otel[local]'` in this environment"),
    ("EACCES", "see that this user may read and write the file"),
    ("env: 'node'", "install Node 20 or later, or run `make up`, which brings it"),
)


class Supervisor:
    """A facility's life, from its first process to its last.

    Parameters
    ----------
    plan
        What to run.
    changed
        Called with the facility, in the supervisor's one thread, whenever something in it changed.
    """

    def __init__(self, plan: Plan, changed: Callable[[Facility], None]) -> None:
        self.plan = plan
        self.state = plan.state
        self.facility = Facility(
            name=plan.state.name,
            state=str(plan.state.directory),
            pid=os.getpid(),
            started=time.time(),
            services={
                service.name: ServiceStatus(
                    url=service.url,
                    port=service.port,
                    log=str(plan.state.logs / f"{service.name}.log"),
                    needs=list(service.needs),
                )
                for service in plan.services
            },
            hub=plan.hub,
            login=plan.login,
            keys=str(plan.keys.certificates.directory),
            urls=plan.urls,
            trace_store=plan.trace_store,
            spans_file=str(plan.state.spans_file),
            payload=str(plan.injected),
            notes=plan.notes,
        )
        self._moved = asyncio.Event()
        self._stopping = False
        self._unwritten = False
        self._emptied: set[str] = set()
        self._services = {service.name: service for service in plan.services}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._changed = changed

    def run(self) -> Facility:
        """Run until told to stop, or until the start has failed; nothing is left afterwards."""
        self._guardian = Guardian(self.state)
        try:
            asyncio.run(self._live())
        finally:
            processes.sweep(str(self.state.directory), patience=3)
            self._guardian.dismiss()
        return self.facility

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        stops = 0

        def stop() -> None:
            nonlocal stops
            stops += 1
            self._stop.set()
            if stops > 1:  # A second Ctrl-C means now.
                processes.send(signal.SIGKILL, processes.find(str(self.state.directory)))

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGCHLD, self._child_ended)
        loop.add_signal_handler(START_AGAIN, lambda: starts.extend(self._again()))
        starts: list[asyncio.Task[bool]] = []
        began = time.monotonic()
        self._publish()
        starts += [asyncio.create_task(self._bring_up(service)) for service in self.plan.services]
        watches = [
            asyncio.create_task(watch())
            for watch in (self._tick, self._watch_health, self._watch_disk)
        ]
        try:
            if await self._all_ready(starts):
                self.facility.phase = "ready"
                self.facility.seconds_to_ready = time.monotonic() - began
                self._publish()
                await self._stop.wait()
            elif not self._stop.is_set():
                self.facility.phase = "failed"
        finally:
            for start in starts:
                start.cancel()
            await self._stop_all()
            for watch in watches:
                watch.cancel()

    async def _tick(self) -> None:
        while True:
            if self.facility.phase != "ready":
                self._changed(self.facility)
            await asyncio.sleep(TICK)

    async def _watch_health(self) -> None:
        """Ask each service again and again whether it is ready; write what a full disk refused."""
        while True:
            await asyncio.gather(*(self._check(service) for service in self.plan.services))
            if self._unwritten:
                self._publish()
            await asyncio.sleep(HEALTH_EVERY)

    async def _check(self, service: Service) -> None:
        status = self.facility.services[service.name]
        before = status.state
        if before not in {"ready", "unresponsive"}:
            return
        answered = await service.ready(HEALTH_TIMEOUT)
        if not answered and before == "ready":
            await asyncio.sleep(ASKED_AGAIN_AFTER)
            answered = await service.ready(HEALTH_TIMEOUT)
        after: Condition = "ready" if answered else "unresponsive"
        # It may have ended, or been stopped, while it was asked.
        if status.state == before != after:
            status.state = after
            self._publish()

    async def _watch_disk(self) -> None:
        """Empty the data of a service that takes more room than it may, and start it again."""
        while True:
            await asyncio.sleep(DISK_EVERY)
            for service in self.plan.services:
                status = self.facility.services[service.name]
                if service.data is None or status.state != "ready":
                    continue
                if await asyncio.to_thread(disk.used, service.data) > service.disk:
                    await self._empty(service, service.data)

    async def _empty(self, service: Service, data: Path) -> None:
        process = self._running.get(service.name)
        if process is None:
            return
        status = self.facility.services[service.name]
        status.state = "waiting"
        self._emptied.add(service.name)  # its end is no failure
        self._publish()
        process.kill()  # what it would still write is deleted in any case
        await self._until(lambda: service.name not in self._running)
        await asyncio.to_thread(disk.empty, data)
        self.facility.notes.append(
            f"{time.strftime('%Y-%m-%d %H:%M')}: the data of `{service.name}` took more than "
            f"{service.disk / 1e9:g} GB and was deleted; `--trace-disk` allows it more"
        )
        self._emptied.discard(service.name)
        if not self._stopping:
            await self._bring_up(service)

    async def _all_ready(self, starts: list[asyncio.Task[bool]]) -> bool:
        """Whether every service came up, as soon as that is known."""
        stopped = asyncio.create_task(self._stop.wait())
        pending: set[asyncio.Task[bool]] = {*starts}
        try:
            while pending:
                done, rest = await asyncio.wait(
                    {*pending, stopped}, return_when=asyncio.FIRST_COMPLETED
                )
                pending = rest - {stopped}
                if stopped in done or not all(task.result() for task in done):
                    return False
        finally:
            stopped.cancel()
        return True

    async def _bring_up(self, service: Service) -> bool:
        """Start a service when all that it needs are ready; False if it ended or never was."""
        status = self.facility.services[service.name]
        await self._until(
            lambda: all(self.facility.services[need].state == "ready" for need in service.needs)
        )
        log = self.state.logs / f"{service.name}.log"
        status.started, status.seconds_to_ready, status.ended = time.time(), None, ""
        try:
            process = processes.start(service.command, service.env, self.state.directory, log)
        except OSError as error:
            self._failed(service, f"cannot be started: {error.strerror or error}")
            return False
        self._running[service.name] = process
        status.state, status.pid = "starting", process.pid
        self._publish()
        began = time.monotonic()
        while not await service.ready():
            if status.state != "starting":
                return False
            if time.monotonic() - began > READY_WITHIN:
                self._failed(service, f"was not ready within {READY_WITHIN:.0f} s")
                return False
            await asyncio.sleep(PROBE_EVERY)
        # Somebody else may answer on its port, while it has ended.
        self._look_for_ended()
        if status.state != "starting":
            return False
        status.state, status.seconds_to_ready = "ready", time.monotonic() - began
        self._publish()
        return True

    def _child_ended(self) -> None:
        self._look_for_ended()
        if not self._stopping:
            self._guardian.restart_if_ended()

    def _look_for_ended(self) -> None:
        """Note which services have ended since last time."""
        for name, process in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[name]
            status = self.facility.services[name]
            status.ended, status.pid = processes.ended(code), None
            if name in self._emptied:
                self._publish()
            elif self._stopping or status.state == "dead":
                status.state = "dead" if status.state == "dead" else "stopped"
                self._publish()
            else:
                when = "while it started" if status.state == "starting" else "by itself"
                self._failed(self._services[name], f"ended {when}: {status.ended}")

    def _failed(self, service: Service, what: str) -> None:
        status = self.facility.services[service.name]
        status.state = "dead"
        lines = tail(self.state.logs / f"{service.name}.log", LAST_LINES)
        text = "\n".join(lines)
        hint = next((hint for sign, hint in HINTS if sign in text), "")
        if self.facility.seconds_to_ready is not None:
            again = f"af-otel up{self.state.option}"
            hint = hint or f"`{again}` starts it again; the other services go on"
        where = [f"`{status.log}`", *(f"    | {line[:LINE_LENGTH]}" for line in lines)]
        self.facility.errors.append(
            {
                "service": service.name,
                "what": f"`{service.name}` {what}",
                "where": "\n".join(where),
                "hint": hint or f"the whole log: `af-otel logs {service.name}{self.state.option}`",
            }
        )
        self._publish()

    def _again(self) -> list[asyncio.Task[bool]]:
        """Start what is dead once more."""
        if self.facility.phase != "ready":
            return []
        dead = self.facility.dead
        self.facility.errors = []
        for name in dead:
            self.facility.services[name].state = "waiting"
        self._publish()
        return [asyncio.create_task(self._bring_up(self._services[name])) for name in dead]

    async def _stop_all(self) -> None:
        self._stopping = True
        if self.facility.phase != "failed":
            self.facility.phase = "stopping"
        for name in self._services:
            status = self.facility.services[name]
            if status.state == "waiting":
                status.state = "stopped"
        await asyncio.gather(*(self._stop_one(service) for service in self.plan.services))
        if self.facility.phase == "failed":
            self._publish()  # For whoever waits for it; a stopped facility leaves no file.
        else:
            self.facility.phase = "stopped"
            self._publish()
            self.state.facility_file.unlink(missing_ok=True)

    async def _stop_one(self, service: Service) -> None:
        dependents = [
            other.name
            for other in self.plan.services
            if service.name in (*other.needs, *other.feeds)
        ]
        await self._until(lambda: not self._running.keys() & dependents)
        process = self._running.get(service.name)
        if process is None:
            return
        status = self.facility.services[service.name]
        if status.state != "dead":  # Named as the one that was never ready: it stays so.
            status.state = "stopping"
        self._publish()
        process.terminate()
        try:
            await asyncio.wait_for(
                self._until(lambda: service.name not in self._running), service.patience
            )
        except asyncio.TimeoutError:
            process.kill()
            await self._until(lambda: service.name not in self._running)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._moved.wait()

    def _publish(self) -> None:
        """Tell everybody: the file's readers, the terminal, and our own waiting tasks."""
        services = self.facility.services.values()
        self.facility.ready = all(service.state == "ready" for service in services)
        try:
            self.facility.write(self.state.facility_file)
            self._unwritten = False
        except OSError:  # A full disk must not end what runs.
            self._unwritten = True
        self._changed(self.facility)
        self._moved.set()
        self._moved = asyncio.Event()
