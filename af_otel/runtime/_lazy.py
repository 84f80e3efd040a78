"""Providers that cost nothing until they are used, and then load behind the host's back."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from af_otel_semconv import services
from opentelemetry import trace
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.metrics._internal import _ProxyMeterProvider  # made for just this: late set-up
from opentelemetry.util._decorator import _agnosticcontextmanager

from af_otel.runtime import _clock, _exit
from af_otel.runtime._log import one_line_each, say
from af_otel.runtime._sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from af_otel.runtime._budget import Budget
    from af_otel.runtime._sdk import Providers

# A span that starts while the SDK still loads waits for it this long at most, then goes untraced.
# It happens when a kernel's first cell follows its start at once.
WAIT = 2.0
# A kernel gets ready first: somebody waits for it. The first cell, if it comes sooner, ends this.
HOLD = {"kernel": 0.5}

_BY_ROLE = {
    "hub": services.JUPYTERHUB,
    "server": services.JUPYTER_SERVER,
    "kernel": services.JUPYTER_KERNEL,
    "dask-scheduler": services.DASK_SCHEDULER,
    "dask-worker": services.DASK_WORKER,
    "dask-gateway": services.DASK_GATEWAY,
}
# What a kernel asks for, however it was started.
_KERNEL = "af_otel_instrumentation.ipykernel.shell"
# A process that its command line does not tell is what it first makes: the nanny's child a worker.
_BY_SCOPE = {"worker": services.DASK_WORKER, "scheduler": services.DASK_SCHEDULER}


class Loader:
    """Loads the SDK once, when the first tracer or meter of this process is asked for."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.meters = _ProxyMeterProvider()
        self.providers: Providers | None = None
        self._sender = Sender()
        self._sender.add(self)
        self._service = services.DASK_CLIENT
        self._forks = False
        self._reset()

    def _reset(self) -> None:
        self._begun = threading.Lock()
        self._done = threading.Event()
        self._at: float | None = None  # when to load
        self._late = False

    def begin(self, scope: str) -> None:
        """Start loading, at the first call; the scope's name tells what this process makes."""
        if not self._begun.acquire(blocking=False):
            return
        if scope == _KERNEL:
            self.role = "kernel"
        self._service = _BY_ROLE.get(self.role) or _BY_SCOPE.get(
            scope.rpartition(".")[2], services.DASK_CLIENT
        )
        _exit.after_the_host(self, self.shutdown)
        _exit.of_multiprocessing(self.shutdown)
        _exit.before_threads_end(self._settle)
        if not self._forks:
            # Called before those that `concurrent.futures` and `logging`, imported above, have
            # registered: they take locks that a load needs.
            os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)
            self._forks = True
        self._at = _clock.monotonic() + HOLD.get(self.role, 0)
        self._sender.wake()

    def wait(self) -> Providers | None:
        """Return the providers; None when they could not be loaded, or not in time.

        That is waited for once: on a disk that hangs each span would.
        """
        if not self._done.is_set() and not self._late:
            self._at = 0.0
            self._sender.wake()
            self._late = not self._done.wait(WAIT)
        return self.providers

    def _settle(self) -> None:
        """Load to the end as long as threads can be started: what was recorded waits for it."""
        if self._at == 0.0:
            self.wait()
        self._sender.stay()

    def shutdown(self) -> None:
        """Send what is queued and stop, within the bound that the settings give.

        Where the SDK is still held back, nothing was recorded yet, and it stays so.
        """
        if self._at == 0.0:
            self.wait()
        if self.providers is not None:
            self.providers.shutdown()

    def due(self) -> float | None:
        """Return when to load."""
        return None if self._done.is_set() else self._at

    def run(self) -> None:
        """Load."""
        self._at = 0.0
        try:
            with one_line_each():
                from af_otel.runtime._sdk import load

                self.providers = load(self._service, self.role, self._sender)
                self.meters.on_set_meter_provider(self.providers.meters)
        except Exception as error:
            if not _ending():
                say(f"this process runs untraced: {type(error).__name__}: {error}".rstrip(": "))
        finally:
            self._done.set()

    def finish(self) -> None:
        """Do nothing: `shutdown` has waited for a load that had begun."""

    def forked(self) -> None:
        """Load again in a child that was forked before the end of a load."""
        if not self._done.is_set():
            self._reset()

    def _before_fork(self) -> None:
        """Let a load come to its end: a child would wait for its imports' locks for ever."""
        if self._at == 0.0:
            self.wait()

    def _after_fork(self) -> None:
        _exit.of_multiprocessing(self.shutdown)


def _ending() -> bool:
    """Return whether the interpreter is on its way out."""
    return getattr(threading, "_SHUTTING_DOWN", False)


class LazyTracerProvider(trace.TracerProvider):
    """Hands out tracers whose first span waits for the SDK."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> LazyTracer:
        """Return a tracer and start loading what is behind it."""
        self._loader.begin(instrumenting_module_name)
        return LazyTracer(self._loader, instrumenting_module_name, *args, **kwargs)


class LazyTracer(trace.Tracer):
    def __init__(self, loader: Loader, *args: Any, **kwargs: Any) -> None:
        self._loader = loader
        self._args = args, kwargs
        self._tracer: trace.Tracer | None = None

    def _real(self) -> trace.Tracer:
        if self._tracer is None:
            self._loader.begin(self._args[0][0])  # once more in a child forked meanwhile
            providers = self._loader.wait()
            if providers is None:
                return trace.NoOpTracer()
            args, kwargs = self._args
            self._tracer = providers.traces.get_tracer(*args, **kwargs)
        return self._tracer

    @property
    def budget(self) -> Budget | None:
        """What bounds the users' spans of a trace; None while the SDK is not loaded."""
        providers = self._loader.providers
        return None if providers is None else providers.budget

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        return self._real().start_span(*args, **kwargs)

    @_agnosticcontextmanager
    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Iterator[trace.Span]:
        with self._real().start_as_current_span(*args, **kwargs) as span:
            yield span

    def __reduce__(self) -> tuple[Callable[..., trace.Tracer], tuple[Any, ...]]:
        # Users see this one where our OpenTelemetry is exposed to them, and pickle it.
        args, kwargs = self._args
        return partial(trace.get_tracer, **kwargs), args


class LazyMeterProvider(MeterProvider):
    """Hands out meters; what they record before the SDK is there is dropped, not waited for."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def get_meter(self, name: str, *args: Any, **kwargs: Any) -> Meter:
        """Return a meter and start loading what is behind it."""
        self._loader.begin(name)
        return self._loader.meters.get_meter(name, *args, **kwargs)
