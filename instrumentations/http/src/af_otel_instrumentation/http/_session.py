"""The session that a request is part of, from a user's server to its hub.

The server has the session's id in its environment and names it along with the trace. The hub says
itself whose session that is.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes, carriers

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID = re.compile(rf"(?:^|,)\s*{re.escape(attributes.SESSION_ID)}=([0-9a-f]{{32}})\s*(?:[,;]|$)")


def session_of(baggage: str) -> str | None:
    """Return the session's id in a `baggage` header; None without one, or with one not of ours."""
    found = _ID.search(baggage)
    return found[1] if found else None


def session_named_by(headers: Any, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of the session that a request names, if this is its hub.

    Parameters
    ----------
    headers
        The request's.
    settings
        The application's; those of a hub know its sessions.
    """
    known = settings.get(carriers.TORNADO_SESSION)
    session = session_of(headers.get("baggage", "")) if known is not None else None
    if known is None or session is None:
        return {}
    found: dict[str, str] = known(session)
    return found


def own_session() -> dict[str, str]:
    """Return the `baggage` header with this process' session; empty for a process of many."""
    session = session_of(os.environ.get(carriers.ENV_BAGGAGE, ""))
    return {"baggage": f"{attributes.SESSION_ID}={session}"} if session else {}
