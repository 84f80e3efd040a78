"""One GET with an answer in JSON, or an error that says which server refused what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 10  # seconds; a query over a day of a local facility takes milliseconds
_EXCERPT = 300  # characters of an unexpected answer; a proxy's error page is longer


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

    def __init__(self, what: str, *, status: int, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.status = status


def get_json(
    server: str, base: str, path: str, params: Mapping[str, str | int | float] | None = None
) -> Any:
    """What `server` (its name, for errors) at `base` answers to a GET of `path`."""
    url = base.rstrip("/") + path
    try:
        answer = httpx.get(
            url,
            params={key: str(value) for key, value in (params or {}).items()},
            timeout=TIMEOUT,
            headers={"Accept": "application/json"},
            # A proxy set for downloads does not know the servers of this machine or cluster.
            trust_env=False,
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
        f"{server} answered {answer.status_code} to `{path}`",
        status=answer.status_code,
        where=f"{base}: {said}" if said else base,
        hint=f"is `{base}` the address of {server}?" if answer.is_success or not said else "",
    )
