"""A kernel of the user's server, over the websocket that notebooks use."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from af_otel.verify.visitor import Visitor

_MAX_MESSAGE = 64 * 2**20  # bytes; a notebook's plots are some 100 kB each
_HANDSHAKE = 60  # s; the server waits for the kernel before it accepts


@dataclass
class Outcome:
    """What a cell did."""

    status: str  # ok, error or aborted, as the kernel says
    text: str = ""  # of its output streams
    error: str = ""  # class of the exception, then its text
    values: dict[str, str] = field(default_factory=dict)  # of the expressions asked for


class Kernel:
    """A notebook session of `user`'s server with its kernel, and the connection to it.

    Parameters
    ----------
    name
        Of its kernelspec; by default the server's default, if that is Python, else a Python.
    """

    def __init__(self, user: Visitor, path: str, name: str = "") -> None:
        self._user = user
        self.name = name or _python(user)
        session = user.server_api(
            "POST",
            "sessions",
            json={
                "path": path,
                "name": path.rpartition("/")[2],
                "type": "notebook",
                "kernel": {"name": self.name},
            },
        ).json()
        self.id: str = session["kernel"]["id"]
        self._session_id: str = session["id"]
        self._client = uuid4().hex
        channels = f"{user.server_path}api/kernels/{self.id}/channels"
        headers, query = user.websocket(channels)
        address = user.base.replace("http", "ws", 1) + channels
        address += "?" + urlencode({"session_id": self._client, **query})
        self._open = contextlib.ExitStack()
        try:
            self._socket = self._open.enter_context(
                connect(
                    address,
                    additional_headers={**headers, "Origin": user.base},
                    max_size=_MAX_MESSAGE,
                    open_timeout=_HANDSHAKE,
                    proxy=None,
                    ssl=user.tls,
                )
            )
        except (WebSocketException, OSError) as error:
            raise AfOtelError(
                "The kernel's websocket does not open", where=f"`{channels}`: {error}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def shut_down(self) -> None:
        """End the notebook session and its kernel, as "Shut Down" does."""
        self._user.server_api("DELETE", f"sessions/{self._session_id}", allowed=(404,))

    def ask(self, timeout: float, **expressions: str) -> dict[str, str]:
        """The values (`repr`) of expressions, asked the way a front end does: no cell is run."""
        content = {"code": "", "silent": True, "store_history": False}
        return self._execute({**content, "user_expressions": expressions}, timeout).values

    def run(self, code: str, timeout: float) -> Outcome:
        """Run a cell and wait for its end."""
        return self._execute({"code": code, "silent": False, "store_history": True}, timeout)

    def _execute(self, content: dict[str, Any], timeout: float) -> Outcome:
        request = self._send(
            "execute_request", {"user_expressions": {}, "allow_stdin": False, **content}
        )
        outcome, idle, deadline = Outcome(""), False, time.monotonic() + timeout
        # The reply and the outputs come on two channels: it is over when both have said so.
        while not (outcome.status and idle):
            message = self._receive(deadline, timeout)
            if (message.get("parent_header") or {}).get("msg_id") != request:
                continue
            kind, said = message["header"]["msg_type"], message["content"]
            if kind == "execute_reply":
                outcome.status = said["status"]
                outcome.values = {
                    name: value.get("data", {}).get("text/plain", "")
                    for name, value in (said.get("user_expressions") or {}).items()
                }
                if said["status"] == "error":
                    outcome.error = f"{said.get('ename')}: {said.get('evalue')}"
            elif kind == "stream":
                outcome.text += said["text"] if said["name"] == "stdout" else ""
            elif kind == "status":
                idle = idle or said["execution_state"] == "idle"
        return outcome

    def _send(self, kind: str, content: dict[str, Any]) -> str:
        message_id = uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": kind,
            "session": self._client,
            "username": "",
            "version": "5.3",
            "date": datetime.now(timezone.utc).isoformat(),
        }
        message = {
            "channel": "shell",
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        try:
            self._socket.send(json.dumps(message))
        except (WebSocketException, OSError) as error:
            raise self._lost(error) from error
        return message_id

    def _receive(self, deadline: float, timeout: float) -> dict[str, Any]:
        while True:
            try:
                message = self._socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise AfOtelError(
                    f"A cell did not end within {timeout:.0f} s", where=f"kernel `{self.id}`"
                ) from error
            except (WebSocketException, OSError) as error:
                raise self._lost(error) from error
            # Binary ones carry the buffers of widgets, which tell nothing of a cell's end.
            with contextlib.suppress(ValueError):
                if isinstance(message, str):
                    parsed: dict[str, Any] = json.loads(message)
                    return parsed

    def _lost(self, error: Exception) -> AfOtelError:
        return AfOtelError(
            "The connection to the kernel is lost", where=f"kernel `{self.id}`: {error}"
        )


def _python(user: Visitor) -> str:
    """The kernelspec that a new notebook would have, or the first of Python."""
    known = user.server_api("GET", "kernelspecs").json()
    specs = {name: spec["spec"] for name, spec in known["kernelspecs"].items()}
    for name in [known["default"], *sorted(specs)]:
        if str(specs.get(name, {}).get("language", "")).lower() == "python":
            return str(name)
    raise AfOtelError(
        "The user's server has no kernel for Python",
        where=", ".join(f"`{name}`" for name in sorted(specs)) or "it has no kernels",
        hint="does the users' image have `ipykernel`?",
    )
