"""A command in a container: a WebSocket whose messages say in their first byte what they are."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import websocket

from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import ApiError, Unreachable, from_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.kubernetes.connection import Connection

_OUT, _ERR, _END = 1, 2, 3  # channels


@dataclass(frozen=True)
class Output:
    """What a command wrote, and its exit code."""

    code: int
    out: str
    err: str


def open_stream(
    link: Connection,
    namespace: str,
    pod: str,
    subresource: str,
    query: Sequence[tuple[str, str]],
    verb: str,
) -> websocket.WebSocket:
    """A stream to a pod; a refusal is an error that says what to ask for."""
    try:
        return link.stream(f"/api/v1/namespaces/{namespace}/pods/{pod}/{subresource}", query)
    except websocket.WebSocketBadStatusException as error:
        raise from_answer(
            error.status_code,
            error.resp_body or b"",
            verb=verb,
            what=f"Pod `{pod}` in `{namespace}`",
            # GET, as WebSockets begin with one; `kubectl` asks by POST, so roles have `create`.
            rule={
                "apiGroups": [""],
                "resources": [f"pods/{subresource}"],
                "verbs": ["get", "create"],
            },
            namespace=namespace,
        ) from error


def run(
    link: Connection,
    namespace: str,
    pod: str,
    command: Sequence[str],
    container: str | None,
    timeout: float,
) -> Output:
    """Run `command` until it ends."""
    query = [("command", part) for part in command]
    query += [("stdout", "true"), ("stderr", "true"), ("stdin", "false"), ("tty", "false")]
    query += [("container", container)] if container else []
    deadline = time.monotonic() + timeout
    stream = open_stream(link, namespace, pod, "exec", query, "run a command in")
    written: dict[int, bytearray] = {_OUT: bytearray(), _ERR: bytearray(), _END: bytearray()}
    try:
        while True:
            stream.settimeout(max(0.01, deadline - time.monotonic()))
            opcode, frame = stream.recv_data_frame(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
            if opcode in {websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT} and frame.data:
                written.setdefault(frame.data[0], bytearray()).extend(frame.data[1:])
            if written[_END]:  # comes last, and whole
                break
    except websocket.WebSocketTimeoutException as error:
        raise AfOtelError(
            f"`{command[0]}` did not end in {timeout:g} s",
            where=f"Pod `{pod}` in `{namespace}`",
        ) from error
    except (websocket.WebSocketException, OSError) as error:
        raise Unreachable(
            f"The connection to Pod `{pod}` in `{namespace}` broke off",
            where=f"{type(error).__name__}: {error}",
        ) from error
    finally:
        stream.close(timeout=0)
    out, err = (written[channel].decode(errors="replace") for channel in (_OUT, _ERR))
    return Output(_code(bytes(written[_END]), f"Pod `{pod}` in `{namespace}`"), out, err)


def _code(status: bytes, where: str) -> int:
    """The exit code in what the API says at the end."""
    try:
        end: dict[str, Any] = json.loads(status)
    except ValueError:
        raise Unreachable(
            "The connection broke off before the command ended", where=where
        ) from None
    if end.get("status") == "Success":
        return 0
    for cause in end.get("details", {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ApiError("The command cannot be run", where=f"{where}: {end.get('message', '')}")
