"""HTTP by the standard library, over one connection that stays open."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry.exporter.http.transport._base import BaseHTTPResult, BaseHTTPTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

# Bytes of an answer that are read. A longer one ends its connection.
LONGEST = 64 * 1024
# Answers after which a request may be sent again: https://opentelemetry.io/docs/specs/otlp
_RETRYABLE = {429, 502, 503, 504}


@dataclass(frozen=True)
class StandardResult(BaseHTTPResult):
    """An answer, or the error that kept it away."""

    body: bytes = b""
    fields: Mapping[str, str] | None = None

    @property
    def is_refusal(self) -> bool:
        """Return whether the same request would be refused again."""
        return (self.status_code or 0) >= HTTPStatus.BAD_REQUEST and (
            self.status_code not in _RETRYABLE
        )

    @property
    def partial_success(self) -> str:
        """Return what an OTLP server says that it has not taken; else an empty string."""
        if b"partialSuccess" not in self.body:
            return ""
        try:
            told = self.json()["partialSuccess"]
            rejected = int(told.get("rejectedSpans") or told.get("rejectedDataPoints") or 0)
            return f"{rejected} rejected: {told.get('errorMessage', '')}" if rejected else ""
        except (ValueError, TypeError, KeyError, AttributeError):
            return ""

    def content(self) -> bytes:
        """Return the body, cut at `LONGEST`."""
        return self.body

    def headers(self) -> Mapping[str, str]:
        """Return the header fields; their names are in lower case."""
        return self.fields or {}


class StandardTransport(BaseHTTPTransport):
    """Sends requests of one thread, one after the other.

    It follows no redirection and uses no proxy: telemetry goes to the address that was set.

    Attributes
    ----------
    last
        What became of the last request.

    Parameters
    ----------
    verify
        Whether the server's certificate is verified, or the file with the authorities to do so by.
    cert
        File of the client's certificate, alone or with that of its key.
    """

    def __init__(
        self,
        *,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        **_options: Any,
    ) -> None:
        self._verify = verify
        self._cert = (cert, None) if isinstance(cert, str) else cert
        self._address: tuple[str, str] | None = None
        self._connection: http.client.HTTPConnection | None = None
        self.last: StandardResult = StandardResult()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        data: bytes | None = None,
    ) -> BaseHTTPResult:
        """Send a request and return the answer; never raises.

        Parameters
        ----------
        timeout
            Seconds that each step may take: to connect, to send, to receive.
        """
        try:
            self.last = self._request(method, url, headers or {}, timeout, data)
        except Exception as error:
            self.close()
            self.last = StandardResult(error=error)
        return self.last

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeout: float | None,
        data: bytes | None,
    ) -> StandardResult:
        parts = urlsplit(url)
        connection = self._connected(parts.scheme, parts.netloc.rpartition("@")[2], timeout)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request(method, target, body=data, headers=dict(headers))
        response = connection.getresponse()
        body = response.read(LONGEST)
        if not response.isclosed():
            self.close()
        return StandardResult(
            status_code=response.status,
            reason=response.reason,
            body=body,
            fields={name.lower(): value for name, value in response.getheaders()},
        )

    def _connected(
        self, scheme: str, netloc: str, timeout: float | None
    ) -> http.client.HTTPConnection:
        if self._connection is None or self._address != (scheme, netloc):
            self.close()
            self._address = scheme, netloc
            self._connection = (
                http.client.HTTPSConnection(netloc, context=self._context)
                if scheme == "https"
                else http.client.HTTPConnection(netloc)
            )
        connection = self._connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection

    @cached_property
    def _context(self) -> ssl.SSLContext:
        import ssl

        cafile = self._verify if isinstance(self._verify, str) else None
        context = ssl.create_default_context(cafile=cafile)
        if self._verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._cert:
            context.load_cert_chain(*self._cert)
        return context

    def is_connection_error(self, exception: Exception | None) -> bool:
        """Return whether the connection failed, so that a new one may succeed."""
        return isinstance(exception, (OSError, http.client.HTTPException))

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
