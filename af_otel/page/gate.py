"""Who may read what a facility's servers on this machine show: its owner, in a browser or not."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path

# Whoever makes a browser resolve a name of theirs to this address must not read our answers.
HOSTS = {"127.0.0.1", "localhost", "[::1]"}
_OWN = {None, "same-origin", "none"}  # values of `Sec-Fetch-Site`; not every client sends it


class Headers(Protocol):
    """The headers of a request, whose names have no case."""

    def get(self, name: str, /) -> str | None:
        """Return the value of a header."""


class Refusal(NamedTuple):
    """The answer to a request that is not let in."""

    status: int
    what: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Gate:
    """The login of a facility's owner, and the token of the programs that scrape its metrics."""

    user: str
    password: str = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    def make(cls, user: str) -> Gate:
        """Return a gate that nobody can pass yet."""
        return cls(user, secrets.token_urlsafe(18), secrets.token_urlsafe(24))

    @classmethod
    def read(cls, directory: Path) -> Gate:
        """Return the gate that was written to a directory."""
        user, _, password = login_file(directory).read_text(encoding="utf-8").partition(":")
        return cls(user, password, token_file(directory).read_text(encoding="utf-8"))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a program that is let in."""
        return {"Authorization": f"Bearer {self.token}"}

    def refusal(self, headers: Headers) -> Refusal | None:
        """Return why a request must not be answered, or None if it may be."""
        host = headers.get("Host") or ""
        name, _, port = host.rpartition(":")
        # Without a port the whole is the name.
        if (name if port.isdecimal() else host) not in HOSTS:
            return Refusal(421, "This server is for browsers on its own machine", {})
        # The browser adds the login to whatever another site requests here. A link may lead here.
        linked = headers.get("Sec-Fetch-Dest") == "document"
        if headers.get("Sec-Fetch-Site") not in _OWN and not linked:
            return Refusal(403, "Other sites may not ask this server", {})
        if not self._knows(headers.get("Authorization") or ""):
            return Refusal(
                401,
                "This server is for the owner of its facility",
                {"WWW-Authenticate": 'Basic realm="af-otel", charset="UTF-8"'},
            )
        return None

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return secrets.compare_digest(given.encode(), self.token.encode())
        try:
            login = base64.b64decode(given, validate=True)
        except ValueError:
            return False
        expected = f"{self.user}:{self.password}".encode()
        return scheme.lower() == "basic" and secrets.compare_digest(login, expected)


def login_file(directory: Path) -> Path:
    """Return the file with user and password."""
    return directory / "login"


def token_file(directory: Path) -> Path:
    """Return the file with the token, as Prometheus' `credentials_file` has it."""
    return directory / "token"
