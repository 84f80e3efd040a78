"""What must not leave the process, taken out of a span before it is exported.

Our own spans carry none of it; this is for what users' code and other instrumentations put on
theirs. The Collector looks again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

REDACTED = "[redacted]"
# Characters of a span's or event's name, as the Collector cuts it, too.
LONGEST_NAME = 1024

# A key with one of these in it names a secret whatever its value, as in the Collector's
# configuration; exception texts and stack traces quote the user's source and data.
_SECRET_KEY = re.compile(
    r"token|cookie|authorization|passw|secret|credential|api[-_.]?key|private[-_.]?key|[cx]srf"
    r"|signature|(?:^|[._\-])oauth[._-](?:code|state)(?:$|[._\-])",
    re.IGNORECASE,
)
_TEXT_KEYS = frozenset({"exception.message", "exception.stacktrace"})
# Query parameters as JupyterHub's own log scrubs them (jupyterhub.log._scrub_uri), and OAuth's;
# also those of a URL that is a parameter itself, as in `next=`. Names are bounded, as a search that
# goes back over a long word at each `key` in it would hold the interpreter for seconds.
_QUERY = re.compile(
    r"((?:^|[?&;#\s\"']|%3F|%26|%23)"
    r"(?:[\w.\-]{0,48}(?:token|auth|key|secret|passw(?:or)?d|signature|credential|ticket)"
    r"[\w.\-]{0,48}"
    r"|code|state|_?xsrf|sig)(?:=|%3D))"
    r"(?:(?!%26)[^&#\s])+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(bearer|token|basic)\s+[\w.~+/=\-]{8,}", re.IGNORECASE)
# A header's line, or an entry of JSON or of a dict's text.
_ENTRY = re.compile(
    r"((?:token|authorization|cookie|secret|passw(?:or)?d|credentials?|(?:api|private)[_-]?key)"
    r"[\"']?\s*:\s*[\"']?(?:(?:bearer|token|basic)\s+)?)[^\n\"',}]+",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(://)[^/\s?#@]+@")
# What is a secret by itself: JSON Web Tokens, those of forges, keys.
_ALONE = re.compile(
    r"\beyJ[\w\-]{8,}\.[\w\-.]+|\b(?:gh[opsu]_|github_pat_|glpat-)[\w\-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    re.DOTALL,
)


def scrub_text(text: str) -> str:
    """Return the text with every value that looks like a credential replaced."""
    text = _ALONE.sub(REDACTED, text)
    if " " in text:
        text = _SCHEME.sub(rf"\1 {REDACTED}", text)
    if ":" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", _ENTRY.sub(rf"\1{REDACTED}", text))
    if "=" in text or "%3" in text:
        text = _QUERY.sub(rf"\1{REDACTED}", text)
    return text


def _scrub_value(value: Any, *, texts: bool) -> Any:
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        clean = scrub_text(text)
        return value if clean == text else clean
    if isinstance(value, (tuple, list)):
        return tuple(_scrub_value(item, texts=texts) for item in value)
    if isinstance(value, Mapping):
        return _scrub(value, texts=texts)[0]
    return value


def _scrub(attributes: Mapping[str, Any] | None, *, texts: bool) -> tuple[dict[str, Any], bool]:
    """Return attributes fit to leave, and whether anything was taken out."""
    clean: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        if not _SECRET_KEY.search(key) and (texts or key not in _TEXT_KEYS):
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
