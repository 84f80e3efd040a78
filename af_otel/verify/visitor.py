"""What every synthetic user does at a hub, whichever way it is let in: spawn, work, stop."""

from __future__ import annotations

import abc
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

REQUEST_TIMEOUT = 30  # s; a hub that spawns answers late
_SILENCE = 30  # s; the hub's own keepalives come every 8 s: silence beyond that is an end
POLL = 0.1  # s


class Visitor(abc.ABC):
    """One user of one hub, and the way to their server.

    Parameters
    ----------
    hub
        Where the facility's front door is, without `/hub`.
    tls
        How its certificate is checked, where that is not as the system does.
    """

    stop_timeout = 30.0  # s; a server that is still starting has to be waited for

    def __init__(
        self, hub: str, name: str, base_url: str = "/", tls: ssl.SSLContext | None = None
    ) -> None:
        self.base = hub.rstrip("/")
        self.name = name
        self.tls = tls
        # Proxies are for the way out; the hub is near.
        self.http = httpx.Client(
            base_url=self.base,
            follow_redirects=True,
            timeout=REQUEST_TIMEOUT,
            trust_env=False,
            verify=tls or True,
        )
        self.hub_path = f"{base_url}hub/"
        self.server_path = f"{base_url}user/{quote(name)}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    @abc.abstractmethod
    def headers(self, area: str) -> dict[str, str]:
        """What lets a request of the API of `area` (the hub's or the server's path) in."""

    @abc.abstractmethod
    def websocket(self, path: str) -> tuple[dict[str, str], dict[str, str]]:
        """The headers and the query that open the websocket at `path`."""

    @abc.abstractmethod
    def _ask_for_server(self) -> None:
        """Wish for a server."""

    @abc.abstractmethod
    def _enter_server(self) -> None:
        """Come to the server that is there; an error if it does not let its user in."""

    def spawn(self, timeout: float) -> None:
        """Wish for a server, watch its progress, and enter it."""
        if self.has_server():
            self.stop_server()
        deadline = time.monotonic() + timeout
        self._ask_for_server()
        said = ""
        while True:
            for event in self._progress(deadline):
                said = str(event.get("message") or said)
                if event.get("failed"):
                    raise AfOtelError(
                        "The spawn failed", where=f"the hub: {said or 'no reason given'}"
                    )
                if event.get("ready"):
                    self._enter_server()
                    return
            if time.monotonic() > deadline:
                raise AfOtelError(
                    f"The server was not ready after {timeout:.0f} s",
                    where=f"the hub's last word: {said}" if said else "the hub's spawn page",
                )
            # The stream ended early, as behind a proxy with little patience: watch on.
            if not self.has_server():
                raise AfOtelError("The spawn failed", where=f"the hub: {said or 'no server'}")
            time.sleep(POLL)

    def _progress(self, deadline: float) -> Iterator[dict[str, Any]]:
        """What the hub says to the page on which a user waits, until then at most."""
        path = f"{self.hub_path}api/users/{quote(self.name)}/server/progress"
        patience = max(0.1, min(_SILENCE, deadline - time.monotonic()))
        with (
            contextlib.suppress(httpx.TransportError),
            self.http.stream(
                "GET", path, headers=self.headers(self.hub_path), timeout=patience
            ) as events,
        ):
            for line in events.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))
                if time.monotonic() > deadline:
                    return

    def has_server(self) -> bool:
        """Whether a server of this user runs, or comes or goes."""
        user = self.hub_api("GET", f"users/{quote(self.name)}").json()
        return bool(user.get("server") or user.get("pending"))

    def stop_server(self) -> None:
        """Stop the server as the button on the hub's home page does; return when it is gone."""
        deadline = time.monotonic() + self.stop_timeout
        path = f"users/{quote(self.name)}/server"
        while self.has_server():
            # Refused while a spawn or a stop is pending; so it is asked for until it is done.
            self.hub_api("DELETE", path, allowed=(400,))
            if time.monotonic() > deadline:
                raise AfOtelError(
                    f"The server of `{self.name}` did not stop within {self.stop_timeout:.0f} s",
                    where=f"`{self.base}{self.hub_path}home`",
                    hint=f"stop it there by hand, logged in as `{self.name}` or as an admin",
                )
            time.sleep(POLL)

    def hub_api(
        self, method: str, path: str, *, allowed: tuple[int, ...] = (), **options: Any
    ) -> httpx.Response:
        """What the hub's API answers to this user."""
        return self._api(method, f"{self.hub_path}api/{path}", self.hub_path, allowed, options)

    def server_api(
        self, method: str, path: str, *, allowed: tuple[int, ...] = (), **options: Any
    ) -> httpx.Response:
        """What the API of the user's own server answers."""
        url = f"{self.server_path}api/{path}"
        return self._api(method, url, self.server_path, allowed, options)

    def _api(
        self, method: str, url: str, area: str, allowed: tuple[int, ...], options: dict[str, Any]
    ) -> httpx.Response:
        answer = self._ask(method, url, headers=self.headers(area), **options)
        if not answer.is_success and answer.status_code not in allowed:
            raise AfOtelError(
                f"`{method} {url}` was answered with {answer.status_code}",
                where=message(answer),
            )
        return answer

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise AfOtelError(
                f"`{method} {path}` got no answer",
                where=f"{self.base}: {type(error).__name__} {error}".rstrip(),
            ) from error


def message(answer: httpx.Response) -> str:
    """What an API says of its refusal, without the page around it."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(answer.json().get("message") or "")
    return " ".join(answer.text.split())[:200]
