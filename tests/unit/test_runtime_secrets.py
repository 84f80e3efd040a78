"""Secrets in a process's own spans, and what only resembles them."""

from __future__ import annotations

import re

import pytest
from af_otel_semconv import secrets
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext
from secret_forms import KEYS, ORDINARY, SPAN_KEYS, VALUES, secret

from af_otel.runtime import _privacy
from af_otel.runtime._sdk import PrivateSpanExporter


def exported(attributes, name="x"):
    """Return a span as it leaves the process; it has the attributes in each of its places."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(PrivateSpanExporter(memory, texts=False)))
    link = Link(SpanContext(1, 2, is_remote=False), attributes)
    span = provider.get_tracer("test").start_span(name, attributes=attributes, links=[link])
    span.add_event(name, attributes)
    span.end()
    (found,) = memory.get_finished_spans()
    return found


@pytest.mark.parametrize("form", VALUES)
def test_a_value_leaves_without_its_secret(form):
    """Of a span, an event and a link, in lists and in their names."""
    text = VALUES[form] % secret(1)
    span = exported({"note": text, "notes": ["x", text], "raw": text.encode()}, text)
    assert secret(1) not in span.to_json()
    assert span.attributes["notes"][0] == "x"


@pytest.mark.parametrize("key", [*KEYS, *SPAN_KEYS])
def test_a_key_of_a_secret_leaves_without_its_value(key):
    assert secret(1) not in exported({key: secret(1), "n": 1}).to_json()


@pytest.mark.parametrize("key", ORDINARY)
def test_what_only_resembles_a_secret_stays(key):
    """On a span, an event and a link, and as their names."""
    value = ORDINARY[key]
    span = exported({key: value}, str(value))
    assert span.name == span.events[0].name == str(value)
    for holder in (span, *span.events, *span.links):
        assert holder.attributes == {key: value}


def test_the_value_of_an_option_is_taken_out_of_arguments():
    """It is an item of its own there."""
    arguments = ("prog", "--api-token", secret(1), "--n", "1")
    span = exported({"command": arguments})
    assert span.attributes["command"] == ("prog", "--api-token", "[redacted]", "--n", "1")


def test_what_is_passed_as_harmless_has_no_form_of_a_secret():
    """Neither a form with a short secret in it, nor any of its beginnings and ends."""
    harmless = re.compile(secrets.HARMLESS, re.IGNORECASE | re.ASCII)
    for text in VALUES.values():
        whole = text % "a1b2c3"
        parts = {whole[:n] for n in range(len(whole))} | {whole[n:] for n in range(len(whole))}
        for part in filter(harmless.search, parts):
            assert not any(
                re.search(pattern, part, re.IGNORECASE | re.ASCII) for pattern in secrets.VALUES
            ), part


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "word", ["key", "token=", "passw", "://", "--a", "-a", "eyJ", "basic ", '"', "\\", 'token:"\\']
)
def test_a_long_text_is_searched_in_linear_time(word):
    """Otherwise it would hold the interpreter for minutes."""
    _privacy.scrub_text(word * 20_000)
