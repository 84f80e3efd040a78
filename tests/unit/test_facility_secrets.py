"""Secrets are named in a facility.yaml, never written; one that is written is never repeated."""

from __future__ import annotations

import pytest
import yaml
from written import LEAST, only

from af_otel.facility import Facility, FacilityInvalid, parse_text

SECRETS = [
    "{endpoint: 'http://bob:hunter2@tempo:4318'}",
    "{endpoint: 'https://tempo:4318?token=hunter2'}",
    "{endpoint: 'http://bob:hunt/hunter2@tempo:4318'}",
    "{endpoint: 'http://tempo:4318', headers: {Authorization: Bearer hunter2}}",
    "{endpoint: 'http://tempo:4318', headers: {X-Api-Key: hunter2}}",
    "{endpoint: 'http://tempo:4318', headers: {X-Other: Basic hunter2}}",
    "{endpoint: 'http://tempo:4318', auth: {bearer: hunter2}}",
    "{endpoint: 'http://tempo:4318', auth: {bearer: {token: hunter2}}}",
    "{endpoint: 'http://tempo:4318', auth: {basic: {username: bob, password: hunter2}}}",
    "{endpoint: 'http://tempo:4318', auth: {basic: {secret: HUNTER2/hunter2}}}",
    "{endpoint: 'http://tempo:4318', password: hunter2}",
    "{endpoint: 'http://tempo:4318', query: 'http://bob:hunter2@tempo:3200'}",
    "{end_point: 'http://bob:hunter2@tempo:4318'}",
    "{endpoint: 'http://tempo:4318', header: {X-Api-Key: hunter2}}",
    "{endpoint: 'http://tempo:4318', auht: {bearer: {token: hunter2}}}",
    "{endpoint: 'http://tempo:4318', headers: {X-A: {secret: s, key: k, value: hunter2}}}",
]


# Where the fields of a trace store are; the last is the layout of earlier versions.
LAYOUTS = ["traces: {tempo: %s}", "traces: {jaeger: %s}", "traces: {otlp: %s}", "traces: %s"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fields", SECRETS)
def test_a_secret_in_the_file_is_refused_and_never_repeated(fields, layout):
    """What is printed ends up in a terminal's scrollback, or in CI's log."""
    lines = layout % fields
    tempo = "  traces:\n    tempo:\n      endpoint: http://tempo.monitoring:4318\n"
    assert tempo in LEAST
    with pytest.raises(FacilityInvalid) as caught:
        parse_text(LEAST.replace(tempo, f"  {lines}\n"))
    error = caught.value
    assert "hunter2" not in str(error).lower()
    assert "hunter2" not in repr(error).lower()
    assert error.__context__ is None or "hunter2" not in str(error.__context__).lower()
    assert all("hunter2" not in str(item.as_json()).lower() for item in error.mistakes)


def test_a_secret_where_none_can_be_named_is_refused_without_a_way_to():
    """Nothing is sent to Grafana, so no credentials are kept for it."""
    error = only(LEAST + "grafana: {url: 'https://bob:hunter2@grafana.example.org'}\n")
    assert "holds a user name" in error.what
    assert not error.write


def test_what_asks_prometheus_has_the_credentials_of_what_writes_to_it():
    """There is no other place for them."""
    address = "query: http://bob:hunter2@prometheus:9090"
    text = LEAST.replace("  metrics:\n", f"  metrics:\n    {address}\n")
    written = yaml.safe_load(only(text).write.split("# with this")[0])
    assert list(written["destinations"]["metrics"]) == ["remote_write"]


def test_the_secret_to_use_instead_is_written_out():
    """The lines that name it can be pasted into the file, the rest into the cluster."""
    text = LEAST.replace(
        "      endpoint: http://tempo.monitoring:4318\n",
        "      endpoint: https://tempo:4318\n      headers: {Authorization: Bearer hunter2}\n",
    )
    found = only("namespace: telemetry\n" + text)
    lines, _, secret = found.write.partition("# with this in the cluster:\n")
    made = yaml.safe_load(secret)
    assert made["kind"] == "Secret"
    assert made["metadata"] == {"name": "traces-credentials", "namespace": "telemetry"}
    data = yaml.safe_load(text)
    tempo = data["destinations"]["traces"]["tempo"]
    del tempo["headers"]
    tempo.update(yaml.safe_load(lines)["destinations"]["traces"]["tempo"])
    auth = Facility.model_validate(data).destinations.traces.store.auth
    assert auth is not None
    assert auth.bearer is not None
    assert auth.bearer.secret == "traces-credentials"
    assert auth.bearer.key in made["stringData"]


def test_headers_that_are_no_secret_and_secrets_by_name_are_fine():
    """A tenant is a word; a token is a key of a Secret."""
    text = LEAST.replace(
        "      endpoint: http://tempo.monitoring:4318\n",
        "      endpoint: https://tempo:4318\n"
        "      headers: {X-Scope-OrgID: cms, X-Token: {secret: s, key: k}}\n"
        "      tls: {ca: {config_map: a}, cert: {secret: c, key: k}, key: {secret: c, key: l}}\n",
    )
    traces = parse_text(text).destinations.traces.store
    assert traces.headers["X-Scope-OrgID"] == "cms"
    assert traces.headers["X-Token"].secret == "s"
    assert traces.tls.ca.key == "ca.crt"
