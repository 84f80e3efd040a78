"""A user who comes through the front door: the hub's pages, then the API of the user's server.

Nothing here knows a token. Each request carries what a browser's would: the cookies, and the XSRF
cookie's value again as a header.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from af_otel.verify.visitor import Visitor

if TYPE_CHECKING:
    import httpx

_XSRF = "_xsrf"
_FORM_XSRF = re.compile(r'name="_xsrf"[^>]*?value="([^"]+)"')
_NAVIGATE = {
    # The hub hands out its XSRF cookie to pages only, and tells a page by these.
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "same-origin",
}


class User(Visitor):
    """One browser of one user."""

    def __init__(self, hub: str, name: str, password: str) -> None:
        super().__init__(hub, name)
        self._password = password

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

    def log_out(self) -> None:
        """Leave the hub."""
        self._page("/hub/logout")

    def _ask_for_server(self) -> None:
        page = self._page("/hub/spawn")
        if not page.is_success:
            raise AfOtelError(
                "The hub does not spawn a server", where=f"`/hub/spawn` answered {page.status_code}"
            )

    def _enter_server(self) -> None:
        # The server sends an unknown browser to the hub (OAuth), which sends it back.
        page = self._page(f"{self.server_path}lab")
        if not page.is_success or not page.url.path.startswith(self.server_path):
            raise AfOtelError(
                "The server is there, but does not let its user in",
                where=f"`{page.url.path}` answered {page.status_code}",
            )

    def headers(self, area: str) -> dict[str, str]:
        """What a page's script sends along."""
        return {
            "X-XSRFToken": self._xsrf(area),
            "Referer": f"{self.base}{area}",
            "Accept": "*/*",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Dest": "empty",
            "Sec-Fetch-Site": "same-origin",
        }

    def websocket(self, path: str) -> tuple[dict[str, str], dict[str, str]]:
        """The cookies that a browser sends to `path`, and the server's XSRF cookie."""
        cookies = str(self.http.build_request("GET", path).headers.get("Cookie", ""))
        return {"Cookie": cookies}, {_XSRF: self._xsrf(self.server_path)}

    def _xsrf(self, area: str) -> str:
        """The XSRF cookie of the hub, or of the user's server."""
        return self.http.cookies.get(_XSRF, default="", path=area) or ""

    def _page(self, path: str) -> httpx.Response:
        return self._ask("GET", path, headers=_NAVIGATE)
