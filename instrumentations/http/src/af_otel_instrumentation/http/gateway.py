"""Requests that the Dask Gateway serves, by a middleware of its aiohttp application."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.http._quietly import quietly
from af_otel_instrumentation.http._requests import Requests
from af_otel_instrumentation.http._spans import Spans
from af_otel_semconv.attributes import OTHER
from aiohttp import web
from opentelemetry import context, trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from af_otel_instrumentation.http._hooks import Hooks
    from af_otel_instrumentation.http._requests import Endpoint
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider


class Gateway:
    """Measures what this process serves."""

    def __init__(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        self.requests = Requests(meter_provider)
        self.spans = Spans(tracer_provider)

    def install(self, hooks: Hooks) -> None:
        """Add the middleware before the application is frozen."""
        from dask_gateway_server.app import DaskGateway

        add = quietly(self._add)

        def wrap(original: Any) -> Any:
            async def setup(gateway: Any, *args: Any, **kwargs: Any) -> Any:
                add(gateway.app)
                return await original(gateway, *args, **kwargs)

            return setup

        hooks.wrap(DaskGateway, "setup", wrap)

    def _add(self, app: web.Application) -> None:
        self.requests.prepare()
        self.spans.prepare()
        # The outermost: it also sees what the others answer.
        app.middlewares.insert(0, self._middleware())

    def _middleware(self) -> Any:
        begin = quietly(self._begin)

        @web.middleware
        async def measure(
            request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]
        ) -> Any:
            measured = begin(request)
            if measured is None:
                return await handler(request)
            try:
                response = await handler(request)
            except web.HTTPException as answer:
                measured.end(answer.status, None)
                raise
            except Exception:
                # What aiohttp answers then.
                measured.end(web.HTTPInternalServerError.status_code, None)
                raise
            except BaseException as error:
                measured.end(None, error)
                raise
            measured.end(response.status, None)
            return response

        return measure

    def _begin(self, request: web.Request) -> _Request:
        resource = request.match_info.route.resource
        route = OTHER if resource is None else resource.canonical
        endpoint = self.requests.endpoint(request.method, route, request.scheme)
        return _Request(
            self, endpoint, self.spans.begin(endpoint, request.headers.get("traceparent"))
        )


class _Request:
    """A request that is being served."""

    def __init__(self, gateway: Gateway, endpoint: Endpoint, span: Span | None) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._span = span
        self._context = None if span is None else trace.set_span_in_context(span)
        self._token = None if self._context is None else context.attach(self._context)
        endpoint.active += 1
        self._begun = perf_counter()

    @quietly
    def end(self, status: int | None, error: BaseException | None) -> None:
        """Count the request."""
        seconds = perf_counter() - self._begun
        endpoint = self._endpoint
        endpoint.active -= 1
        if self._token is not None:
            context.detach(self._token)
        if status is not None:
            found = endpoint.answered(status)
        else:
            assert error is not None
            found = endpoint.failed(error)
        self._gateway.requests.record(seconds, found, self._context)
        self._gateway.spans.ended(self._span, endpoint, seconds, found)
