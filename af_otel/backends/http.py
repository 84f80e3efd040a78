"""GET requests to a server that answers JSON, with bounds on time and size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    import ssl

TIMEOUT = 10.0  # seconds for a whole answer; a query over a day of a local facility takes ms
MAX_ANSWER = 32_000_000  # bytes; Tempo's own limit for a trace is 5 MB
_EXCERPT = 300  # characters of an unexpected answer; a proxy's error page is longer

T = TypeVar("T")
Params = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Access:
    """What a server requires of its clients."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = None
    """None for the system's certificate authorities."""
    server_name: str = ""
    """Name in the server's certificate, if it is not the host of the address."""
    called: str = ""
    """Address to show to people, if the server is reached through another one."""


ANYBODY = Access()


class BackendError(AfOtelError):
    """A backend did not give the answer that was asked for."""

    def __init__(self, server: str, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.server = server


class NotReachable(BackendError):
    """No server answers at the address, or not in time."""


class Refused(BackendError):
    """The server answered, but not with what was asked for.

    `status` is the HTTP status code.
    """

    def __init__(
        self, server: str, what: str, *, status: int, where: str = "", hint: str = ""
    ) -> None:
        super().__init__(server, what, where=where, hint=hint)
        self.status = status


class TooLarge(Refused):
    """The answer is larger than `MAX_ANSWER`."""


@dataclass
class Api:
    """The HTTP API of a server called `server` (in errors) at `url`.

    May be used by several threads at once; they share its connections.
    """

    server: str
    url: str
    access: Access = ANYBODY
    timeout: float = TIMEOUT
    """Seconds within which an answer has to be complete."""

    @property
    def called(self) -> str:
        """The address to show to people."""
        return self.access.called or self.url

    @cached_property
    def _client(self) -> httpx.Client:
        # A proxy that is set for downloads does not know the servers of this machine or cluster.
        return httpx.Client(verify=self.access.tls or True, trust_env=False)

    def get(self, path: str, params: Params | None = None, *, read: Callable[[Any], T]) -> T:
        """Return what `read` makes of the JSON that answers a GET of `path`.

        Raises
        ------
        NotReachable
            There is no complete answer in time.
        Refused
            The answer is an error, larger than `MAX_ANSWER`, or not what `read` expects.
        """
        answer, body = self.fetch(path, params)
        if not answer.is_success:
            raise self._refused(path, answer, body, f"{self.server} answered {answer.status_code}")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            is_json = "json" in answer.headers.get("Content-Type", "")
            fault = (
                "with incomplete or invalid JSON" if is_json else "with something else than JSON"
            )
            raise self._refused(path, answer, body, f"{self.server} answered {fault}") from None
        try:
            return read(content)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            fault = "with JSON of an unexpected structure"
            raise self._refused(path, answer, body, f"{self.server} answered {fault}") from None

    def fetch(self, path: str, params: Params | None = None) -> tuple[httpx.Response, bytes]:
        """Return the response to a GET of `path`, whatever its status, and its whole body.

        Raises
        ------
        NotReachable
            There is no complete answer in time.
        TooLarge
            The answer is larger than `MAX_ANSWER`.
        """
        deadline = time.monotonic() + self.timeout
        try:
            with self._client.stream(
                "GET",
                self.url.rstrip("/") + path,
                params={key: str(value) for key, value in (params or {}).items()},
                headers={"Accept": "application/json", **self.access.headers},
                extensions=self._extensions(),
            ) as answer:
                body = bytearray()
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > MAX_ANSWER:
                        raise self._too_large(path, answer)
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the answer is not complete")
        except httpx.TimeoutException as error:
            raise NotReachable(
                self.server,
                f"{self.server} did not answer within {self.timeout:.3g} s",
                where=f"`{self.called}`, `{path}`",
                hint="it may be overloaded or still loading: try again, or ask for a shorter time",
            ) from error
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.DecodingError) as error:
            raise NotReachable(
                self.server,
                f"{self.server} broke off its answer",
                where=f"`{self.called}`, `{path}`: {error}".rstrip(": "),
                hint="try again; its log may say why",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NotReachable(
                self.server,
                f"{self.server} does not answer at `{self.called}`",
                where=f"{type(error).__name__}: {error}".rstrip(": "),
                hint="check that it is running: `af-otel status` shows the facility's servers",
            ) from error
        return answer, bytes(body)

    def _extensions(self) -> dict[str, Any]:
        made: dict[str, Any] = {"timeout": httpx.Timeout(self.timeout).as_dict()}
        if self.access.server_name:
            made["sni_hostname"] = self.access.server_name
        return made

    def _too_large(self, path: str, answer: httpx.Response) -> TooLarge:
        return TooLarge(
            self.server,
            f"{self.server} answered with more than {MAX_ANSWER / 1e6:.0f} MB",
            status=answer.status_code,
            where=f"`{self.called}`, `{path}`",
            hint="ask for a shorter time",
        )

    def _refused(self, path: str, answer: httpx.Response, body: bytes, what: str) -> Refused:
        said = _excerpt(body)
        return Refused(
            self.server,
            f"{what} to `{path}`",
            status=answer.status_code,
            where=f"{self.called}: {said}" if said else self.called,
            hint=f"is `{self.called}` the address of {self.server}'s HTTP API?"
            if answer.is_success or not said
            else "",
        )


def _excerpt(body: bytes) -> str:
    """Return the beginning of a body as one line without control characters."""
    text = " ".join(body[: 10 * _EXCERPT].decode(errors="replace").split())
    return "".join(filter(str.isprintable, text))[:_EXCERPT]
