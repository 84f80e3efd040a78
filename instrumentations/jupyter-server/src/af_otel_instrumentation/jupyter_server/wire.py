"""The two formats of kernel messages on the websocket, and the one on ZeroMQ: as little as needed.

Every message of a session passes here, widgets' and plots' included: all but requests to execute
and their replies are let go after a look at a few bytes.
"""

from __future__ import annotations

import json
import re
import struct
from datetime import datetime
from typing import Any, NamedTuple

from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

V1 = "v1.kernel.websocket.jupyter.org"
_DELIMITER = b"<IDS|MSG>"
_FIRST_OFFSETS = struct.Struct("<QQQQ")  # their number; channel, header and what follows it
_HEADER, _PARENT, _METADATA, _CONTENT = range(4)
# As any language may have it: `KeyError`, `java.io.IOException`, `std::bad_alloc`.
_CLASS = re.compile(r"[^\W\d][\w.:$]{0,99}")


class Request(NamedTuple):
    """A cell that a person wants to be run."""

    message_id: str
    message: list[bytes] | dict[str, Any]

    def with_metadata(self, carrier: dict[str, str]) -> str | bytes:
        """Return the message for the wire with `carrier` in its metadata."""
        message = self.message
        if isinstance(message, dict):
            message["metadata"] = {**(message.get("metadata") or {}), **carrier}
            return json.dumps(message)
        metadata = json.loads(message[_METADATA]) or {}
        message[_METADATA] = json.dumps({**metadata, **carrier}).encode()
        framed: bytes = serialize_msg_to_ws_v1(message, "shell")
        return framed


def cell_request(message: str | bytes, protocol: str | None) -> Request | None:
    """Return the request if `message`, as the websocket brought it, runs a person's cell."""
    if protocol == V1:
        assert isinstance(message, bytes)
        _, channel_at, header_at, header_end = _FIRST_OFFSETS.unpack_from(message)
        if b"execute_request" not in message[header_at:header_end]:
            return None
        if message[channel_at:header_at] != b"shell":
            return None
        _, parts = deserialize_msg_from_ws_v1(message)
        header, content = json.loads(parts[_HEADER]), json.loads(parts[_CONTENT])
        return Request(header["msg_id"], parts) if _is_cell(header, content) else None
    # Binary messages of the old format carry buffers, which no request to execute has.
    if not isinstance(message, str) or "execute_request" not in message:
        return None
    parsed = json.loads(message)
    header = parsed["header"]
    if (parsed.get("channel") or "shell") != "shell" or not _is_cell(header, parsed["content"]):
        return None
    return Request(header["msg_id"], parsed)


def _is_cell(header: dict[str, Any], content: dict[str, Any]) -> bool:
    """Whether a person's code runs: not a front end's own, nor nothing at all."""
    silent = content.get("silent", False)
    return (
        header["msg_type"] == "execute_request"
        and not silent
        and bool(content.get("store_history", True))
        and not content["code"].isspace()
        and content["code"] != ""
    )


class Reply(NamedTuple):
    """What a kernel says of a request to execute."""

    request_id: str
    started: int | None  # nanoseconds since the epoch, by the kernel's clock
    status: str = ""
    error: str = ""  # the exception's class; what a kernel calls it may be a text


def cell_begin(frames: list[bytes]) -> Reply | None:
    """Return which cell begins, if these frames of the iopub channel say so."""
    # The topic is the kernel's choice; without it the reply tells the same, later.
    if not frames[0].endswith(b"execute_input"):
        return None
    parts = _parts(frames)
    return Reply(
        request_id=json.loads(parts[_PARENT])["msg_id"],
        started=_time(json.loads(parts[_HEADER]).get("date")),
    )


def cell_reply(frames: list[bytes]) -> Reply | None:
    """Return how a cell ended, if these frames of the shell channel say so."""
    parts = _parts(frames)
    if b"execute_reply" not in parts[_HEADER]:
        return None
    content = json.loads(parts[_CONTENT])
    error = content.get("ename")
    return Reply(
        request_id=json.loads(parts[_PARENT])["msg_id"],
        started=_time(json.loads(parts[_METADATA]).get("started")),
        status=content.get("status", ""),
        error=error if isinstance(error, str) and _CLASS.fullmatch(error) else "",
    )


def _parts(frames: list[bytes]) -> list[bytes]:
    """Return header, parent header, metadata and content: they follow the signature."""
    return frames[frames.index(_DELIMITER) + 2 :]


def _time(text: object) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        # Python before 3.11 reads no Z.
        seconds = datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):  # also for the year 1, some languages' zero
        return None
    return int(seconds * 1e6) * 1000
