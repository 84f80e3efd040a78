"""A user who comes with a token, as programs do: the hub's API, then the user's server's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from af_otel.errors import AfOtelError
from af_otel.verify.visitor import POLL, Visitor, message

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    import httpx

_BAD, _UNKNOWN, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _FAILED = 400, 401, 403, 404, 409, 500
_HUB_STARTS = 90  # s; with a big database


class Caller(Visitor):
    """A user, spoken for by whoever has the token.

    Parameters
    ----------
    options
        What the spawn form would be filled in with; by default nothing, so that the hub's own
        defaults hold.
    """

    stop_timeout = 90.0  # s; a pod has 30 s to end by default

    def __init__(
        self,
        hub: str,
        name: str,
        token: str,
        base_url: str = "/",
        options: Mapping[str, Any] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(hub, name, base_url, tls)
        self._token = token
        # For the clean-up: wait for a hub that starts anew, and if it has forgotten the token, make
        # another.
        self.persists = False
        self.renew: Callable[[], str] | None = None
        self._options = dict(options or {})

    def who(self) -> dict[str, Any]:
        """The hub's model of whom the token belongs to."""
        answer = self._ask("GET", f"{self.hub_path}api/user", headers=self.headers(""))
        if answer.status_code in {_UNKNOWN, _FORBIDDEN}:
            raise AfOtelError(
                "The hub does not know the token",
                where=f"`{self.hub_path}api/user` answered {answer.status_code}: {message(answer)}",
                hint="is it of this hub, and not expired? Without AF_OTEL_HUB_TOKEN, "
                "`af-otel verify` makes one",
            )
        if not answer.is_success or "kind" not in answer.text:
            raise AfOtelError(
                "No hub answers at the front door",
                where=f"`{self.hub_path}api/user` answered {answer.status_code}",
                hint="are `hub.proxy` and `hub.base_url` of the facility's file right?",
            )
        model: dict[str, Any] = answer.json()
        return model

    def become(self, name: str) -> None:
        """Be another user: the one whom the token belongs to."""
        self.server_path = self.server_path.replace(quote(self.name), quote(name))
        self.name = name

    def exists(self) -> bool:
        """Whether the hub has this user."""
        answer = self.hub_api("GET", f"users/{quote(self.name)}", allowed=(_NOT_FOUND, _FORBIDDEN))
        return answer.is_success

    def create(self) -> None:
        """Make this user, who must not be there."""
        path = f"users/{quote(self.name)}"
        answer = self.hub_api("POST", path, allowed=(_BAD, _FORBIDDEN, _CONFLICT))
        if not answer.is_success:
            raise AfOtelError(
                f"The hub does not let a user `{self.name}` be made",
                where=f"it answered {answer.status_code}: {message(answer)}",
                hint="its authenticator may know its own users only: then give "
                "AF_OTEL_HUB_TOKEN a token of a user who may log in and has no server running",
            )

    def remove(self) -> None:
        """Have the hub forget this user, and what its spawner keeps for them."""
        deadline = time.monotonic() + self.stop_timeout
        path = f"users/{quote(self.name)}"
        while not (gone := self.hub_api("DELETE", path, allowed=(_BAD, _NOT_FOUND))).is_success:
            if gone.status_code == _NOT_FOUND:
                return
            # Its server is still stopping.
            if time.monotonic() > deadline:
                raise AfOtelError(
                    f"The hub does not remove the user `{self.name}`",
                    where=f"it answered {gone.status_code}: {message(gone)}",
                )
            time.sleep(POLL)

    def headers(self, area: str) -> dict[str, str]:  # noqa: ARG002
        """The token; it needs no XSRF cookie."""
        return {"Authorization": f"token {self._token}", "Accept": "*/*"}

    def websocket(self, path: str) -> tuple[dict[str, str], dict[str, str]]:
        """The token again."""
        return self.headers(path), {}

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        if not self.persists:
            return super()._ask(method, path, **options)
        deadline = time.monotonic() + _HUB_STARTS
        while True:
            try:
                answer = super()._ask(method, path, **options)
            except AfOtelError:
                if time.monotonic() > deadline:
                    raise
            else:
                known = answer.status_code not in {_UNKNOWN, _FORBIDDEN}
                # Without a hub behind it, the proxy says 503.
                if answer.status_code < _FAILED or time.monotonic() > deadline:
                    if known or self.renew is None or not path.startswith(self.hub_path):
                        return answer
                    self._token, self.renew = self.renew(), None
                    options["headers"] = self.headers(path)
                    continue
            time.sleep(1)

    def _ask_for_server(self) -> None:
        path = f"users/{quote(self.name)}/server"
        answer = self._ask(
            "POST",
            f"{self.hub_path}api/{path}",
            headers=self.headers(self.hub_path),
            json=self._options,
            # A hub that is asked to wait until the server is there does so for 10 s by default.
            timeout=120,
        )
        if not answer.is_success:
            raise AfOtelError(
                "The hub does not spawn a server",
                where=f"it answered {answer.status_code}: {message(answer)}",
                hint="does its spawn form ask for something? Say it with `--profile NAME` or "
                "`--option NAME=VALUE`"
                if answer.status_code == _BAD and not self._options
                else "",
            )

    def _enter_server(self) -> None:
        answer = self._ask(
            "GET", f"{self.server_path}api/status", headers=self.headers(self.server_path)
        )
        if not answer.is_success:
            raise AfOtelError(
                "The server is there, but does not let its user in",
                where=f"`{self.server_path}api/status` answered {answer.status_code}: "
                f"{message(answer)}",
            )
