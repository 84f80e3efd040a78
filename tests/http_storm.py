"""A Tornado application under a storm of requests, measured by us or by upstream.

Run as a program, `http_storm.py ours|upstream REQUESTS`: prints what was served and what was
recorded, as JSON. Instrumentations patch classes for good, so each has a process of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import random
import sys

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

CANARY = "canary4711"
USERS = 500
AT_ONCE = 20


class Parent(RequestHandler):
    def get(self, *_):
        self.finish({"ok": True})


class Child(Parent):
    def prepare(self):
        self.set_header("X-Prepared", "yes")  # without super(), as the base class needs none


class Health(Parent):
    pass


class Failing(RequestHandler):
    def get(self):
        raise RuntimeError(CANARY)


class Forbidden(RequestHandler):
    def prepare(self):
        raise HTTPError(403, CANARY)

    def get(self):
        pass


class Login(RequestHandler):
    def get(self):
        self.redirect(f"/hub/home?token={CANARY}")


class Waiting(RequestHandler):
    async def get(self):
        await asyncio.sleep(0.02)
        self.finish("late")


class Socket(WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


class Refusing(Socket):
    def check_origin(self, origin):
        return False


class Counted(Application):
    """Knows how many requests it was given, before any handler."""

    given = 0

    def find_handler(self, request, **kwargs):
        self.given += 1
        return super().find_handler(request, **kwargs)


def application():
    return Counted(
        [
            (r"/hub/health$", Health),
            (r"/hub/api/users/([^/]+)", Parent),
            (r"/hub/api/users/([^/]+)/tokens", Child),
            (r"/hub/failing", Failing),
            (r"/hub/forbidden", Forbidden),
            (r"/hub/oauth_callback", Login),
            (r"/hub/waiting", Waiting),
            (r"/api/kernels/(?P<kernel_id>\w+)/channels", Socket),
            (r"/terminals/websocket/(\w+)", Refusing),
            (r"/hub/(.*)", Parent),
        ]
    )


class Client:
    """One connection at a time; opened again after the requests that break it."""

    def __init__(self, port, seed):
        self.port, self.random = port, random.Random(seed)
        self.streams = None

    async def connection(self):
        if self.streams is None or self.streams[1].is_closing():
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        return self.streams

    async def send(self, target, *headers):
        reader, writer = await self.connection()
        lines = (f"GET {target} HTTP/1.1", "Host: hub", f"Cookie: session={CANARY}", *headers)
        writer.write("\r\n".join((*lines, "", "")).encode())
        await writer.drain()
        return reader, writer

    async def get(self, target, *headers):
        reader, writer = await self.send(target, *headers)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        sizes = [line for line in head.splitlines() if line.lower().startswith("content-length:")]
        if sizes:
            await reader.readexactly(int(sizes[0].partition(":")[2]))
        if "Connection: close" in head:
            writer.close()
        return int(head.split()[1])

    def leave(self):
        self.streams[1].transport.abort()
        self.streams = None

    async def one(self):
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        await getattr(self, kind)()
        return kind

    async def user(self):
        await self.get(f"/hub/api/users/{CANARY}-{self.random.randrange(USERS)}?token={CANARY}")

    async def tokens(self):
        await self.get(f"/hub/api/users/{CANARY}-{self.random.randrange(USERS)}/tokens")

    async def health(self):
        await self.get("/hub/health")

    async def failing(self):
        assert await self.get(f"/hub/failing?code={CANARY}") == 500

    async def forbidden(self):
        assert await self.get("/hub/forbidden") == 403

    async def unknown(self):
        assert await self.get(f"/{self.random.random()}/{CANARY}") == 404

    async def login(self):
        target = f"/hub/oauth_callback?code={CANARY}&state={CANARY}"
        assert await self.get(target) == 302

    async def catch_all(self):
        await self.get(f"/hub/{CANARY}/{self.random.random()}")

    async def cancelled(self):
        await self.send(f"/hub/waiting?token={CANARY}")
        await asyncio.sleep(0.005)
        self.leave()

    async def upgrade(self, target, origin="http://hub"):
        key = base64.b64encode(os.urandom(16)).decode()
        return await self.get(
            f"{target}?token={CANARY}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Origin: {origin}",
        )

    async def socket(self):
        assert await self.upgrade("/api/kernels/abc/channels") == 101
        reader, writer = self.streams
        writer.write(b"\x81\x82\0\0\0\0hi")  # a masked text frame
        assert await reader.readexactly(4) == b"\x81\x02hi"
        writer.write(b"\x88\x80\0\0\0\0")  # a close frame
        await reader.read()
        self.leave()

    async def dropped(self):
        assert await self.upgrade("/api/kernels/abc/channels") == 101
        self.leave()

    async def refused(self):
        assert await self.upgrade("/terminals/websocket/1", "http://elsewhere") == 403
        self.leave()


KINDS = {
    "user": 30, "tokens": 10, "health": 20, "failing": 5, "forbidden": 5, "unknown": 5,
    "login": 5, "catch_all": 5, "cancelled": 5, "socket": 5, "dropped": 3, "refused": 2,
}  # fmt: skip


async def storm(requests):
    """Send them and return how many of each kind were sent, and how many were served."""
    served = application()
    server = HTTPServer(served)
    listening, port = bind_unused_port()
    server.add_sockets([listening])
    sent = dict.fromkeys(KINDS, 0)

    async def run(number):
        client = Client(port, number)
        for _ in range(requests // AT_ONCE):
            sent[await client.one()] += 1
        if client.streams is not None:
            client.leave()

    await asyncio.gather(*(run(number) for number in range(AT_ONCE)))
    # Until the last handlers of those who left have ended.
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.01)
    server.stop()
    return sent, served.given


def recorded(reader, exported):
    points = [
        {
            "name": metric.name,
            "attributes": dict(point.attributes),
            "value": getattr(point, "count", None) or getattr(point, "value", 0),
        }
        for group in reader.get_metrics_data().resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    spans = [
        {
            "name": span.name,
            "kind": span.kind.name,
            "attributes": dict(span.attributes),
            "events": [dict(event.attributes) for event in span.events],
        }
        for span in exported.get_finished_spans()
    ]
    return {"points": points, "spans": spans}


def main():
    who, requests = sys.argv[1], int(sys.argv[2])
    logging.disable()
    reader, exported, tracers = InMemoryMetricReader(), InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exported))
    providers = {"tracer_provider": tracers, "meter_provider": MeterProvider([reader])}
    if who == "ours":
        from af_otel_instrumentation import http

        http.instrument(**providers)
    else:
        from opentelemetry.instrumentation.tornado import TornadoInstrumentor

        TornadoInstrumentor().instrument(**providers)
    sent, served = asyncio.run(storm(requests))
    print(json.dumps({"sent": sent, "served": served, **recorded(reader, exported)}))


if __name__ == "__main__":
    main()
