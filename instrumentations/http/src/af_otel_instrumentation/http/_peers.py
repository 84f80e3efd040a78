"""Whom a request is sent to: a role in the facility, and a template of the path.

Hosts are no labels: each user's server is one. Only what is known to be of the facility has a role
and is sent a context; everything else, such as a provider of identities, is `other`.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import NamedTuple
from urllib.parse import urlsplit

from af_otel_semconv.attributes import OTHER

PROXY = "proxy"
HUB = "hub"
SERVER = "server"

# The role of those whom this task sends requests to, while the hub's own code says so.
sending_to: ContextVar[str | None] = ContextVar("af_otel_sending_to", default=None)

# A server's or service's way to its hub, as JupyterHub sets it.
_HUB_URL = "JUPYTERHUB_API_URL"
_COLLECTIONS = frozenset(("users", "groups", "services", "servers", "shares", "share-codes"))
_WORDS = _COLLECTIONS | {
    "activity", "authorizations", "authorize", "info", "oauth2", "progress", "proxy", "server",
    "token", "tokens", "user",
}  # fmt: skip
_DEEPEST = 6


class Peer(NamedTuple):
    """A role, and a template of what is asked of it."""

    role: str
    template: str

    @property
    def in_facility(self) -> bool:
        """Return whether it may learn of our traces."""
        return self.role != OTHER


UNKNOWN = Peer(OTHER, OTHER)


def peer_of(url: str) -> Peer:
    """Return the peer that a request is sent to.

    Parameters
    ----------
    url
        The request's; with a credential in it, perhaps.
    """
    role = sending_to.get()
    if role == PROXY:
        routespec = urlsplit(url).path.partition("/api/routes")[2].strip("/")
        return Peer(PROXY, "/api/routes/{}" if routespec else "/api/routes")
    if role is not None:
        # What the hub waits for; a base URL with the user's name comes before it.
        return Peer(role, "/api" if urlsplit(url).path.rstrip("/").endswith("/api") else OTHER)
    api = os.environ.get(_HUB_URL)
    if not api:
        return UNKNOWN
    hub, asked = urlsplit(api), urlsplit(url)
    if (hub.scheme, hub.netloc) != (asked.scheme, asked.netloc):
        return UNKNOWN
    base = hub.path.rstrip("/")
    if asked.path != base and not asked.path.startswith(f"{base}/"):
        return Peer(HUB, OTHER)
    return Peer(HUB, "/hub/api" + _template(asked.path[len(base) :]))


def _template(path: str) -> str:
    """Return the path with all but the API's own words as `{}`; what follows is left out."""
    made = ""
    named = False
    for part in path.strip("/").split("/")[:_DEEPEST]:
        if not part:
            continue
        known = part in _WORDS and not named
        made += f"/{part}" if known else "/{}"
        named = known and part in _COLLECTIONS
    return made
