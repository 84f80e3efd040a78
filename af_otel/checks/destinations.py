"""A destination that refuses data, or has no address for queries, is noticed only when a trace is
missed. So each is sent one span or sample, from the cluster, with the Collector's credentials.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import httpx

from af_otel.checks import _answers, _listener
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, NotChecked, Unchecked
from af_otel.facility.model import JAEGER, PROMETHEUS
from af_otel.kubernetes.pods import is_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

_LISTENS = 20.0  # seconds until the trial does, on a node that is busy
_ANSWER = 12.0  # seconds; the trial itself gives a destination 5
_OK = 200
_PATHS = {"traces": "/v1/traces", "metrics": "/v1/metrics"}


@check("Collector", "Do the destinations accept data?")
def destinations_accept_data(context: Context) -> Iterator[Finding | Unchecked]:
    """A Collector with the facility's own exporters sends one span named `validate`, and one sample
    of `af_otel_validate`.
    """
    wanted = dict(_destinations(context))
    if not wanted:
        return
    made = _listener.pod(context)
    missing = sorted(set(wanted) - made.signals)
    for signal in missing:
        yield Unchecked(f"`{_answers.field(context, signal)}`: no exporter is rendered for it")
    if not set(wanted) & made.signals:
        return
    try:
        made.probe.address("trial")
    except _listener.Failed as error:
        yield Unchecked(f"{error.what} ({error.where})", error.hint)
        return
    namespace = made.namespace
    if not context.live.may("get", "pods", namespace=namespace, subresource="portforward"):
        rule = "{apiGroups: [''], resources: [pods/portforward], verbs: [get, create]}"
        raise NotChecked(
            f"You may not forward a port of pods in `{namespace}`",
            hint=f"ask for a Role in namespace `{namespace}` with the rule `{rule}`",
        )
    pod = f"pod/{made.probe.ref.name}"
    with context.live.forward(namespace, pod, _listener.TRIAL_PORT) as address:
        for signal, endpoint in wanted.items():
            if signal in made.signals:
                status, said = _offered(f"{address}{_PATHS[signal]}", _content(context, signal))
                if status != _OK:
                    yield _answers.judged(context, signal, endpoint, said or str(status))


@check("Collector", "Is it known where traces are looked up?", source="files")
def destinations_can_be_queried(context: Context) -> Iterator[Finding]:
    """Read off facility.yaml: the trace store has a `query`."""
    traces = context.facility.destinations.traces
    if traces.store.query:
        return
    examples = type(traces.store).model_fields["query"].examples or []
    yield Finding(
        "warns",
        f"`{traces.field}` has no `query`",
        "facility.yaml",
        "`trace` and `verify` cannot look traces up, and neither can Grafana",
        _answers.to_write(traces.field, {"query": examples[0]}),
    )


def _destinations(context: Context) -> Iterator[tuple[str, str]]:
    """What is there already: backends of our own come with the install."""
    facility = context.facility
    destinations = facility.destinations
    found = {"traces": destinations.traces.store.endpoint}
    if destinations.metrics.remote_write:
        found["metrics"] = destinations.metrics.remote_write.endpoint
    own = {f"{name}.{facility.namespace}": name for name in (JAEGER, PROMETHEUS)}
    for signal, endpoint in found.items():
        name = own.get(httpx.URL(endpoint).host)
        if name is None or _runs(context, name):
            yield signal, endpoint


def _runs(context: Context, name: str) -> bool:
    """Whether a backend of ours serves; one of an install that was interrupted does not yet."""
    chosen = {"matchLabels": {"app.kubernetes.io/name": name}}
    found = context.objects.list("Pod", "v1", context.facility.namespace, chosen)
    return any(map(is_ready, found))


def _offered(url: str, content: dict[str, Any]) -> tuple[int, str]:
    """The answer; the first connections may come before the trial listens."""
    deadline = time.monotonic() + _LISTENS
    while True:
        try:
            answer = httpx.post(url, json=content, timeout=_ANSWER, trust_env=False)
        except httpx.TimeoutException as error:
            return 0, f"no answer in {_ANSWER:.0f} s: {error}"
        except httpx.TransportError as error:
            if time.monotonic() > deadline:
                raise NotChecked(f"the Collector of the trial does not listen: {error}") from error
            time.sleep(0.25)
            continue
        try:
            return answer.status_code, str(answer.json().get("message", ""))
        except ValueError:
            return answer.status_code, answer.text


def _content(context: Context, signal: str) -> dict[str, Any]:
    now = time.time_ns()
    attributes = [
        {"key": key, "value": {"stringValue": value}}
        for key, value in (
            ("service.name", "af-otel"),
            ("service.namespace", context.facility.name),
        )
    ]
    resource = {"attributes": attributes}
    if signal == "traces":
        span = {
            "traceId": secrets.token_hex(16),
            "spanId": secrets.token_hex(8),
            "name": "validate",
            "kind": 1,
            "startTimeUnixNano": str(now - 1_000_000),
            "endTimeUnixNano": str(now),
        }
        return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    point = {"timeUnixNano": str(now), "asInt": "1"}
    metric = {"name": "af_otel.validate", "gauge": {"dataPoints": [point]}}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}
