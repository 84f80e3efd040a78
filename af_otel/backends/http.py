"""One GET with an answer in JSON, or an error that says which server refused what."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

TIMEOUT = 10  # seconds; a query over a day of a local facility takes milliseconds
_EXCERPT = 300  # characters of an unexpected answer; a proxy's error page is longer


@dataclass(frozen=True)
class Access:
    """What a server asks of those who ask it."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = None  # None: as the system has it
    server_name: str = ""  # in its certificate, where that is not the address' host
    called: str = ""  # its address to people, where it is reached by another


ANYBODY = Access()


class NotReachable(AfOtelError):
    """No server answers at the address."""

    def __init__(self, server: str, base: str, error: Exception) -> None:
        super().__init__(
            f"{server} does not answer at `{base}`",
            where=f"{type(error).__name__}: {error}".rstrip(": "),
            hint="is the facility up? `af-otel status` says; `af-otel up` starts one",
        )
        self.server = server


class Refused(AfOtelError):
    """The server answered, and not with what was asked for."""

    def __init__(
        self, server: str, what: str, *, status: int, where: str = "", hint: str = ""
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.server = server
        self.status = status


def new_client(access: Access = ANYBODY) -> httpx.Client:
    """A client for `get_json`; to make one takes longer than most answers."""
    # A proxy set for downloads does not know the servers of this machine or cluster.
    return httpx.Client(timeout=TIMEOUT, verify=access.tls or True, trust_env=False)


def get_json(
    server: str,
    base: str,
    path: str,
    params: Mapping[str, str | int | float] | None = None,
    access: Access = ANYBODY,
    client: httpx.Client | None = None,
) -> Any:
    """What `server` (its name, for errors) at `base` answers to a GET of `path`.

    `client` is one that its caller goes on to use; without it one is made.
    """
    url = base.rstrip("/") + path
    base = access.called or base
    try:
        with contextlib.nullcontext(client) if client else new_client(access) as asking:
            answer = asking.get(
                url,
                params={key: str(value) for key, value in (params or {}).items()},
                headers={"Accept": "application/json", **access.headers},
                extensions={"sni_hostname": access.server_name} if access.server_name else {},
            )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotReachable(server, base, error) from error
    if answer.is_success:
        try:
            return answer.json()
        except ValueError:
            pass
    said = " ".join(answer.text.split())[:_EXCERPT]
    raise Refused(
        server,
        f"{server} answered {answer.status_code} to `{path}`",
        status=answer.status_code,
        where=f"{base}: {said}" if said else base,
        hint=f"is `{base}` the address of {server}?" if answer.is_success or not said else "",
    )
