"""Who a session belongs to, told by a pseudonym that only this hub can make."""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from typing import Any

ENV_KEY = "AF_OTEL_USER_HASH_KEY"
# Separates our use of the cookie secret from the hub's; part of every stored pseudonym.
_LABEL = b"af-otel user.hash 1"
_DIGITS = 16


def new_session_id() -> str:
    """Return the name of one server's life, from spawn to stop."""
    return uuid.uuid4().hex


def user_hash(user: Any) -> str | None:
    """Return the user's pseudonym, the same after a restart; None without any secret to key it.

    `AF_OTEL_USER_HASH_KEY` keeps pseudonyms when the cookie secret is rotated, and makes them the
    same on several hubs.
    """
    key = _key(user.settings)
    if key is None:
        return None
    return hmac.new(key, user.name.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def _key(settings: dict[str, Any]) -> bytes | None:
    chosen = os.environ.get(ENV_KEY)
    if chosen:
        return chosen.encode()
    secret = settings.get("cookie_secret")
    if not secret:
        return None
    if isinstance(secret, str):
        secret = secret.encode()
    return hmac.new(secret, _LABEL, hashlib.sha256).digest()
