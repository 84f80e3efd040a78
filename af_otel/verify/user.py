"""A user who comes through the front door: the hub's pages, then the API of the user's server.

Nothing here knows a token. Each request carries what a browser's would: the cookies, and the XSRF
cookie's value again as a header.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_XSRF = "_xsrf"
_FORM_XSRF = re.compile(r'name="_xsrf"[^>]*?value="([^"]+)"')
_NAVIGATE = {
    # The hub hands out its XSRF cookie to pages only, and tells a page by these.
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "same-origin",
}
_REQUEST_TIMEOUT = 30  # s; a hub that spawns answers late
_STOP_TIMEOUT = 30  # s; a server that is still starting has to be waited for
_POLL = 0.1  # s


class User:
    """One browser of one user.

    Parameters
    ----------
    hub
        Where the facility's front door is, without `/hub`.
    """

    def __init__(self, hub: str, name: str, password: str) -> None:
        self.base = hub.rstrip("/")
        self.name = name
        self._password = password
        # Proxies are for the way out; the hub is near.
        self.http = httpx.Client(
            base_url=self.base, follow_redirects=True, timeout=_REQUEST_TIMEOUT, trust_env=False
        )
        self._hub_path = "/hub/"
        self.server_path = f"/user/{quote(name)}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def log_in(self) -> None:
        """Fill in the login form."""
        page = self._page("/hub/login")
        field = _FORM_XSRF.search(page.text)
        answer = self._ask(
            "POST",
            "/hub/login",
            # Not the default, which spawns. This page brings the XSRF cookie of who is logged in.
            params={"next": "/hub/home"},
            data={
                "username": self.name,
                "password": self._password,
                _XSRF: field[1] if field else "",
            },
            headers={**_NAVIGATE, "Referer": f"{self.base}/hub/login"},
        )
        if not answer.is_success or answer.url.path != "/hub/home":
            raise AfOtelError(
                f"The hub does not let `{self.name}` in",
                where=f"`{self.base}/hub/login` answered {answer.status_code}",
            )

    def spawn(self, timeout: float) -> None:
        """Ask for a server on the spawn page, watch its progress, and open the server."""
        if self.has_server():
            self.stop_server()
        page = self._page("/hub/spawn")
        if not page.is_success:
            raise AfOtelError(
                "The hub does not spawn a server", where=f"`/hub/spawn` answered {page.status_code}"
            )
        for event in self._progress(timeout):
            if event.get("failed"):
                raise AfOtelError(
                    "The spawn failed", where=f"the hub: {event.get('message', 'no reason given')}"
                )
            if event.get("ready"):
                break
        else:
            raise AfOtelError(
                f"The server was not ready after {timeout:.0f} s", where="the hub's spawn page"
            )
        # The server sends an unknown browser to the hub (OAuth), which sends it back.
        page = self._page(f"{self.server_path}lab")
        if not page.is_success or not page.url.path.startswith(self.server_path):
            raise AfOtelError(
                "The server is there, but does not let its user in",
                where=f"`{page.url.path}` answered {page.status_code}",
            )

    def _progress(self, timeout: float) -> Any:
        """What the hub says to the page on which a user waits, as long as `timeout` allows."""
        deadline = time.monotonic() + timeout
        path = f"/hub/api/users/{quote(self.name)}/server/progress"
        with (
            # The hub's own keepalives come every 8 s: silence beyond that is an end.
            contextlib.suppress(httpx.TimeoutException),
            self.http.stream(
                "GET", path, headers=self._headers(self._hub_path), timeout=min(timeout, 30)
            ) as events,
        ):
            for line in events.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))
                if time.monotonic() > deadline:
                    return

    def has_server(self) -> bool:
        """Whether a server of this user runs, or comes or goes."""
        answer = self.hub_api("GET", f"users/{quote(self.name)}")
        user = answer.json()
        return bool(user.get("server") or user.get("pending"))

    def stop_server(self) -> None:
        """Stop the server as the button on the hub's home page does; return when it is gone."""
        deadline = time.monotonic() + _STOP_TIMEOUT
        path = f"users/{quote(self.name)}/server"
        while self.has_server():
            # Refused while a spawn or a stop is pending; so it is asked for until it is done.
            self.hub_api("DELETE", path, allowed=(400,))
            if time.monotonic() > deadline:
                raise AfOtelError(
                    f"The server of `{self.name}` did not stop within {_STOP_TIMEOUT} s",
                    where=f"`{self.base}/hub/home`",
                    hint=f"stop it there by hand, logged in as `{self.name}`",
                )
            time.sleep(_POLL)

    def log_out(self) -> None:
        """Leave the hub."""
        self._page("/hub/logout")

    def hub_api(
        self, method: str, path: str, *, allowed: tuple[int, ...] = (), **options: Any
    ) -> httpx.Response:
        """What the hub's API answers to this user's browser."""
        return self._api(method, f"{self._hub_path}api/{path}", self._hub_path, allowed, options)

    def server_api(
        self, method: str, path: str, *, allowed: tuple[int, ...] = (), **options: Any
    ) -> httpx.Response:
        """What the API of the user's own server answers."""
        url = f"{self.server_path}api/{path}"
        return self._api(method, url, self.server_path, allowed, options)

    def _api(
        self, method: str, url: str, area: str, allowed: tuple[int, ...], options: dict[str, Any]
    ) -> httpx.Response:
        answer = self._ask(method, url, headers=self._headers(area), **options)
        if not answer.is_success and answer.status_code not in allowed:
            raise AfOtelError(
                f"`{method} {url}` was answered with {answer.status_code}",
                where=_message(answer),
            )
        return answer

    def _headers(self, area: str) -> dict[str, str]:
        return {
            "X-XSRFToken": self.xsrf(area),
            "Referer": f"{self.base}{area}",
            "Accept": "*/*",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Dest": "empty",
            "Sec-Fetch-Site": "same-origin",
        }

    def xsrf(self, area: str) -> str:
        """The XSRF cookie of the hub, or of the user's server."""
        return self.http.cookies.get(_XSRF, default="", path=area) or ""

    def cookies_for(self, path: str) -> str:
        """The Cookie header that a browser sends to `path`."""
        return str(self.http.build_request("GET", path).headers.get("Cookie", ""))

    def _page(self, path: str) -> httpx.Response:
        return self._ask("GET", path, headers=_NAVIGATE)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise AfOtelError(
                f"`{method} {path}` got no answer",
                where=f"{self.base}: {type(error).__name__} {error}".rstrip(),
            ) from error


def _message(answer: httpx.Response) -> str:
    """What an API says of its refusal, without the page around it."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(answer.json().get("message", ""))
    return " ".join(answer.text.split())[:200]
