"""A real Jupyter Server with real kernels, driven over the websocket as a front end does."""

from __future__ import annotations

import contextlib
import itertools
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from pythons import HOSTS as PYTHON
from websockets.sync.client import ClientConnection, connect

from servers import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

V1 = "v1.kernel.websocket.jupyter.org"
LEGACY = ""
TIMEOUT = 60
CHANNELS = ("shell", "control", "stdin", "iopub")


@dataclass
class Jupyter(Server):
    url: str = ""
    token: str = ""

    def api(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(
            method,
            f"{self.url}/api/{path}",
            headers={"Authorization": f"token {self.token}"},
            json=body,
            timeout=TIMEOUT,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @contextlib.contextmanager
    def kernel(self, protocol: str = V1) -> Iterator[Kernel]:
        """A kernel and a front end that talks to it."""
        kernel_id = self.api("POST", "kernels", {"name": "python3"})["id"]
        with self.connection(kernel_id, protocol) as kernel:
            yield kernel

    @contextlib.contextmanager
    def connection(self, kernel_id: str, protocol: str = V1) -> Iterator[Kernel]:
        session = uuid.uuid4().hex
        url = f"{self.url.replace('http', 'ws', 1)}/api/kernels/{kernel_id}/channels"
        with connect(
            f"{url}?session_id={session}",
            # A hub's servers take no token from an address.
            additional_headers={"Authorization": f"token {self.token}"},
            subprotocols=[protocol] if protocol else None,
            open_timeout=TIMEOUT,
            max_size=None,
        ) as socket:
            assert (socket.subprotocol or "") == protocol
            yield Kernel(kernel_id, socket, protocol, session)


@dataclass
class Kernel:
    """A kernel as seen by one front end."""

    id: str
    socket: ClientConnection
    protocol: str
    session: str
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, code: str, *, subshell: str | None = None, **content: Any) -> str:
        """Ask for a cell to be run; return the request's id."""
        return self.send(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
                **content,
            },
            metadata={"cellId": "a-cell", "deletedCells": []},
            header={"subshell_id": subshell} if subshell else {},
        )

    def run(self, code: str, **content: Any) -> dict[str, Any]:
        """Run a cell and return the reply."""
        return self.reply(self.ask(code, **content))

    def text(self, code: str) -> str:
        """Run a cell and return what it printed."""
        request = self.ask(code)
        self.reply(request)
        self.read_until(
            lambda message: (
                message["header"]["msg_type"] == "status"
                and message["content"]["execution_state"] == "idle"
                and message["parent_header"].get("msg_id") == request
            )
        )
        return "".join(
            message["content"]["text"]
            for message in self.seen
            if message["header"]["msg_type"] == "stream"
            and message["parent_header"].get("msg_id") == request
        )

    def reply(self, request: str) -> dict[str, Any]:
        """Return the kernel's reply to a request."""
        while request not in self.replies:
            self.read()
        return self.replies[request]

    def read_until(self, enough: Any) -> None:
        while not any(enough(message) for message in self.seen):
            self.read()

    def read(self) -> dict[str, Any]:
        message = _decode(self.socket.recv(timeout=TIMEOUT))
        self.seen.append(message)
        if message["channel"] == "shell":
            self.replies[message["parent_header"]["msg_id"]] = message
        return message

    def send(
        self,
        kind: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        channel: str = "shell",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "session": self.session,
            "username": "",
            "date": "2026-01-01T00:00:00.000000Z",
            "version": "5.3",
            **(header or {}),
        }
        if self.protocol == V1:
            parts = [json.dumps(part).encode() for part in (header, {}, metadata or {}, content)]
            self.socket.send(_frame([channel.encode(), *parts]))
        else:
            message = {
                "channel": channel,
                "header": header,
                "parent_header": {},
                "metadata": metadata or {},
                "content": content,
                "buffers": [],
            }
            self.socket.send(json.dumps(message))
        return str(header["msg_id"])


def _frame(parts: list[bytes]) -> bytes:
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join(n.to_bytes(8, "little") for n in (len(offsets), *offsets)) + b"".join(parts)


def _decode(raw: str | bytes) -> dict[str, Any]:
    if isinstance(raw, str):
        message: dict[str, Any] = json.loads(raw)
        return message
    count = int.from_bytes(raw[:8], "little")
    offsets = [int.from_bytes(raw[8 * i : 8 * (i + 1)], "little") for i in range(1, count + 1)]
    parts = [raw[begin:end] for begin, end in itertools.pairwise(offsets)]
    names = ("header", "parent_header", "metadata", "content")
    decoded = {name: json.loads(part) for name, part in zip(names, parts[1:], strict=False)}
    return {"channel": parts[0].decode(), **decoded}


@contextlib.contextmanager
def running_jupyter(
    directory: Path,
    env: Mapping[str, str],
    *,
    wrapper: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Iterator[Jupyter]:
    """A server of this test alone, whose files are in `directory`; `wrapper` runs its command."""
    directory.mkdir(parents=True, exist_ok=True)
    port, token = free_port(), uuid.uuid4().hex
    home = {
        name: str(directory / name.lower())
        for name in ("HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    }
    for path in home.values():
        Path(path).mkdir(exist_ok=True)
    server = Jupyter(
        name="jupyter",
        command=[
            *wrapper,
            PYTHON,
            "-m",
            "jupyter_server",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={home['HOME']}",
            "--ServerApp.open_browser=False",
            "--ServerApp.allow_root=True",
            f"--IdentityProvider.token={token}",
            *options,
        ],
        env={"JUPYTER_NO_CONFIG": "1", **home, **env},
        directory=directory,
        ready_url=f"http://127.0.0.1:{port}/api",
        url=f"http://127.0.0.1:{port}",
        token=token,
    )
    try:
        server.start(timeout=TIMEOUT)
        yield server
    finally:
        server.stop()
