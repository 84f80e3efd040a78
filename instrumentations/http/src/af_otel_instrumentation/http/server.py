"""Requests and websockets that Tornado serves.

`RequestHandler._execute` is where each request is served, from before `prepare` to after the
answer, in one task. What is counted up there is counted down there, whatever the handler does and
whatever its class overrides.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.http._quietly import quietly
from af_otel_instrumentation.http._requests import Requests
from af_otel_instrumentation.http._routes import route_of
from af_otel_instrumentation.http._session import session_named_by
from af_otel_instrumentation.http._sockets import Sockets
from af_otel_instrumentation.http._spans import Spans
from opentelemetry import context, trace
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel_instrumentation.http._hooks import Hooks
    from af_otel_instrumentation.http._requests import Endpoint
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_KEY = "_af_otel_request"


class Server:
    """Measures what this process serves.

    Parameters
    ----------
    tracer_provider, meter_provider
        Of OpenTelemetry; else the global ones.
    serves
        Called when the process is about to serve: all that its host needs is imported by then.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        serves: Callable[[], None],
    ) -> None:
        self._serves = serves
        self.requests = Requests(meter_provider)
        self.spans = Spans(tracer_provider)
        self.sockets = Sockets(meter_provider)

    def install(self, hooks: Hooks) -> None:
        """Wrap the handlers' base class."""
        prepare, begin = quietly(self._prepare), quietly(self._begin)

        def wrap_init(original: Any) -> Any:
            def init(application: Any, *args: Any, **kwargs: Any) -> None:
                # Only a process that is about to serve makes one; `jupyterhub token` does not.
                prepare()
                original(application, *args, **kwargs)

            return init

        def wrap_execute(original: Any) -> Any:
            async def execute(handler: Any, *args: Any, **kwargs: Any) -> None:
                request = begin(handler)
                try:
                    await original(handler, *args, **kwargs)
                except BaseException as error:
                    if request is not None:
                        request.error = error
                    raise
                finally:
                    if request is not None:
                        request.end()

            return execute

        hooks.wrap(Application, "__init__", wrap_init)
        hooks.wrap(RequestHandler, "_execute", wrap_execute)
        self.sockets.install(hooks, _upgraded)

    def _prepare(self) -> None:
        for part in (self.requests, self.spans, self.sockets):
            part.prepare()
        self._serves()

    def _begin(self, handler: Any) -> Request:
        http = handler.request
        endpoint = self.requests.endpoint(http.method, route_of(handler), http.protocol)
        if isinstance(handler, WebSocketHandler):
            # No span: its handler serves the socket until it is closed.
            request = Request(self, handler, endpoint, None)
            setattr(handler, _KEY, request)
            return request
        # `get` would raise and catch a KeyError, which costs as much as all the rest here.
        carried = http.headers.get_list("traceparent")
        span = self.spans.begin(endpoint, carried[0] if carried else None)
        if carried and span is not None:
            span.set_attributes(session_named_by(http.headers, handler.application.settings))
        return Request(self, handler, endpoint, span)


class Request:
    """A request that is being served."""

    __slots__ = ("_begun", "_endpoint", "_handler", "_server", "_span", "_token", "error")

    def __init__(self, server: Server, handler: Any, endpoint: Endpoint, span: Span | None) -> None:
        self._server: Server | None = server
        self._handler = handler
        self._endpoint = endpoint
        self._span = span
        self._token = None if span is None else context.attach(_current(span))
        self.error: BaseException | None = None
        endpoint.active += 1
        self._begun = perf_counter()

    @property
    def route(self) -> str:
        """The route template."""
        return self._endpoint.route

    @quietly
    def end(self) -> None:
        """Count the request; a second call changes nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        seconds = perf_counter() - self._begun
        self._endpoint.active -= 1
        span, handler, error = self._span, self._handler, self.error
        self._handler = self.error = None
        if isinstance(handler, WebSocketHandler):
            vars(handler).pop(_KEY, None)
        if self._token is not None:
            context.detach(self._token)
        endpoint = self._endpoint
        found = endpoint.answered(handler._status_code) if error is None else endpoint.failed(error)
        server.requests.record(seconds, found, None if span is None else _current(span))
        server.spans.ended(span, endpoint, seconds, found)


def _current(span: Span) -> Context:
    return trace.set_span_in_context(span)


def _upgraded(handler: Any) -> str | None:
    """End the request that opened a websocket, and return its route; None of a client's socket."""
    request = getattr(handler, _KEY, None)
    if request is None:
        return None
    request.end()
    return str(request.route)
