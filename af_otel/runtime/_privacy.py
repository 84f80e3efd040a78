"""What must not leave the process, taken out of a span before it is exported.

Our own spans carry none of it; this is for what users' code and other instrumentations put on
theirs. The Collector looks again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from af_otel_semconv import secrets
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REDACTED = "[redacted]"
# Characters of a span's or event's name, as the Collector cuts it, too.
LONGEST_NAME = 1024
_LONGEST_KEY = 1024

# Exceptions' texts and stack traces quote the user's source and data.
_TEXT_KEYS = frozenset({"exception.message", "exception.stacktrace"})


def _compile(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{each})" for each in patterns), re.IGNORECASE | re.ASCII)


_VALUES = tuple(_compile(each) for each in secrets.VALUES)
_HARMLESS = _compile(secrets.HARMLESS)
_KEYS = _compile(*secrets.KEYS, *secrets.SPAN_KEYS)
_STATE = _compile(secrets.STATE)
_OPTION = _compile(secrets.OPTION)


def scrub_text(text: str) -> str:
    """Return the text with every value that looks like a credential replaced."""
    if not _HARMLESS.search(text):
        for pattern in _VALUES:
            text = pattern.sub(_redacted, text)
    return text


def _redacted(found: re.Match[str]) -> str:
    before, *after = found.groups(default="")
    return f"{before}{REDACTED}{''.join(after)}"


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    """Return whether what has this key is a secret, whatever it looks like."""
    return bool(_KEYS.search(key[:_LONGEST_KEY]))


def _scrub_value(value: Any, *, texts: bool) -> Any:
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        clean = scrub_text(text)
        return value if clean == text else clean
    if isinstance(value, (tuple, list)):
        return tuple(_scrub_items(value, texts=texts))
    if isinstance(value, Mapping):
        return _scrub(value, texts=texts)[0]
    return value


def _scrub_items(items: Sequence[Any], *, texts: bool) -> Iterator[Any]:
    """Yield a list's items; one that follows `--token` or the like is its value."""
    follows = False
    for item in items:
        yield REDACTED if follows else _scrub_value(item, texts=texts)
        follows = isinstance(item, str) and _OPTION.fullmatch(item) is not None


def _scrub(attributes: Mapping[str, Any] | None, *, texts: bool) -> tuple[dict[str, Any], bool]:
    """Return attributes fit to leave, and whether anything was taken out."""
    clean: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        if _is_secret(key) or (key in _TEXT_KEYS and not texts):
            continue
        if key in secrets.STATE_KEYS and not _STATE.search(str(value)):
            continue
        clean[key] = _scrub_value(value, texts=texts)
    return clean, clean != (attributes or {})


def scrub(spans: Sequence[ReadableSpan], *, texts: bool = False) -> list[ReadableSpan]:
    """Return the spans without secrets.

    Parameters
    ----------
    spans
        Ended spans; those that hold nothing to hide are returned as they are.
    texts
        Keep exceptions' messages and stack traces, and the texts of span statuses.
    """
    return [_scrub_span(span, texts=texts) for span in spans]


def _scrub_event(event: Event, *, texts: bool) -> Event:
    attributes, changed = _scrub(event.attributes, texts=texts)
    name = scrub_text(event.name[:LONGEST_NAME])
    if not changed and name == event.name:
        return event
    return Event(name, attributes, event.timestamp)


def _scrub_link(link: Link, *, texts: bool) -> Link:
    attributes, changed = _scrub(link.attributes, texts=texts)
    return Link(link.context, attributes) if changed else link


def _scrub_span(span: ReadableSpan, *, texts: bool) -> ReadableSpan:
    attributes, changed = _scrub(span.attributes, texts=texts)
    events = [_scrub_event(event, texts=texts) for event in span.events]
    links = [_scrub_link(link, texts=texts) for link in span.links]
    changed = changed or events != list(span.events) or links != list(span.links)
    status = span.status
    if status.description and not texts:
        # The SDK writes "ValueError: <the user's text>" here.
        status, changed = Status(status.status_code), True
    name = scrub_text(span.name[:LONGEST_NAME])
    if not changed and name == span.name:
        return span
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
