"""What must not leave the process, taken out of a span before it is exported.

Our own spans carry none of it; this is for what users' code and other instrumentations put on
theirs. The Collector looks again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REDACTED = "[redacted]"

# A key with one of these words in it names a secret whatever its value; exception texts and stack
# traces quote the user's source and data.
_SECRET_KEY = re.compile(
    r"(?:^|[._\-])(?:authorization|cookies?|set[_-]cookie|passw(?:or)?d|secrets?|tokens?|access[_-]?token"
    r"|api[_-]?key|apikey|credentials?|_?xsrf|oauth[._-](?:code|state))(?:$|[._\-])",
    re.IGNORECASE,
)
_TEXT_KEYS = frozenset({"exception.message", "exception.stacktrace"})
# Query parameters as JupyterHub's own log scrubs them (jupyterhub.log._scrub_uri), and OAuth's.
_QUERY = re.compile(
    r"((?:^|[?&;\s])(?:[\w.\-]*(?:token|auth|key|secret|passw(?:or)?d|signature)[\w.\-]*|code|state|_?xsrf|sig)=)"
    r"[^&#\s]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(bearer|token|basic)\s+[\w.~+/=\-]{8,}", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^/\s:@]*:[^/\s@]*@")


def scrub_text(text: str) -> str:
    """Return the text with every value that looks like a credential replaced."""
    if "=" in text:
        text = _QUERY.sub(rf"\1{REDACTED}", text)
    if " " in text:
        text = _SCHEME.sub(rf"\1 {REDACTED}", text)
    if "@" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    return text


def _scrub(attributes: Mapping[str, Any] | None, *, texts: bool) -> tuple[dict[str, Any], bool]:
    """Return attributes fit to leave, and whether anything was taken out."""
    clean: dict[str, Any] = {}
    changed = False
    for key, value in (attributes or {}).items():
        if _SECRET_KEY.search(key) or (not texts and key in _TEXT_KEYS):
            changed = True
            continue
        kept = value
        if isinstance(value, str):
            kept = scrub_text(value)
        elif isinstance(value, (tuple, list)) and any(isinstance(item, str) for item in value):
            kept = tuple(scrub_text(item) if isinstance(item, str) else item for item in value)
        changed = changed or kept != value
        clean[key] = kept
    return clean, changed


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


def _scrub_span(span: ReadableSpan, *, texts: bool) -> ReadableSpan:
    attributes, changed = _scrub(span.attributes, texts=texts)
    events = []
    for event in span.events:
        kept, dirty = _scrub(event.attributes, texts=texts)
        changed = changed or dirty
        events.append(Event(event.name, kept, event.timestamp) if dirty else event)
    status = span.status
    if status.description and not texts:
        # The SDK writes "ValueError: <the user's text>" here.
        status, changed = Status(status.status_code), True
    name = scrub_text(span.name)
    if not changed and name == span.name:
        return span
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
