"""A port of the cluster as a local one: each connection is a stream of its own through the API."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any

import websocket

from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import NotFound
from af_otel.kubernetes.pods import is_ready
from af_otel.kubernetes.refs import Ref
from af_otel.kubernetes.streams import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.connection import Connection

_CHUNK = 64 * 1024
_DATA, _ERROR = 0, 1  # channels of the one port
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def forward(
    cluster: Cluster, link: Connection, namespace: str, target: str, port: int
) -> Iterator[str]:
    """Listen until the context ends; see `Cluster.forward`."""
    forwarding = _Forwarding(cluster, link, namespace, target, port)
    forwarding.start()
    try:
        yield forwarding.url
    finally:
        forwarding.stop()


class _Forwarding:
    def __init__(
        self, cluster: Cluster, link: Connection, namespace: str, target: str, port: int
    ) -> None:
        self._cluster, self._link = cluster, link
        self._namespace, self._target, self._port = namespace, target, port
        # At once, so that what is not there is said here and not as a connection that is reset.
        self._end: tuple[str, int] | None = self._resolve()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.url = f"http://{self.address[0]}:{self.address[1]}"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._acceptor = threading.Thread(
            target=self._accept, name=f"forward {target}:{port}", daemon=True
        )

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            for connection in self._open:
                # Its thread sees the end of it and leaves.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        # What waits in `accept` is not woken by closing the socket.
        with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=1):
            pass
        self._acceptor.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                local, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._stopping:
                    local.close()
                    return
                self._open.add(local)
            threading.Thread(target=self._serve, args=(local,), daemon=True).start()

    def _serve(self, local: socket.socket) -> None:
        try:
            local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            remote = self._dial()
            try:
                _carry(local, remote)
            finally:
                remote.close(timeout=0)
        except (AfOtelError, websocket.WebSocketException, OSError) as error:
            _log.debug("%s:%s: %s", self._target, self._port, error)
        finally:
            with self._lock:
                self._open.discard(local)
            local.close()

    def _dial(self) -> websocket.WebSocket:
        """A stream to a pod that serves; to another one if the last is gone."""
        pod, port = self._end or self._resolve()
        try:
            stream = self._stream(pod, port)
        except AfOtelError:
            pod, port = self._resolve()
            stream = self._stream(pod, port)
        self._end = pod, port
        return stream

    def _stream(self, pod: str, port: int) -> websocket.WebSocket:
        query = [("ports", str(port))]
        return open_stream(
            self._link, self._namespace, pod, "portforward", query, "forward a port of"
        )

    def _resolve(self) -> tuple[str, int]:
        """The pod, and its port, that a connection ends at now."""
        kind, _, name = self._target.partition("/")
        if kind == "pod":
            return name, self._port
        service = self._cluster.get(Ref("v1", "Service", name, self._namespace))
        if service is None:
            raise NotFound(f"There is no Service `{name}` in `{self._namespace}`")
        labels = service["spec"].get("selector")
        if not labels:
            raise AfOtelError(
                f"Service `{name}` in `{self._namespace}` selects no pods", where="spec.selector"
            )
        ports = service["spec"].get("ports", [])
        chosen = next((each for each in ports if each["port"] == self._port), None)
        if chosen is None:
            known = ", ".join(f"{each['port']}" for each in ports)
            raise AfOtelError(
                f"Service `{name}` in `{self._namespace}` has no port {self._port}",
                where=f"it has {known or 'none'}",
            )
        pods = self._cluster.list("Pod", namespace=self._namespace, labels=labels)
        pod = next((each for each in pods if is_ready(each)), None)
        if pod is None:
            raise NotFound(
                f"No pod of Service `{name}` in `{self._namespace}` is ready",
                hint=f"`kubectl get pods -n {self._namespace}` shows them",
            )
        wanted = chosen.get("targetPort", self._port)
        return pod["metadata"]["name"], _number(pod, wanted)


def _number(pod: dict[str, Any], port: int | str) -> int:
    """A target port as a number; a name is one that the pod's containers gave."""
    if isinstance(port, int):
        return port
    for container in pod["spec"]["containers"]:
        for each in container.get("ports") or ():
            if each.get("name") == port:
                return int(each["containerPort"])
    raise AfOtelError(f"Pod `{pod['metadata']['name']}` has no port named `{port}`")


def _carry(local: socket.socket, remote: websocket.WebSocket) -> None:
    """Bytes both ways until either side ends.

    One thread for both: a TLS connection is not to be read and written at the same time.
    """
    assert remote.sock is not None
    said_port = {_DATA: False, _ERROR: False}  # a channel's first message is the port's number
    with selectors.DefaultSelector() as ready:
        ready.register(local, selectors.EVENT_READ)
        ready.register(remote.sock, selectors.EVENT_READ)
        while True:
            # What TLS has decrypted already no selector shows.
            pending = getattr(remote.sock, "pending", int)()
            events = {key.fileobj for key, _ in ready.select(0 if pending else None)}
            if pending or remote.sock in events:
                opcode, frame = remote.recv_data_frame(control_frame=True)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return
                if opcode == websocket.ABNF.OPCODE_BINARY and frame.data:
                    channel, data = frame.data[0], frame.data[1:]
                    if not said_port[channel]:
                        said_port[channel] = True
                    elif channel == _DATA:
                        local.sendall(data)
                    else:
                        raise AfOtelError(data.decode(errors="replace"))
            if local in events:
                data = local.recv(_CHUNK)
                if not data:
                    return
                remote.send_binary(bytes([_DATA]) + data)
