"""Requests that this process serves, as metrics: one histogram update each."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from af_otel_semconv import attributes, spans
from af_otel_semconv import metrics as names
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider

_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
)
_UNKNOWN_METHOD = "_OTHER"
_SCHEMES = frozenset(("http", "https"))
_SERVER_ERROR = 500
_STATUSES = range(100, 600)
# Updates that are made together: after each other, they take half the time that each takes after a
# request. Those that wait are made before metrics are exported.
_BATCH = 100
# What is current when they are made has nothing to do with them.
_NO_SPAN = trace.set_span_in_context(trace.INVALID_SPAN, Context())
SCOPE = "af_otel_instrumentation.http.server"


class Endpoint:
    """One method, route and scheme; `active` is how many of its requests are being served."""

    def __init__(self, method: str, route: str, scheme: str) -> None:
        self.name = spans.HTTP_REQUEST.format(method=method, route=route)
        self.method = method
        self.route = route
        self.active = 0
        self.attributes = {
            attributes.HTTP_METHOD: method,
            attributes.HTTP_ROUTE: route,
            attributes.URL_SCHEME: scheme,
        }
        self._by_status: dict[int, dict[str, str | int]] = {}
        self._by_error: dict[str, dict[str, str | int]] = {}

    def answered(self, status: int) -> dict[str, str | int]:
        """Return the attributes of a request with this answer; the dict is always the same one."""
        found = self._by_status.get(status)
        if found is None:
            # Ones that HTTP does not know would be new series without end.
            known = status if status in _STATUSES else _SERVER_ERROR
            found = {**self.attributes, attributes.HTTP_STATUS: known}
            if known >= _SERVER_ERROR:
                found[attributes.ERROR_TYPE] = str(known)
            if status == known:
                self._by_status[status] = found
        return found

    def failed(self, error: BaseException) -> dict[str, str | int]:
        """Return the attributes of a request that had no answer."""
        kind = type(error).__name__
        if kind not in self._by_error:
            if len(self._by_error) >= names.MAX_ERROR_TYPES:
                kind = attributes.OTHER
            self._by_error[kind] = {**self.attributes, attributes.ERROR_TYPE: kind}
        return self._by_error[kind]


class Requests:
    """The endpoints of this process and the instruments that count their requests."""

    def __init__(self, meter_provider: MeterProvider | None) -> None:
        self._meter_provider = meter_provider
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        self._routes = {attributes.OTHER}
        # Bounded also where updates fail.
        self._waiting: deque[tuple[float, dict[str, str | int]]] = deque(maxlen=10 * _BATCH)

    @cached_property
    def _meter(self) -> Meter:
        return metrics.get_meter(SCOPE, meter_provider=self._meter_provider)

    @cached_property
    def _duration(self) -> Histogram:
        return self._meter.create_histogram(**names.HTTP_SERVER_DURATION.histogram)

    def prepare(self) -> None:
        """Make the instruments before they are needed."""
        if "_duration" not in self.__dict__:
            _ = self._duration
            # Observed when metrics are exported: adding and subtracting would cost each request two
            # more updates.
            self._meter.create_observable_up_down_counter(
                **names.HTTP_SERVER_ACTIVE.plain, callbacks=[self._observe]
            )

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        self._flush()
        return [
            Observation(endpoint.active, endpoint.attributes)
            for endpoint in tuple(self._endpoints.values())
        ]

    def endpoint(self, method: str, route: str, scheme: str) -> Endpoint:
        """Return the endpoint of a request; methods, routes and schemes are bounded."""
        key = method, route, scheme
        found = self._endpoints.get(key)
        return found if found is not None else self._new(*key)

    def _new(self, method: str, route: str, scheme: str) -> Endpoint:
        if route not in self._routes:
            if len(self._routes) > names.MAX_ROUTES:
                route = attributes.OTHER
            self._routes.add(route)
        key = (
            method if method in _METHODS else _UNKNOWN_METHOD,
            route,
            scheme if scheme in _SCHEMES else "http",
        )
        if key not in self._endpoints:
            self._endpoints[key] = Endpoint(*key)
        return self._endpoints[key]

    def record(self, seconds: float, found: dict[str, str | int], context: Context | None) -> None:
        """Count a request that has ended."""
        if context is not None:
            # Now, as its exemplar has the time of the update.
            self._duration.record(seconds, found, context)
            return
        self._waiting.append((seconds, found))
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Update the histogram, in the loop's thread or in the one that exports."""
        waiting, record = self._waiting, self._duration.record
        with suppress(IndexError):
            while True:
                record(*waiting.popleft(), _NO_SPAN)
