"""Checks of files: manifests and values told apart, and what is found in them."""

from __future__ import annotations

import base64
import json

import pytest
import yaml

from af_otel.checks import offline, run
from af_otel.errors import AfOtelError

HANDLER = """
from dask_gateway_server.options import Options, String

def handler(options):
    return {"environment": {"X": "1"}, "image": options.image}

c.Backend.cluster_options = Options(String("image"), handler=handler)
"""
KEEPS = HANDLER.replace('{"X": "1"}', '{**c.KubeClusterConfig.environment, "X": "1"}')

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: hub, namespace: jhub}
spec: {template: {metadata: {labels: {component: hub}}, spec: %s}}
"""


def checked(tmp_path, *documents, only=(), facility=None):
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return run.run(offline.context([file], facility), run.chosen(only))


def found(report):
    return [
        (finding.severity, finding.check, finding.where.split(" in `/")[0])
        for finding in report.findings
    ]


def test_values_of_zero_to_jupyterhub(tmp_path):
    """By the chart's defaults users' pods do not get through, and nobody may read the metrics."""
    report = checked(tmp_path, {"hub": {"config": {}}, "singleuser": {}})
    assert [finding.check for finding in report.findings] == [
        "users-pods-reach-the-collector",
        "hub-metrics-are-readable",
    ]
    assert not report.blocks
    [egress, metrics] = report.findings
    added = yaml.safe_load(egress.mend)["singleuser"]["networkPolicy"]["egress"]
    report = checked(
        tmp_path,
        {
            "hub": yaml.safe_load(metrics.mend.split("\n# then")[0])["hub"],
            "singleuser": {"networkPolicy": {"egress": added}},
        },
    )
    assert not report.findings, "what was said to be added is enough"


def test_charts_within_a_chart(tmp_path):
    """Facilities have these charts as dependencies: keys are called as the file has them."""
    values = {
        "daskhub": {
            "jupyterhub": {
                "hub": {
                    "extraEnv": {"OTEL_SDK_DISABLED": "true"},
                    "extraConfig": {"10-hook": "c.KubeSpawner.pre_spawn_hook = print"},
                    "authenticatePrometheus": False,
                },
                "singleuser": {"networkPolicy": {"enabled": False}},
            },
            "dask-gateway": {"gateway": {"extraConfig": {"options": HANDLER}}},
        }
    }
    report = checked(tmp_path, values)
    assert found(report) == [
        (
            "blocks",
            "environment-is-left-to-us",
            "`daskhub.jupyterhub.hub.extraEnv.OTEL_SDK_DISABLED`",
        ),
        (
            "info",
            "gateway-options-keep-the-environment",
            "line 5 of `daskhub.dask-gateway.gateway.extraConfig.options`",
        ),
        ("info", "hub-hooks-are-chained", "line 1 of `daskhub.jupyterhub.hub.extraConfig.10-hook`"),
    ]


@pytest.mark.parametrize(("code", "findings"), [(HANDLER, 1), (KEEPS, 0)])
def test_a_handler_that_keeps_the_configured_environment_is_well(tmp_path, code, findings):
    """What matters is whether it begins with what the configuration says."""
    values = {"gateway": {"backend": {}, "extraConfig": code}}
    assert len(checked(tmp_path, values, only=["gateway-options"]).findings) == findings


def manifests():
    """What `helm template` makes: no namespaces, and the values in a Secret."""
    values = {"hub": {"loadRoles": {}}, "singleuser": {"image": {"name": "user", "tag": "1"}}}
    encoded = base64.b64encode(yaml.safe_dump(values).encode()).decode()
    properties = json.dumps(
        json.dumps({"gateway": {"backend": {"environment": {"PYTHONPATH": "/x"}}}})
    )
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hub"},
        "spec": {
            "template": {
                "metadata": {"labels": {"component": "hub", "release": "r"}},
                "spec": {
                    "containers": [{"name": "hub", "image": "hub:1"}],
                    "volumes": [{"name": "secret", "secret": {"secretName": "hub"}}],
                },
            }
        },
    }
    meta = {"name": "hub"}
    yield {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"values.yaml": encoded}}
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "api-dask-gateway"},
        "data": {"dask_gateway_config.py": f"_PROPERTIES = json.loads({properties})\n{HANDLER}"},
    }
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "singleuser"},
        "spec": {
            # Of a label that users' pods have as the hub has it.
            "podSelector": {"matchLabels": {"component": "singleuser-server", "release": "r"}},
            "policyTypes": ["Egress"],
        },
    }


def test_rendered_manifests(tmp_path):
    """Policies are read as they are; the charts' values out of what they leave in the cluster."""
    report = checked(tmp_path, *manifests())
    assert [(finding.severity, finding.check) for finding in report.findings] == [
        ("warns", "users-pods-reach-the-collector"),
        ("warns", "hub-metrics-are-readable"),
        ("info", "own-python-path-is-kept"),
        ("info", "gateway-options-keep-the-environment"),
    ]
    assert "NetworkPolicy `singleuser` in `jhub`" in report.findings[0].where
    assert "namespaces-admit-our-pods" in {item.check for item in report.unchecked}
    assert "you-may-install" in {check.name for check in report.left_out}


def test_what_files_say_nothing_of_is_not_called_well(tmp_path):
    """Values of one chart answer no question about the other."""
    report = checked(tmp_path, {"gateway": {"backend": {}}})
    assert {"hub-hooks-are-chained", "users-pods-reach-the-collector"} <= {
        item.check for item in report.unchecked
    }


def test_code_that_is_no_python_is_told(tmp_path):
    """The others are read."""
    extra = {"a": "def f(:", "b": "c.KubeSpawner.modify_pod_hook = f"}
    report = checked(tmp_path, {"hub": {"extraConfig": extra}}, only=["hub-hooks"])
    assert len(report.findings) == 1
    assert "hub.extraConfig.a" in report.unchecked[0].why


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is no YAML"),
        ("", "is empty"),
        ("a: 1", "has neither"),
        ("- a", "is no mapping"),
        ("{{ .Values }}: x", "is no YAML"),
        ("a: " + "[" * 3000, "is no YAML"),
        ("{apiVersion: apps/v1, kind: Deployment, metadata: {name: hub}}", "has no `spec`"),
        (DEPLOYMENT % "{}", "has no containers"),
        (DEPLOYMENT % "{containers: hub}", "`spec.template.spec.containers` of .* is not a list"),
        ("hub: {config: []}", "`hub.config` is not a mapping"),
        ("a: {hub: {extraConfig: [x], db: {}}}", "`a.hub.extraConfig` is not a text or a mapping"),
        ("hub: {extraConfig: {a: {b: c}}}", "`hub.extraConfig.a` is not a text"),
        ("singleuser: {networkPolicy: {egress: {to: []}}}", "`singleuser.networkPolicy.egress` is"),
        ("gateway: {extraConfig: 5}", "`gateway.extraConfig` is not a text or a mapping"),
        ((DEPLOYMENT % "{containers: [{}]}").replace("jhub", "$NS"), "be a namespace"),
        (b"hub: {config: {}} # \xff", "has what is no text"),
    ],
)
def test_files_that_are_neither(tmp_path, text, says):
    """They are refused by name, not taken for a facility without findings."""
    file = tmp_path / "file.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AfOtelError, match=says):
        offline.context([file])


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_SDK_DISABLED": True},
        {"OTEL_SDK_DISABLED": {"value": "true"}},
        {"any": {"name": "OTEL_SDK_DISABLED", "value": "true"}},
        [{"name": "OTEL_SDK_DISABLED", "value": "true"}],
    ],
)
def test_variables_in_every_form_that_charts_take(tmp_path, env):
    """A mapping, one of what a list would have, or a list."""
    report = checked(tmp_path, {"hub": {"extraEnv": env}}, only=["environment-is"])
    assert [finding.severity for finding in report.findings] == ["blocks"]


@pytest.mark.parametrize(
    ("part", "name", "says"),
    [
        ("singleuser", "OTEL_EXPORTER_OTLP_ENDPOINT", "users' own tools send their data there"),
        ("singleuser", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "users' own tools"),
        ("singleuser", "AF_OTEL_ENDPOINT", "telemetry goes there, not to our Collector"),
        ("hub", "AF_OTEL_TRACES_ENDPOINT", "telemetry goes there, not to our Collector"),
        ("hub", "OTEL_EXPORTER_OTLP_ENDPOINT", None),
    ],
)
def test_an_endpoint_of_the_facilitys_own(tmp_path, part, name, says):
    """Ours redirects our telemetry. OpenTelemetry's does not, but users' libraries obey it; the hub
    runs none.
    """
    values = {part: {"extraEnv": {name: "http://theirs:4318"}}}
    report = checked(tmp_path, values, only=["environment-is"])
    assert [finding.severity for finding in report.findings] == (["warns"] if says else [])
    assert all(says in finding.what for finding in report.findings)


def test_variables_that_the_facility_file_injects(tmp_path):
    """They are in every injected pod, the hub's as well."""
    facility = offline.supposed([])
    facility.injection.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://theirs:4318"
    values = {"hub": {"extraEnv": {}}}
    report = checked(tmp_path, values, only=["environment-is"], facility=facility)
    [finding] = report.findings
    assert finding.where.startswith("`injection.env.OTEL_EXPORTER_OTLP_ENDPOINT` of facility.yaml")


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "AF_OTEL_ENDPOINT"])
def test_a_login_in_an_address_is_not_repeated(tmp_path, name):
    """What a check says may end up in CI's log."""
    env = {name: "http://bob:hunter2@collector:4318"}
    report = checked(tmp_path, {"singleuser": {"extraEnv": env}}, only=["environment-is"])
    [finding] = report.findings
    assert "@collector:4318" in finding.where
    assert "hunter2" not in str(report.as_json())


def test_what_a_windows_shell_has_written_is_read(tmp_path):
    """`helm get values … > FILE` makes UTF-16 there."""
    file = tmp_path / "file.yaml"
    file.write_text("hub: {extraEnv: {OTEL_SDK_DISABLED: 'true'}}", encoding="utf-16")
    report = run.run(offline.context([file]), run.chosen(["environment-is"]))
    assert [finding.severity for finding in report.findings] == ["blocks"]


def test_a_network_that_is_none_allows_nothing(tmp_path):
    """And the check goes on."""
    egress = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]
    values = {"singleuser": {"networkPolicy": {"egress": egress}}}
    report = checked(tmp_path, values, only=["users-pods-reach"])
    assert not report.unchecked
    assert [finding.severity for finding in report.findings] == ["warns"]


def test_manifests_have_what_only_their_readers_understand(tmp_path):
    """The operators' in CRDs, dates that are none, lists of nothing, objects yet without a name."""
    file = tmp_path / "file.yaml"
    file.write_text("""\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: a.b}
spec: {enum: ['!=', =], example: 2026-02-30}
---
{apiVersion: v1, kind: List, items: []}
---
{apiVersion: batch/v1, kind: Job, metadata: {generateName: a-}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {metadata: null}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: jhub}}
""")
    report = run.run(offline.context([file]), run.chosen(["namespaces-admit"]))
    assert not report.unchecked


def test_unknown_names_of_checks_are_refused():
    """And known ones may be given in part, with either kind of dash."""
    assert [check.name for check in run.chosen(["storage_is"])] == ["storage-is-there"]
    assert "storage-is-there" not in {check.name for check in run.chosen(skip=["storage"])}
    with pytest.raises(AfOtelError, match="No check"):
        run.chosen(["nonsense"])


def test_every_check_says_what_it_asks_and_why():
    """The list is all that many will read."""
    for check in run.chosen():
        assert check.asks.endswith("?")
        assert len(check.reason) > 40
        assert check.function.__doc__
