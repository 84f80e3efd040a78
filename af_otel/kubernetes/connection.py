"""The way to a cluster's API: a kubeconfig's addresses and credentials, requests and streams.

The `kubernetes` package reads the kubeconfig and keeps its tokens fresh (exec plug-ins, OIDC);
the requests are ours, as objects are plain dicts here and every failure is to be one sentence.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx
import websocket
from kubernetes import client, config
from kubernetes.client.rest import should_bypass_proxies

from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONNECT_TIMEOUT = 10  # seconds
READ_TIMEOUT = 60  # seconds; an API server under load, or a slow admission webhook
_SUBPROTOCOL = "v4.channel.k8s.io"

Query = "Sequence[tuple[str, str]]"


class _Configuration(Protocol):
    """What is read of `kubernetes.client.Configuration`, which has no types."""

    host: str
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    verify_ssl: bool
    tls_server_name: str | None
    proxy: str | None

    def auth_settings(self) -> dict[str, dict[str, str]]: ...


class Connection:
    """Requests to one API server; threads may share it."""

    def __init__(self, configuration: _Configuration) -> None:
        self._configuration = configuration
        self.host = configuration.host.rstrip("/")
        self._tls = _tls(configuration)
        self._server_name = configuration.tls_server_name
        self._http = httpx.Client(
            verify=self._tls,
            proxy=configuration.proxy,
            trust_env=False,  # `connect` has looked there
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_connections=None),
        )

    def close(self) -> None:
        """Let go of what is open."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """The answer, whatever its status.

        Raises
        ------
        Unreachable
            There was none.
        """
        extensions = {"sni_hostname": self._server_name} if self._server_name else {}
        request = self._http.build_request(
            method,
            self.host + path,
            params=list(query),
            content=content,
            headers={"Accept": "application/json", **self._credentials(), **(headers or {})},
            extensions=extensions,
        )
        if timeout is not None:
            request.extensions["timeout"] = httpx.Timeout(
                timeout, connect=CONNECT_TIMEOUT
            ).as_dict()
        try:
            return self._http.send(request)
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(error) from error

    def stream(self, path: str, query: Sequence[tuple[str, str]]) -> websocket.WebSocket:
        """A WebSocket with the API's channels: the first byte of a message says which.

        Raises
        ------
        websocket.WebSocketBadStatusException
            The API refused; its answer is in `resp_body`.
        """
        parts = urlsplit(self.host + path)
        scheme = "wss" if parts.scheme == "https" else "ws"
        url = urlunsplit((scheme, parts.netloc, parts.path, urlencode(list(query)), ""))
        proxy = urlsplit(self._configuration.proxy or "")
        through = (
            {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port}
            if proxy.hostname
            else {"http_no_proxy": ["*"]}
        )
        sslopt: dict[str, Any] = {"context": self._tls}
        if self._server_name:
            sslopt["server_hostname"] = self._server_name
        try:
            return websocket.create_connection(
                url,
                timeout=READ_TIMEOUT,
                header=[f"{name}: {value}" for name, value in self._credentials().items()],
                subprotocols=[_SUBPROTOCOL],
                sslopt=sslopt,
                suppress_origin=True,
                **through,
            )
        except websocket.WebSocketBadStatusException:
            raise
        except (websocket.WebSocketException, OSError) as error:
            raise self._unreachable(error) from error

    def _credentials(self) -> dict[str, str]:
        # Read for every request: a token that ran out is renewed in there.
        settings = self._configuration.auth_settings().values()
        return {each["key"]: each["value"] for each in settings if each.get("in") == "header"}

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"The cluster does not answer at `{self.host}`",
            where=f"{type(error).__name__}: {error}".rstrip(": "),
            hint="is it up, and is this the right one? `--kubeconfig` and `--context` choose",
        )


def connect(kubeconfig: Path | None, context: str | None) -> Connection:
    """The connection that a kubeconfig describes; in a pod without one, the pod's own."""
    configuration = client.Configuration()
    try:
        try:
            with _logged() as failures:
                config.load_kube_config(
                    str(kubeconfig) if kubeconfig else None, context, configuration
                )
        except config.ConfigException as error:
            if kubeconfig or context:
                raise
            try:
                config.load_incluster_config(configuration)
            except config.ConfigException:
                raise error from None
        else:
            if failures:
                raise config.ConfigException("; ".join(failures))
        _heed_exceptions(configuration)
        return Connection(configuration)
    except Exception as error:  # what is damaged shows up as anything, from KeyError to SSLError
        origin, files = _files(kubeconfig)
        if not any(file.is_file() for file in files):
            listed = ", ".join(f"`{file}`" for file in files)
            raise AfOtelError(
                "There is no kubeconfig",
                where=f"{listed} ({origin}): no such file",
                hint="name one with `--kubeconfig`, or set `KUBECONFIG`",
            ) from error
        raise AfOtelError(
            "No cluster can be read from the kubeconfig",
            # Of a damaged entry the package gives all there is, which may be a token.
            where=f"`{kubeconfig or '$KUBECONFIG, ~/.kube/config'}`: {str(error).split('{')[0]}",
            hint="name a kubeconfig with `--kubeconfig`, and a context of it with `--context`",
        ) from error


def _files(kubeconfig: Path | None) -> tuple[str, list[Path]]:
    """Return where the names of kubeconfigs come from, and these names."""
    if kubeconfig:
        return "`--kubeconfig`", [kubeconfig]
    origin = "`$KUBECONFIG`" if os.environ.get("KUBECONFIG") else "the default"
    names = config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
    return origin, [Path(name).expanduser() for name in names if name]


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    """The errors that the package logs: where a login command fails, it goes on as nobody."""
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield said
    finally:
        root.removeHandler(handler)


def _heed_exceptions(configuration: _Configuration) -> None:
    """Go straight to what `NO_PROXY` names; a kubeconfig's own proxy is for this very cluster."""
    around = client.Configuration(host=configuration.host)
    named = configuration.proxy != around.proxy
    if not named and should_bypass_proxies(configuration.host, around.no_proxy or ""):
        configuration.proxy = None


def _tls(configuration: _Configuration) -> ssl.SSLContext:
    if not configuration.verify_ssl:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 asks of a CA what those of many clusters lack, and kubectl does not ask for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
