"""Ask a server whether it is ready, from the supervisor's event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from af_otel.local.ports import HOST

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Mapping


TIMEOUT = 2.0  # seconds


class Probe(Protocol):
    """Asks a server whether it is ready."""

    def __call__(self, timeout: float = TIMEOUT) -> Awaitable[bool]:
        """Return whether it says so within `timeout` seconds."""


def http(
    port: int,
    path: str,
    contains: str = "",
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Probe:
    """Ready when a GET is answered with 200 and, if given, a body that `contains` the text."""
    lines = [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
    request = f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\n{''.join(lines)}\r\n".encode()

    async def probe(timeout: float = TIMEOUT) -> bool:
        try:
            answer = await asyncio.wait_for(_answer(port, request, tls), timeout)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            return False
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.split(b" ", 2)[1:2] == [b"200"] and contains.encode() in body

    return probe


async def _answer(port: int, request: bytes, tls: ssl.SSLContext | None) -> bytes:
    # By hand: an HTTP library brings threads, and the supervisor starts processes without any.
    reader, writer = await asyncio.open_connection(HOST, port, ssl=tls)
    try:
        writer.write(request)
        return await reader.read(-1)
    finally:
        writer.close()
