"""Websockets as metrics: how many are open, for how long, and what passes through them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.http._quietly import quietly
from af_otel_semconv import attributes
from af_otel_semconv import metrics as names
from opentelemetry import metrics
from opentelemetry.metrics import Observation
from tornado.websocket import WebSocketProtocol13

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from af_otel_instrumentation.http._hooks import Hooks
    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider

_KEY = "_af_otel_route"
# Frames with a message; the others are pings, pongs and the close.
_TEXT, _BINARY = 1, 2


@dataclass(eq=False)
class Route:
    """The sockets of one route."""

    name: str
    open: int = 0
    received: int = 0
    sent: int = 0
    attributes: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.attributes = {attributes.HTTP_ROUTE: self.name}


class Sockets:
    """Counts in plain integers, which are read when metrics are exported."""

    def __init__(self, meter_provider: MeterProvider | None) -> None:
        self._meter_provider = meter_provider
        self._routes: dict[str, Route] = {}

    @cached_property
    def _meter(self) -> Meter:
        return metrics.get_meter(
            "af_otel_instrumentation.http.websockets", meter_provider=self._meter_provider
        )

    @cached_property
    def _duration(self) -> Histogram:
        return self._meter.create_histogram(**names.WEBSOCKET_DURATION.histogram)

    def prepare(self) -> None:
        """Make the instruments before they are needed."""
        if "_duration" not in self.__dict__:
            _ = self._duration
            self._meter.create_observable_up_down_counter(
                **names.WEBSOCKET_ACTIVE.plain, callbacks=[self._observe_open]
            )
            self._meter.create_observable_counter(
                **names.WEBSOCKET_MESSAGES.plain, callbacks=[self._observe_messages]
            )

    def _observe_open(self, _: CallbackOptions) -> Iterable[Observation]:
        routes = tuple(self._routes.values())
        return [Observation(route.open, route.attributes) for route in routes]

    def _observe_messages(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(count, {**route.attributes, attributes.DIRECTION: direction})
            for route in tuple(self._routes.values())
            for direction, count in (("receive", route.received), ("transmit", route.sent))
        ]

    def install(self, hooks: Hooks, upgraded: Callable[[Any], str | None]) -> None:
        """Follow each socket from its handshake to its close.

        Parameters
        ----------
        hooks
            What wraps Tornado's methods.
        upgraded
            Called with the handler once its handshake is done; returns the route.
        """
        opened, closed = quietly(self._opened), quietly(self._closed)
        greeted = quietly(upgraded)

        def wrap_loop(original: Any) -> Any:
            async def receive_frame_loop(protocol: Any) -> None:
                name = greeted(protocol.handler)
                route = None if name is None else opened(protocol, name)
                begun = perf_counter()
                try:
                    await original(protocol)
                finally:
                    if route is not None:
                        closed(route, perf_counter() - begun)

            return receive_frame_loop

        hooks.wrap(WebSocketProtocol13, "_receive_frame_loop", wrap_loop)
        hooks.wrap(WebSocketProtocol13, "_handle_message", _wrap_received)
        hooks.wrap(WebSocketProtocol13, "write_message", _wrap_sent)

    def _opened(self, protocol: Any, name: str) -> Route:
        # Routes of requests, which are bounded already.
        route = self._routes.get(name)
        if route is None:
            route = self._routes[name] = Route(name)
        setattr(protocol, _KEY, route)
        route.open += 1
        return route

    def _closed(self, route: Route, seconds: float) -> None:
        route.open -= 1
        self._duration.record(seconds, route.attributes)


def _wrap_received(original: Any) -> Any:
    def handle_message(protocol: Any, opcode: int, data: bytes) -> Any:
        if opcode in {_TEXT, _BINARY}:
            route = protocol.__dict__.get(_KEY)
            if route is not None:
                route.received += 1
        return original(protocol, opcode, data)

    return handle_message


def _wrap_sent(original: Any) -> Any:
    def write_message(protocol: Any, *args: Any, **kwargs: Any) -> Any:
        route = protocol.__dict__.get(_KEY)
        if route is not None:
            route.sent += 1
        return original(protocol, *args, **kwargs)

    return write_message
