"""From where traces go to the client that looks them up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.backends.http import ANYBODY, Access, Api, BackendError, NotReachable, Refused
from af_otel.backends.jaeger import Jaeger
from af_otel.backends.tempo import Tempo

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel.backends.store import Kind, TraceStore

# A new kind of store is one module with a class that implements `TraceStore`, and its entry here.
STORES: dict[Kind, Callable[[str, Access], TraceStore]] = {"tempo": Tempo, "jaeger": Jaeger}
_OK, _FAILED = 200, 500


def connect(kind: str, url: str, access: Access = ANYBODY) -> TraceStore:
    """Return the client of the trace store at `url`.

    Parameters
    ----------
    kind
        As in `destinations.traces` of a facility.yaml: `tempo`, `jaeger`, or `otlp`, for which the
        store is asked what it is.

    Raises
    ------
    BackendError
        The store had to be asked, and does not answer like any that we know.
    """
    for name, store in STORES.items():
        if name == kind:
            return store(url, access)
    return STORES[_detect(url, access)](url, access)


def _detect(url: str, access: Access) -> Kind:
    api = Api("The trace store", url, access)
    try:
        api.get("/api/v3/services", read=_services)
    except NotReachable:
        raise
    except Refused as error:
        if error.status >= _FAILED:
            raise
        answer, body = api.fetch("/api/echo")
        if answer.status_code == _OK and body.strip() == b"echo":
            return "tempo"
        raise BackendError(
            api.server,
            f"`{api.called}` is neither a Jaeger nor a Tempo",
            where="it answers neither `/api/v3/services` nor `/api/echo` as they do",
            hint="is it the address of the query API, with its base path if it has one?",
        ) from None
    return "jaeger"


def _services(answer: Any) -> list[str]:
    # An empty Jaeger leaves the list out.
    services = answer.get("services", [])
    if not isinstance(services, list) or not all(isinstance(name, str) for name in services):
        raise TypeError
    return services
