"""Kernels: starts, restarts, deaths.

The loop that watches over a kernel, and restarts one that died, is begun by the kernel's start and
keeps what was current then. So nothing here is taken from the current context: each start is a
root.
"""

from __future__ import annotations

import functools
import signal
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.jupyter_server._quietly import quietly
from af_otel_instrumentation.jupyter_server.environment import inject_into_environment
from af_otel_semconv import attributes as attr
from af_otel_semconv import metrics as names
from af_otel_semconv import spans
from opentelemetry import trace
from opentelemetry.metrics import Observation
from opentelemetry.trace import Link, Span, SpanContext, StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from af_otel_instrumentation.jupyter_server._hooks import Hooks
    from af_otel_instrumentation.jupyter_server.cells import CellTracer
    from af_otel_instrumentation.jupyter_server.environment import Origin
    from jupyter_client.provisioning import KernelProvisionerBase
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider
    from opentelemetry.trace import TracerProvider

    from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

    Method = Callable[..., Awaitable[Any]]

KILLED = "killed"
CRASHED = "crashed"
EXITED = "exited"
_KILLING = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@dataclass(eq=False)
class _Kernel:
    """A kernel of this server, by its last start."""

    span: Span
    context: Context  # with the span current
    latest: SpanContext  # what a restart follows: its start, or its death
    begun: float
    name: str
    running: bool = False
    watched: bool = False


class KernelTracer:
    """Makes spans and metrics of the kernels that this server's managers run."""

    def __init__(
        self,
        origin: Origin,
        cells: CellTracer,
        tracer_provider: TracerProvider,
        meter_provider: MeterProvider,
    ) -> None:
        self._origin = origin
        self._cells = cells
        self._tracer = tracer_provider.get_tracer("af_otel_instrumentation.jupyter_server.kernels")
        meter = meter_provider.get_meter("af_otel_instrumentation.jupyter_server.kernels")
        # Observed, as what is added before the SDK is there is lost.
        self._running: dict[str, int] = {}
        meter.create_observable_up_down_counter(
            callbacks=[self._observe_running], **names.KERNEL_ACTIVE.plain
        )
        self._start_duration = meter.create_histogram(**names.KERNEL_START_DURATION.histogram)
        self._deaths = meter.create_counter(**names.KERNEL_DEATH.plain)
        self._kernels: weakref.WeakKeyDictionary[Any, _Kernel] = weakref.WeakKeyDictionary()
        self._names: set[str] = set()

    def install(self, hooks: Hooks) -> None:
        """Wrap the methods that start and end kernels."""
        from jupyter_client.manager import KernelManager
        from jupyter_client.provisioning import KernelProvisionerBase

        from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

        hooks.wrap(ServerKernelManager, "start_kernel", self._around_start)
        hooks.wrap(ServerKernelManager, "restart_kernel", self._around_restart)
        hooks.wrap(ServerKernelManager, "shutdown_kernel", self._around_shutdown)
        hooks.wrap(KernelManager, "_async_launch_kernel", self._around_launch)
        hooks.wrap(KernelProvisionerBase, "pre_launch", self._around_pre_launch)

    def _around_start(self, original: Method) -> Method:
        @functools.wraps(original)
        async def start_kernel(manager: ServerKernelManager, *args: Any, **kwargs: Any) -> Any:
            self._begin(manager)
            try:
                result = await original(manager, *args, **kwargs)
            except BaseException as error:
                self._end(manager, error)
                raise
            self._end(manager)
            return result

        return start_kernel

    def _around_restart(self, original: Method) -> Method:
        @functools.wraps(original)
        async def restart_kernel(manager: ServerKernelManager, *args: Any, **kwargs: Any) -> Any:
            await self._look(manager)
            waiting = self._cells.waiting(manager.kernel_id)
            self._begin(manager)
            try:
                result = await original(manager, *args, **kwargs)
            except BaseException as error:
                self._end(manager, error)
                raise
            self._end(manager)
            self._asked_to_end(manager, waiting)
            return result

        return restart_kernel

    def _around_shutdown(self, original: Method) -> Method:
        @functools.wraps(original)
        async def shutdown_kernel(manager: ServerKernelManager, *args: Any, **kwargs: Any) -> Any:
            await self._look(manager)
            result = await original(manager, *args, **kwargs)
            self._asked_to_end(manager, self._cells.waiting(manager.kernel_id))
            self._gone(manager)
            return result

        return shutdown_kernel

    def _around_launch(self, original: Method) -> Method:
        @functools.wraps(original)
        async def _async_launch_kernel(manager: Any, *args: Any, **kwargs: Any) -> Any:
            span = self._launch(manager)
            try:
                return await original(manager, *args, **kwargs)
            finally:
                if span is not None:
                    span.end()

        return _async_launch_kernel

    def _around_pre_launch(self, original: Method) -> Method:
        @functools.wraps(original)
        async def pre_launch(provisioner: KernelProvisionerBase, **kwargs: Any) -> Any:
            result = await original(provisioner, **kwargs)
            self._hand_down(provisioner, result)
            return result

        return pre_launch

    @quietly
    def _begin(self, manager: ServerKernelManager) -> None:
        before = self._kernels.get(manager)
        links = self._origin.links
        if before is not None:
            links = (*links, Link(before.latest))
        name = self._bounded(manager.kernel_name)
        span = self._tracer.start_span(
            spans.START_KERNEL,
            context=self._origin.context,
            links=links,
            attributes={attr.KERNEL_NAME: name},
        )
        self._kernels[manager] = _Kernel(
            span=span,
            context=trace.set_span_in_context(span, self._origin.context),
            latest=span.get_span_context(),
            begun=time.perf_counter(),
            name=name,
            running=before is not None and before.running,
            watched=before is not None and before.watched,
        )

    @quietly
    def _launch(self, manager: Any) -> Span | None:
        kernel = self._kernels.get(manager)
        if kernel is None:
            return None
        return self._tracer.start_span(spans.LAUNCH_KERNEL, context=kernel.context)

    @quietly
    def _hand_down(self, provisioner: KernelProvisionerBase, launch: dict[str, Any]) -> None:
        kernel = self._kernels.get(provisioner.parent)
        # What another manager starts here belongs to the session, too.
        context = self._origin.context
        # Other kernels would leave the span in the environment of all that they ever start.
        if kernel is not None and any("ipykernel" in str(word) for word in launch.get("cmd") or ()):
            context = kernel.context
        inject_into_environment(launch["env"], context)

    @quietly
    def _end(self, manager: ServerKernelManager, error: BaseException | None = None) -> None:
        kernel = self._kernels[manager]
        if manager.kernel_id:
            kernel.span.set_attribute(attr.KERNEL_ID, manager.kernel_id)
        attributes = {attr.KERNEL_NAME: kernel.name}
        if error is not None:
            attributes[attr.ERROR_TYPE] = type(error).__name__
            kernel.span.set_attribute(attr.ERROR_TYPE, type(error).__name__)
            kernel.span.set_status(StatusCode.ERROR)
        kernel.span.end()
        self._start_duration.record(time.perf_counter() - kernel.begun, attributes, kernel.context)
        if error is not None:
            if not manager.has_kernel:
                self._gone(manager)
            return
        if not kernel.running:
            kernel.running = True
            self._running[kernel.name] = self._running.get(kernel.name, 0) + 1
        if not kernel.watched:
            kernel.watched = True
            # The last death of a kernel that keeps dying is followed by no restart.
            manager.add_restart_callback(
                functools.partial(self._given_up, weakref.ref(manager)), "dead"
            )

    async def _look(self, manager: ServerKernelManager) -> None:
        """Find out, before a kernel's end or restart, if it had died by itself."""
        try:
            code = await manager.provisioner.poll() if manager.has_kernel else None
        except Exception:  # the provisioner's own: the host will meet it next
            return
        if code is not None:
            self._died(manager, code)

    def _given_up(self, reference: weakref.ref[ServerKernelManager]) -> None:
        manager = reference()
        if manager is not None:
            process = getattr(manager.provisioner, "process", None)
            self._died(manager, getattr(process, "returncode", None))

    @quietly
    def _died(self, manager: ServerKernelManager, code: int | None) -> None:
        kernel = self._kernels.get(manager)
        if kernel is None or not kernel.running:
            return
        reason = death_reason(code)
        span = self._tracer.start_span(
            spans.KERNEL_DIED,
            context=self._origin.context,
            links=(*self._origin.links, Link(kernel.span.get_span_context())),
            attributes={
                attr.KERNEL_NAME: kernel.name,
                attr.KERNEL_ID: manager.kernel_id,
                attr.KERNEL_DEATH_REASON: reason,
            },
        )
        if code is not None:
            span.set_attribute(attr.KERNEL_EXIT_CODE, code)
        if code != 0:
            span.set_attribute(attr.ERROR_TYPE, reason)
            span.set_status(StatusCode.ERROR)
        span.end()
        kernel.latest = span.get_span_context()
        self._deaths.add(1, {attr.KERNEL_NAME: kernel.name, attr.KERNEL_DEATH_REASON: reason})
        self._gone(manager)
        self._cells.kernel_died(manager.kernel_id, reason)

    @quietly
    def _asked_to_end(self, manager: ServerKernelManager, waiting: list[str]) -> None:
        self._cells.kernel_ended(manager.kernel_id, waiting)

    @quietly
    def _gone(self, manager: ServerKernelManager) -> None:
        kernel = self._kernels.get(manager)
        if kernel is not None and kernel.running:
            kernel.running = False
            self._running[kernel.name] -= 1

    def _observe_running(self, _options: CallbackOptions) -> list[Observation]:
        # On another thread; copying a dict is one step to the interpreter.
        running = self._running.copy()
        return [Observation(count, {attr.KERNEL_NAME: name}) for name, count in running.items()]

    def _bounded(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= names.MAX_KERNEL_NAMES:
                return attr.OTHER
            self._names.add(name)
        return name


def death_reason(code: int | None) -> str:
    """Return how a process ended that nobody had asked to: the kernel's OOM killer sends SIGKILL.

    A shell around the kernel tells a signal as 128 and its number.
    """
    if code is None:
        return EXITED
    try:
        by = signal.Signals(-code if code < 0 else code - 128)
    except ValueError:
        return EXITED
    return KILLED if by in _KILLING else CRASHED
