"""Requests that this process sends: to the proxy, to the hub, and to users' servers.

Tornado's client is the hub's before JupyterHub 6, and that of authenticators; JupyterHub 6 has one
of its own around aiohttp's.
"""

from __future__ import annotations

import asyncio
import copy
import sys
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.http._peers import PROXY, SERVER, Peer, peer_of, sending_to
from af_otel_instrumentation.http._quietly import quietly
from af_otel_instrumentation.http._session import own_session
from af_otel_semconv import attributes
from af_otel_semconv import metrics as names
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tornado.httpclient import AsyncHTTPClient

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from af_otel_instrumentation.http._hooks import Hooks
    from opentelemetry.metrics import Histogram, MeterProvider

_METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))
_CLIENT_ERROR = 400
# Tornado's status of a request without an answer.
_NO_ANSWER = 599
_PROPAGATOR = TraceContextTextMapPropagator()
_HEADERS = ("traceparent", "tracestate", "baggage")


class Client:
    """Measures what this process requests."""

    def __init__(self, meter_provider: MeterProvider | None) -> None:
        self._meter_provider = meter_provider
        self._hooks: Hooks | None = None
        self._attributes: dict[tuple[Any, ...], dict[str, str | int]] = {}

    @cached_property
    def _duration(self) -> Histogram:
        meter = metrics.get_meter(
            "af_otel_instrumentation.http.client", meter_provider=self._meter_provider
        )
        return meter.create_histogram(**names.HTTP_CLIENT_DURATION.histogram)

    def install(self, hooks: Hooks) -> None:
        """Wrap Tornado's client."""
        self._hooks = hooks
        hooks.wrap(AsyncHTTPClient, "fetch", self._tornado)

    def follow_hub(self) -> None:
        """Wrap JupyterHub's client, and what in a hub says whom it is used for."""
        hooks, self._hooks = self._hooks, None
        if hooks is None:
            return
        own = sys.modules.get("jupyterhub.httpclient")
        if own is not None:
            hooks.wrap(own.JupyterHubHTTPClient, "fetch", self._jupyterhub)
        proxy, objects = map(sys.modules.get, ("jupyterhub.proxy", "jupyterhub.objects"))
        if proxy is not None:
            hooks.wrap(proxy.ConfigurableHTTPProxy, "api_request", _sends_to(PROXY))
        if objects is not None:
            hooks.wrap(objects.Server, "wait_up", _sends_to(SERVER))

    def _tornado(self, original: Any) -> Any:
        @quietly
        def begin(request: Any, kwargs: Mapping[str, Any]) -> tuple[Peer, str, Any]:
            is_url = isinstance(request, str)
            peer = peer_of(request if is_url else request.url)
            method = (kwargs.get("method") if is_url else request.method) or "GET"
            return peer, method, _with_context(request, kwargs, peer)

        finish = quietly(self._finish)

        def fetch(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            begun = begin(request, kwargs)
            if begun is None:
                return original(client, request, *args, **kwargs)
            peer, method, changed = begun
            request, kwargs = changed
            since = perf_counter()
            future = original(client, request, *args, **kwargs)
            # One step of a redirect is a part of the request that was redirected.
            if not hasattr(request, "original_request"):
                future.add_done_callback(
                    lambda done: finish(peer, method, perf_counter() - since, *_outcome(done))
                )
            return future

        return fetch

    def _jupyterhub(self, original: Any) -> Any:
        @quietly
        def begin(url: Any, kwargs: dict[str, Any]) -> tuple[Peer, str]:
            peer = peer_of(str(url))
            found = _context() if peer.in_facility else {}
            if found:
                kwargs["headers"] = {**(kwargs.get("headers") or {}), **found}
            return peer, kwargs.get("method", "GET")

        finish = quietly(self._finish)

        async def fetch(client: Any, url: Any, **kwargs: Any) -> Any:
            begun = begin(url, kwargs)
            if begun is None:
                return await original(client, url, **kwargs)
            since = perf_counter()
            try:
                response = await original(client, url, **kwargs)
            except BaseException as error:
                status = getattr(error, "status", None)
                finish(*begun, perf_counter() - since, status, error)
                raise
            finish(*begun, perf_counter() - since, response.status, None)
            return response

        return fetch

    def _finish(
        self, peer: Peer, method: str, seconds: float, status: Any, error: BaseException | None
    ) -> None:
        kind = None if error is None or status else type(error).__name__
        key = peer, method, status, kind
        found = self._attributes.get(key)
        if found is None:
            found = {
                attributes.HTTP_METHOD: method if method in _METHODS else "_OTHER",
                attributes.PEER: peer.role,
                attributes.URL_TEMPLATE: peer.template,
            }
            if status:
                found[attributes.HTTP_STATUS] = int(status)
            if status and status >= _CLIENT_ERROR:
                found[attributes.ERROR_TYPE] = str(status)
            elif kind is not None:
                found[attributes.ERROR_TYPE] = kind
            if len(self._attributes) < names.MAX_ROUTES:
                self._attributes[key] = found
        self._duration.record(seconds, found)


def _sends_to(role: str) -> Any:
    def wrap(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            return _around(role, original(*args, **kwargs))

        return call

    return wrap


async def _around(role: str, awaitable: Any) -> Any:
    token = sending_to.set(role)
    try:
        return await awaitable
    finally:
        sending_to.reset(token)


def _context() -> dict[str, str]:
    """Return the headers of the current span, none outside of one."""
    found: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        _PROPAGATOR.inject(found)
        found.update(own_session())
    return found


def _with_context(request: Any, kwargs: Mapping[str, Any], peer: Peer) -> tuple[Any, Any]:
    """Return the request with our context if it stays in the facility, else without.

    A client that follows a redirect sends on all headers. The caller's own request is not changed.
    """
    given = kwargs.get("headers") if isinstance(request, str) else request.headers
    found = _context() if peer.in_facility else {}
    redirected = hasattr(request, "original_request")
    if not (found or redirected):
        return request, kwargs
    headers: MutableMapping[str, str] = copy.copy(given) if given is not None else {}
    if redirected and not peer.in_facility:
        for name in [name for name in headers if name.lower() in _HEADERS]:
            del headers[name]
    headers.update(found)
    if isinstance(request, str):
        return request, {**kwargs, "headers": headers}
    request = copy.copy(request)
    request.headers = headers
    return request, kwargs


def _outcome(done: Any) -> tuple[Any, BaseException | None]:
    """Return the status and the error of a future of Tornado's client."""
    if done.cancelled():
        return None, asyncio.CancelledError()
    error = done.exception()
    code = done.result().code if error is None else getattr(error, "code", None)
    if code == _NO_ANSWER:
        return None, error or done.result().error
    return code, error
