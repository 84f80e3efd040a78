"""Providers that cost nothing until they are used, and then load behind the host's back."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

from af_otel_semconv import services
from opentelemetry import trace
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.metrics._internal import _ProxyMeterProvider  # made for just this: late set-up
from opentelemetry.util._decorator import _agnosticcontextmanager

from af_otel.runtime import _exit, _threads
from af_otel.runtime._log import one_line_each, say

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._loading = False
        self._begun = threading.Lock()
        self._wanted = threading.Event()
        self._done = threading.Event()
        self._late = False
        self._forks = False

    def begin(self, scope: str) -> None:
        """Start loading, at the first call; the scope's name tells what this process makes."""
        if not self._begun.acquire(blocking=False):
            return
        if scope == _KERNEL:
            self.role = "kernel"
        service = _BY_ROLE.get(self.role) or _BY_SCOPE.get(
            scope.rpartition(".")[2], services.DASK_CLIENT
        )
        if trace._TRACER_PROVIDER is None:  # noqa: SLF001 - asking for it may load one by a setting
            # The user's own tracers wait for the SDK as ours do. Not by `set_tracer_provider`, as
            # that can be called once, by the user.
            trace._TRACER_PROVIDER = LazyTracerProvider(self)  # noqa: SLF001
        atexit.register(self.finish)
        _exit.of_multiprocessing(self.finish)
        _exit.before_threads_end(self._settle)
        if not self._forks:
            # Called before those that `concurrent.futures` and `logging`, imported above, have
            # registered: they take locks that a load needs.
            os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)
            self._forks = True
        try:
            _threads.start(
                threading.Thread(
                    target=self._load, args=(service,), name="af-otel-start", daemon=True
                )
            )
        except RuntimeError:  # the interpreter is on its way out
            self._done.set()

    def wait(self) -> Providers | None:
        """Return the providers; None when they could not be loaded, or not in time.

        That is waited for once: on a disk that hangs each span would.
        """
        if not self._done.is_set() and not self._late:
            self._wanted.set()
            self._late = not self._done.wait(WAIT)
        return self.providers

    def _settle(self) -> None:
        """Load to the end as long as threads can be started: what was recorded waits for it."""
        if self._loading:
            self.wait()

    def finish(self) -> None:
        """Send what is queued and stop, within the bound that the settings give.

        Where the SDK is still held back, nothing was recorded yet, and it stays so.
        """
        providers = self.wait() if self._loading else None
        if providers is not None:
            providers.shutdown()

    def _load(self, service: str) -> None:
        self._wanted.wait(HOLD.get(self.role, 0))
        self._loading = True
        try:
            with one_line_each():
                from af_otel.runtime._sdk import load

                present = trace._TRACER_PROVIDER  # noqa: SLF001
                if isinstance(present, LazyTracerProvider):
                    present = None
                with _threads.restarted_in_children():
                    self.providers = load(service, self.role, present)
                self.meters.on_set_meter_provider(self.providers.meters)
        except Exception as error:
            if isinstance(trace._TRACER_PROVIDER, LazyTracerProvider):  # noqa: SLF001
                trace._TRACER_PROVIDER = None  # noqa: SLF001
            if not _ending():
                say(f"this process runs untraced: {type(error).__name__}: {error}".rstrip(": "))
        finally:
            self._done.set()

    def _before_fork(self) -> None:
        """Let a load come to its end: a child would wait for its imports' locks for ever."""
        if self._begun.locked():
            self.wait()

    def _after_fork(self) -> None:
        """Load anew in a child, where that did not end in time: the thread is not in it."""
        if not self._done.is_set():
            self._begun, self._loading, self._late = threading.Lock(), False, False
            self._wanted, self._done = threading.Event(), threading.Event()
        _exit.of_multiprocessing(self.finish)


def _ending() -> bool:
    """Tell whether the interpreter is on its way out; a pool then takes no work, and we use one."""
    return getattr(threading, "_SHUTTING_DOWN", False)


class LazyTracerProvider(trace.TracerProvider):
    """Hands out tracers whose first span waits for the SDK."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> trace.Tracer:
        """Return a tracer and start loading what is behind it."""
        self._loader.begin(instrumenting_module_name)
        return _LazyTracer(self._loader, instrumenting_module_name, *args, **kwargs)


class _LazyTracer(trace.Tracer):
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

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        return self._real().start_span(*args, **kwargs)

    @_agnosticcontextmanager
    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Iterator[trace.Span]:
        with self._real().start_as_current_span(*args, **kwargs) as span:
            yield span


class LazyMeterProvider(MeterProvider):
    """Hands out meters; what they record before the SDK is there is dropped, not waited for."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def get_meter(self, name: str, *args: Any, **kwargs: Any) -> Meter:
        """Return a meter and start loading what is behind it."""
        self._loader.begin(name)
        return self._loader.meters.get_meter(name, *args, **kwargs)
