"""What Traefik does for Dask Gateway, on one port: HTTP by path, TLS by the name that it asks for.

The controller's routes are predictable, so nothing is watched: `daskgateway-NAMESPACE.CLUSTER` is
the scheduler at `dask-CLUSTER.NAMESPACE`, and its dashboard is below `/clusters/NAMESPACE.CLUSTER`.
"""

import asyncio
import contextlib
import re
import sys
import urllib.parse

PREFIX = "/services/dask-gateway"
API = urllib.parse.urlsplit(sys.argv[1])
TLS_HANDSHAKE = b"\x16"
SERVER_NAME = re.compile(rb"daskgateway-([a-z0-9-]+)\.([0-9a-f]{32})")


async def serve(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        first = await reader.readexactly(1)
        if first == TLS_HANDSHAKE:
            header = first + await reader.readexactly(4)
            hello = header + await reader.readexactly(int.from_bytes(header[3:5], "big"))
            name = SERVER_NAME.search(hello)
            if name:
                namespace, cluster = (part.decode() for part in name.groups())
                await join(reader, writer, f"dask-{cluster}.{namespace}", 8786, hello)
        else:
            head = first + await reader.readuntil(b"\r\n\r\n")
            await join(reader, writer, *http(head))
    writer.close()


def http(head):
    """Where a request goes, and its head: one request for each connection."""
    method, path, rest = head.decode("latin-1").split(" ", 2)
    path = path.removeprefix(PREFIX) or "/"
    host, port = API.hostname, API.port
    dashboard = re.match(r"/clusters/([^/.]+)\.([^/]+)", path)
    if dashboard:
        namespace, cluster = dashboard.groups()
        host, port, path = f"dask-{cluster}.{namespace}", 8787, path[dashboard.end() :] or "/"
    if not re.search(r"\r\nconnection:\s*upgrade", rest, re.IGNORECASE):
        rest = re.sub(r"\r\nconnection:[^\r]*", "", rest, flags=re.IGNORECASE)
        rest = rest.replace("\r\n", "\r\nConnection: close\r\n", 1)
    return host, port, f"{method} {path} {rest}".encode("latin-1")


async def join(reader, writer, host, port, start):
    there, to_there = await asyncio.open_connection(host, port)
    to_there.write(start)
    await asyncio.gather(pump(reader, to_there), pump(there, writer))


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, port=8000)
    await server.serve_forever()


asyncio.run(main())
