"""Kernel messages on the wire: what is a cell, and how it goes on to the kernel."""

from __future__ import annotations

import json

import pytest
from af_otel_instrumentation.jupyter_server import wire
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

LEGACY = ""
CELL = {"code": "1", "silent": False, "store_history": True}


def message(protocol, kind="execute_request", channel="shell", **content):
    """A message as a front end frames it."""
    body = {
        "header": {"msg_id": "a-request", "msg_type": kind, "session": "s"},
        "parent_header": {},
        "metadata": {"cellId": "c"},
        "content": {**CELL, **content},
    }
    if protocol == wire.V1:
        return serialize_msg_to_ws_v1(
            [json.dumps(part).encode() for part in body.values()], channel
        )
    return json.dumps({**body, "channel": channel, "buffers": []})


def metadata(raw, protocol):
    if protocol == wire.V1:
        return json.loads(deserialize_msg_from_ws_v1(raw)[1][2])
    return json.loads(raw)["metadata"]


@pytest.mark.parametrize("protocol", [wire.V1, LEGACY])
def test_a_cell_takes_its_context_along(protocol):
    """It is added to the front end's own metadata, and nothing else changes."""
    raw = message(protocol, code="print('é')")
    request = wire.cell_request(raw, protocol)
    assert request is not None
    assert request.message_id == "a-request"
    sent = request.with_metadata({"traceparent": "tp"})
    assert metadata(sent, protocol) == {"cellId": "c", "traceparent": "tp"}
    if protocol == wire.V1:
        before, after = deserialize_msg_from_ws_v1(raw), deserialize_msg_from_ws_v1(sent)
        del before[1][2], after[1][2]
        assert before == after
    else:
        before, after = json.loads(raw), json.loads(sent)
        del before["metadata"], after["metadata"]
        assert before == after


@pytest.mark.parametrize("protocol", [wire.V1, LEGACY])
@pytest.mark.parametrize(
    "what",
    [
        {"silent": True},
        {"store_history": False},
        {"code": ""},
        {"code": " \n\t"},
        {"kind": "complete_request"},
        {"kind": "complete_request", "code": "execute_request"},
        {"channel": "control"},
    ],
)
def test_what_no_person_runs_is_no_cell(protocol, what):
    """Front ends execute code of their own, and talk of much else."""
    assert wire.cell_request(message(protocol, **what), protocol) is None


def test_history_is_kept_unless_said_otherwise():
    """`store_history` may be missing: its default is the opposite of `silent`."""
    raw = json.loads(message(LEGACY))
    del raw["content"]["store_history"], raw["content"]["silent"], raw["channel"]
    assert wire.cell_request(json.dumps(raw), LEGACY) is not None


def test_messages_with_buffers_pass():
    """The old format frames them as bytes; no request to execute has any."""
    assert wire.cell_request(b"\x00\x00\x00\x01execute_request", LEGACY) is None


def frames(kind, content, **metadata):
    """A message as a kernel sends it, under a topic."""
    session = Session(key=b"secret")
    request = session.msg("execute_request", {"code": "1"})
    answer = session.msg(kind, content, parent=request, metadata=metadata)
    return request["msg_id"], [b"kernel.k." + kind.encode(), *session.serialize(answer)]


def test_a_reply_tells_how_the_cell_went():
    """Its begin by the kernel's clock, status and the exception's class."""
    request, raw = frames(
        "execute_reply",
        {"status": "error", "ename": "KeyError", "evalue": "secret"},
        started="2026-11-22T18:38:46.207262Z",
    )
    assert wire.cell_reply(raw) == wire.Reply(request, 1795372726207262000, "error", "KeyError")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("java.io.IOException", "java.io.IOException"),
        ("std::bad_alloc", "std::bad_alloc"),
        ("cannot open `/data/canary`", ""),
        ("canary\n", ""),
        ("x" * 101, ""),
        (["canary"], ""),
        (None, ""),
    ],
)
def test_what_a_kernel_calls_an_error_is_a_class_or_nothing(sent, told):
    """Kernels of other languages are free to send a text."""
    _, raw = frames("execute_reply", {"status": "error", "ename": sent})
    reply = wire.cell_reply(raw)
    assert reply is not None
    assert reply.error == told


@pytest.mark.parametrize(
    "started",
    [None, 5, "yesterday", "2026-11-22T18:38:46.207262123Z", "0001-01-01T00:00:00"],
)
def test_a_begin_that_cannot_be_read_is_none(started):
    """Other kernels leave it out, or have a clock of their own."""
    _, raw = frames("execute_reply", {"status": "ok"}, started=started)
    reply = wire.cell_reply(raw)
    assert reply is not None
    assert reply.status == "ok"


def test_other_replies_are_none():
    """The shell channel brings completions, too."""
    _, raw = frames("complete_reply", {"status": "ok"})
    assert wire.cell_reply(raw) is None


def test_the_echo_of_a_cell_is_its_begin():
    """Only the echo: an output that quotes the word is not."""
    request, raw = frames("execute_input", {"code": "1", "execution_count": 1})
    begin = wire.cell_begin(raw)
    assert begin is not None
    assert begin.request_id == request
    assert begin.started is not None
    _, raw = frames("stream", {"name": "stdout", "text": "execute_input"})
    assert wire.cell_begin(raw) is None
