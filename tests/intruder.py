"""Another user of the machine, who tries every port of a facility: `python intruder.py < JSON`.

It reads `ports`, `user` and `files`, becomes an unprivileged user, and prints what was answered.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import itertools
import json
import os
import ssl
import sys
import tempfile
import time
from pathlib import Path

UID = 54_321  # of nobody who exists
TIMEOUT = 1.5  # s
NAME = "intruder"  # of all that it would write
SECRET = "geheimnis"  # in all that the owner has done


def gets(user):
    """Paths that any server of a facility might answer, by the server that has them."""
    own = f"/user/{user}"
    return [
        "/", "/metrics", "/health", "/healthz", "/ready", "/status", "/config", "/shutdown",
        "/debug/pprof/", "/debug/tracez",
        # Prometheus
        "/-/ready", "/api/v1/query?query=up", "/api/v1/status/config", "/federate?match[]=up",
        "/api/v1/label/__name__/values",
        # trace stores
        "/api/services", "/api/v3/services", "/api/traces?service=jupyter-server",
        "/api/search?q={}",
        # Dask
        "/json/identity.json", "/info/main/workers.html", "/sitemap.json", "/status/ws",
        "/individual-profile",
        # the page
        "/api/about", "/api/sessions", "/api/sessions/last",
        "/prometheus/api/v1/query?query=up",
        # the hub, its proxy and users' servers
        "/hub/metrics", "/hub/api/users", "/hub/api/info", "/api/routes", "/hub/home", "/hub/admin",
        f"{own}/metrics", f"{own}/api/contents", f"{own}/api/kernels", f"{own}/api/status",
        f"{own}/lab",
    ]  # fmt: skip


def posts(user):
    """What would write, stop or start something: path, content type, body."""
    now = time.time_ns()
    span = {
        "traceId": "ad" * 16, "spanId": "ad" * 8, "name": NAME, "kind": 1,
        "startTimeUnixNano": str(now - 1000), "endTimeUnixNano": str(now),
    }  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": NAME}}]}
    spans = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    gauge = {"dataPoints": [{"asDouble": 1, "timeUnixNano": str(now)}]}
    metrics = {"name": NAME, "gauge": gauge}
    points = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metrics]}]}]}
    as_json = "application/json"
    return [
        ("/v1/traces", as_json, json.dumps(spans).encode()),
        ("/v1/metrics", as_json, json.dumps(points).encode()),
        # Without a content type, as a web page may send it without asking first.
        ("/api/v1/write", "", remote_write()),
        ("/api/v1/write", "text/plain", remote_write()),
        ("/api/v1/otlp/v1/metrics", as_json, json.dumps(points).encode()),
        ("/api/v1/admin/tsdb/delete_series?match[]=up", "text/plain", b""),
        *((path, "text/plain", b"") for path in ("/-/quit", "/-/reload", "/shutdown", "/flush")),
        (f"/api/routes/{NAME}", as_json, b'{"target": "http://127.0.0.1:1"}'),
        (f"/hub/api/users/{NAME}", as_json, b"{}"),
        (f"/user/{user}/api/kernels", as_json, b"{}"),
        (f"/user/{user}/api/contents/{NAME}", as_json, b'{"type": "file"}'),
    ]


def remote_write():
    """A `WriteRequest` of one point, as Prometheus' remote write takes it."""

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    def varint(value):
        out = b""
        while value > 0x7F:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    label = field(1, b"__name__") + field(2, NAME.encode())
    sample = b"\x09" + bytes(8) + b"\x10" + varint(int(time.time() * 1000))
    body = field(1, field(1, label) + field(2, sample))
    # As one literal of Snappy's block format.
    return varint(len(body)) + bytes([60 << 2, len(body) - 1]) + body


def main():
    """Try everything, as somebody else."""
    task = json.load(sys.stdin)
    contexts = stranger_contexts()
    dask = dask_arguments()
    import distributed.comm.tcp  # noqa: F401 - it could not be read later
    import grpc
    import zmq

    warm_up(grpc, zmq)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)
    found = [*http_answers(task, contexts), *files(task["files"])]
    found += asyncio.run(dask_answers(task["ports"], dask))
    found += zmq_answers(zmq, task["ports"])
    found += grpc_answers(grpc, task["ports"])
    json.dump(found, sys.stdout)


def stranger_contexts():
    """Plain, TLS without a certificate, TLS with one of somebody else's facility."""
    nobody, stranger = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
    for context in (nobody, stranger):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as directory:
        from af_otel.local.keys import Keys

        keys = Keys.make(Path(directory), NAME).certificates
        stranger.load_cert_chain(keys.certificate, keys.key)
    return {"http": None, "https": nobody, "https, with a certificate": stranger}


def http_answers(task, contexts):
    wrong = {"Authorization": "Basic cGh5c2ljaXN0Og=="}
    asked = [
        *(("GET", path, headers, b"") for path in gets(task["user"]) for headers in ({}, wrong)),
        *(
            ("POST", path, {"Content-Type": kind} if kind else {}, body)
            for path, kind, body in posts(task["user"])
        ),
        ("DELETE", f"/api/routes/user/{task['user']}", {}, b""),
        ("PUT", "/-/quit", {}, b""),
        ("OPTIONS", "/api/v1/write", {"Origin": "http://evil.test"}, b""),
    ]

    def ask(port, scheme, request):
        method, path, headers, body = request
        what = {"port": port, "attempt": f"{scheme} {method} {path}"}
        kind = http.client.HTTPConnection if scheme == "http" else http.client.HTTPSConnection
        options = {} if scheme == "http" else {"context": contexts[scheme]}
        connection = kind("127.0.0.1", port, timeout=TIMEOUT, **options)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read(200_000).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return {**what, "refused": repr(error)}
        finally:
            connection.close()
        return {**what, "status": answer.status, "text": text}

    def ask_all(port, scheme):
        found = []
        for request in asked:
            found.append(ask(port, scheme, request))
            if "TimeoutError" in found[-1].get("refused", ""):
                break  # whoever listens there speaks another protocol
        return found

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = pool.map(lambda each: ask_all(*each), itertools.product(task["ports"], contexts))
        return [answer for found in answers for answer in found]


def dask_arguments():
    """How a client connects: without TLS, and with certificates of its own."""
    from distributed.security import Security

    stranger = Security.temporary().get_connection_args("client")
    return {"tcp": {}, "tls": stranger, "ws": {}}


async def dask_answers(ports, arguments):
    """Ask each port, as a Dask client would, to run a function."""
    from distributed.core import connect
    from distributed.protocol.pickle import dumps

    def owned():
        Path("/tmp/intruder-was-here").touch()
        return os.getuid()

    function = dumps(owned)

    async def run(address, given):
        comm = await connect(address, timeout=TIMEOUT, **given)
        await comm.write({"op": "run_function", "function": function, "reply": True})
        return await comm.read()

    async def ask(port, protocol):
        what = {"port": port, "attempt": f"Dask, {protocol}"}
        address = f"{protocol}://127.0.0.1:{port}"
        try:
            answer = await asyncio.wait_for(run(address, arguments[protocol]), 2 * TIMEOUT)
        except Exception as error:
            return {**what, "refused": repr(error)[:300]}
        return {**what, "status": 200, "text": repr(answer)}

    return await asyncio.gather(*(ask(port, protocol) for port in ports for protocol in arguments))


def warm_up(grpc, zmq):
    """Import now what they would import later."""
    asyncio.run(dask_answers([1], dask_arguments()))
    zmq_answers(zmq, [1], within=0)
    grpc_answers(grpc, [1])


def zmq_answers(zmq, ports, within=3000):
    """Subscribe to whatever is published: a kernel's outputs, for one."""
    with zmq.Context() as context:
        sockets = {}
        for port in ports:
            socket = context.socket(zmq.SUB)
            socket.linger = 0
            socket.subscribe(b"")
            socket.connect(f"tcp://127.0.0.1:{port}")
            sockets[port] = socket
        time.sleep(within / 1000)
        found = []
        for port, socket in sockets.items():
            what = {"port": port, "attempt": "ZeroMQ"}
            if socket.poll(0):
                found.append({**what, "status": 200, "text": repr(socket.recv_multipart())})
            else:
                found.append({**what, "refused": "nothing was published"})
            socket.close()
    return found


def grpc_answers(grpc, ports):
    methods = (
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/jaeger.api_v3.QueryService/GetServices",
        "/jaeger.storage.v2.TraceReader/GetServices",
        "/tempopb.Querier/SearchTags",
        "/grpc.health.v1.Health/Check",
    )

    def ask(port, method):
        what = {"port": port, "attempt": f"gRPC {method}"}
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                answer = channel.unary_unary(method)(b"", timeout=TIMEOUT)
            except grpc.RpcError as error:
                return {**what, "refused": repr(error.code())}
        return {**what, "status": 200, "text": repr(answer)}

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda each: ask(*each), itertools.product(ports, methods)))


def files(paths):
    """Read what is the owner's; of a directory, its list."""
    return [read(path) for path in paths]


def read(path):
    what = {"port": path, "attempt": "read"}
    try:
        content = os.listdir(path) if os.path.isdir(path) else Path(path).read_bytes()  # noqa: PTH112, PTH208
    except OSError as error:
        return {**what, "refused": repr(error)}
    return {**what, "status": 200, "text": repr(content)}


if __name__ == "__main__":
    main()
