"""Injection by values for charts: what a release has stays, in its order, with ours added."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from af_otel.errors import AfOtelError
from af_otel.facility import Facility
from af_otel.kubernetes import pods
from af_otel.kubernetes.objects import _pod
from af_otel.kubernetes.objects.overlay import overlay, part_of, pod_template
from af_otel.kubernetes.releases import _read, merged

FACILITY = Facility.model_validate(
    {
        "name": "lab",
        "hub": {"namespace": "jhub"},
        "users": {"namespaces": ["jhub"]},
        "injection": {"env": {"X": "y"}},
        "destinations": {
            "traces": {"tempo": {"endpoint": "http://tempo:4318"}},
            "metrics": {"remote_write": {"endpoint": "http://prometheus:9090/api/v1/write"}},
        },
    }
)
AF_OTEL = str(Path(sys.executable).with_name("af-otel"))
# What the charts' defaults have of these, and a facility's own.
Z2JH = {
    "hub": {
        "image": {"name": "hub", "tag": "1"},
        "containerSecurityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
        "resources": {},
        "initContainers": [{"name": "theirs", "image": "i:1"}],
        "extraVolumes": [{"name": "theirs", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "theirs", "mountPath": "/theirs"}],
        "extraEnv": {"A": "b"},
        "networkPolicy": {"enabled": True, "egress": [], "egressAllowRules": {"privateIPs": True}},
    },
    "singleuser": {
        "image": {"name": "user", "tag": "2"},
        "uid": 1000,
        "allowPrivilegeEscalation": False,
        "initContainers": [{"name": "home", "image": "i:1", "command": ["echo", "{username}"]}],
        "extraEnv": {},
        "storage": {"extraVolumes": None, "extraVolumeMounts": {"a": {"name": "a"}}},
        "memory": {"guarantee": "1G", "limit": None},
        "cpu": {"guarantee": 0.5, "limit": 2},
        "networkPolicy": {
            "enabled": True,
            "egress": [{"to": [{"podSelector": {}}]}],
            "egressAllowRules": {"privateIPs": False},
        },
    },
}
GATEWAY = {
    "traefik": {},
    "gateway": {
        "backend": {
            "image": {"name": "dask", "tag": "3"},
            "environment": {"AF_OTEL_ENDPOINT": "http://theirs:4318"},
            "scheduler": {"extraPodConfig": {}, "extraContainerConfig": {}},
            "worker": {
                "extraPodConfig": {"volumes": [{"name": "theirs", "emptyDir": {}}]},
                "extraContainerConfig": {
                    "env": [{"name": "Q", "value": "r"}],
                    "securityContext": {"runAsNonRoot": True},
                },
            },
        }
    },
}


def names(items):
    return [each["name"] for each in items]


def z2jh(**changes):
    values = copy.deepcopy(Z2JH)
    for path, value in changes.items():
        part, name = path.split("__")
        values[part][name] = value
    return overlay("z2jh", FACILITY, values, "payload-1")


def test_a_hub_gets_what_the_policy_would_give_it():
    """Init container first, secured and limited as the hub; theirs behind it."""
    hub = z2jh().values["hub"]
    init = hub["initContainers"][0]
    assert names(hub["initContainers"]) == ["af-otel", "theirs"]
    assert (init["image"], init["securityContext"]) == (
        "hub:1", Z2JH["hub"]["containerSecurityContext"],
    )  # fmt: skip
    assert names(hub["extraVolumes"]) == ["theirs", "af-otel", "af-otel-payload"]
    assert names(hub["extraVolumeMounts"]) == ["theirs", "af-otel"]
    assert hub["extraEnv"]["PYTHONPATH"] == "/af-otel:/af-otel/image"
    assert hub["extraEnv"]["AF_OTEL_FACILITY"] == "lab"
    assert hub["extraEnv"]["X"] == "y"
    assert "networkPolicy" not in hub


def test_users_get_it_by_kubespawners_settings():
    """Limits as JupyterHub means them, in the form that Kubernetes reads; a way to the Collector
    where the chart blocks private addresses.
    """
    user = z2jh().values["singleuser"]
    assert names(user["initContainers"]) == ["af-otel", "home"]
    assert user["initContainers"][0]["resources"] == {
        "requests": {"cpu": "0.5", "memory": str(1024**3)},
        "limits": {"cpu": "2"},
    }
    assert user["initContainers"][0]["securityContext"] == {
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
    }
    assert names(user["storage"]["extraVolumes"]) == ["af-otel", "af-otel-payload"]
    # A mapping is merged by Helm.
    assert list(user["storage"]["extraVolumeMounts"]) == ["af-otel"]
    first, second = user["networkPolicy"]["egress"]
    assert first == {"to": [{"podSelector": {}}]}
    assert second["ports"][1]["port"] == 4318


@pytest.mark.parametrize(
    ("own", "path"),
    [
        ({"PYTHONPATH": "/own"}, "/af-otel:/own"),
        ({"PYTHONPATH": {"value": "/own"}}, "/af-otel:/own"),
        ({"PYTHONPATH": {"name": "PYTHONPATH", "value": "/own"}}, "/af-otel:/own"),
        ({"PYTHONPATH": ""}, "/af-otel"),
        ({}, "/af-otel:/af-otel/image"),
        (None, "/af-otel:/af-otel/image"),
    ],
)
def test_an_own_path_comes_behind_ours(own, path):
    """However it is written."""
    made = z2jh(hub__extraEnv=own, singleuser__extraEnv=own).values
    assert made["hub"]["extraEnv"]["PYTHONPATH"] == path
    assert made["singleuser"]["extraEnv"]["PYTHONPATH"] == path


def test_a_path_from_elsewhere_is_renamed_and_referred_to():
    """No name is twice in a list: `helm upgrade` merges by names."""
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    env = z2jh(hub__extraEnv={"PYTHONPATH": {"valueFrom": source}}).values["hub"]["extraEnv"]
    assert env["AF_OTEL_OWN_PYTHONPATH"] == {"valueFrom": source}
    assert env["PYTHONPATH"] == "/af-otel:$(AF_OTEL_OWN_PYTHONPATH)"

    listed = [{"name": "PYTHONPATH", "valueFrom": source}, {"name": "X", "value": "own"}]
    made = z2jh(hub__extraEnv=listed).values["hub"]["extraEnv"]
    assert made[:2] == [
        {"name": "X", "value": "own"},
        {"name": "AF_OTEL_OWN_PYTHONPATH", "valueFrom": source},
    ]
    assert made[-1] == {"name": "PYTHONPATH", "value": "/af-otel:$(AF_OTEL_OWN_PYTHONPATH)"}
    assert len(set(names(made))) == len(made)


def test_a_variable_that_is_set_stays():
    """The facility's `injection.env`, and the Collector's address, too."""
    own = {"X": "own", "AF_OTEL_ENDPOINT": "http://theirs:4318"}
    env = z2jh(hub__extraEnv=own).values["hub"]["extraEnv"]
    ours = {"PYTHONPATH", "AF_OTEL_FACILITY", "AF_OTEL_METRIC_EXPORT_INTERVAL"}
    assert set(env) == ours


@pytest.mark.parametrize("chart", ["z2jh", "dask-gateway"])
def test_an_overlay_upon_itself_is_the_same(chart):
    """Made again from a release that has it, by another version's payload or this one's."""
    values = {"z2jh": Z2JH, "dask-gateway": GATEWAY}[chart]
    old = overlay(chart, FACILITY, values, "payload-0").values
    new = overlay(chart, FACILITY, values, "payload-1").values
    again = overlay(chart, FACILITY, merged(values, old), "payload-1").values
    assert merged(values, merged(old, again)) == merged(values, new)


def test_dask_pods_are_appended_to():
    """As lists, which dask-gateway joins; an options handler may replace `environment`."""
    backend = overlay("dask-gateway", FACILITY, GATEWAY, "payload-1").values["gateway"]["backend"]
    worker = backend["worker"]
    assert names(worker["extraPodConfig"]["volumes"]) == ["theirs", "af-otel", "af-otel-payload"]
    assert names(worker["extraPodConfig"]["initContainers"]) == ["af-otel"]
    assert worker["extraPodConfig"]["initContainers"][0]["securityContext"] == {
        "runAsNonRoot": True
    }
    env = worker["extraContainerConfig"]["env"]
    assert env[:2] == [
        {"name": "Q", "value": "r"}, {"name": "PYTHONPATH", "value": "/af-otel:$(PYTHONPATH)"},
    ]  # fmt: skip
    assert "AF_OTEL_ENDPOINT" not in names(env)
    assert "environment" not in backend


def test_no_standard_variable_is_written():
    """Other libraries obey `OTEL_*`. What an older overlay put into a list is left out; what the
    facility has set stays.
    """
    old = [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": _pod.endpoint(FACILITY)},
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "service.namespace=lab"},
        {"name": "OTEL_TRACES_SAMPLER", "value": "always_off"},
    ]
    hub = z2jh(hub__extraEnv=old).values["hub"]["extraEnv"]
    gateway = copy.deepcopy(GATEWAY)
    gateway["gateway"]["backend"]["worker"]["extraContainerConfig"]["env"] = old
    backend = overlay("dask-gateway", FACILITY, gateway, "payload-1").values["gateway"]["backend"]
    for env in (hub, backend["worker"]["extraContainerConfig"]["env"]):
        assert [name for name in names(env) if name.startswith("OTEL_")] == ["OTEL_TRACES_SAMPLER"]


def test_the_real_gateway_makes_such_pods(tmp_path):
    """By its own code, from its own settings: nothing of a pod is lost."""
    controller = pytest.importorskip("dask_gateway_server.backends.kubernetes.controller")
    from dask_gateway_server.backends.kubernetes.backend import KubeClusterConfig

    backend = overlay("dask-gateway", FACILITY, GATEWAY, "payload-1").values["gateway"]["backend"]
    worker = backend["worker"]
    config = KubeClusterConfig(
        environment={"PYTHONPATH": "/theirs"},
        worker_extra_pod_config=worker["extraPodConfig"],
        worker_extra_container_config=worker["extraContainerConfig"],
    )
    made = controller.KubeController(gateway_instance="dask", api_url="http://api")
    pod = made.make_pod("jhub", "one", config, is_worker=True)
    (container,) = pod["spec"]["containers"]
    paths = [each["value"] for each in container["env"] if each["name"] == "PYTHONPATH"]
    assert paths == ["/theirs", "/af-otel:$(PYTHONPATH)"]
    assert names(container["volumeMounts"]) == ["dask-credentials", "af-otel"]
    assert "dask-credentials" in names(pod["spec"]["volumes"])


def test_the_real_kubespawner_makes_such_pods():
    """Its templating leaves our command as it is, and resolves the path's reference first."""
    spawner_module = pytest.importorskip("kubespawner.spawner")
    from types import SimpleNamespace

    from kubespawner.objects import make_pod

    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    user = z2jh(singleuser__extraEnv={"PYTHONPATH": {"valueFrom": source}}).values["singleuser"]
    spawner = spawner_module.KubeSpawner.__new__(spawner_module.KubeSpawner)
    spawner.user = SimpleNamespace(id=1, name="ann", url="/", escaped_name="ann")
    spawner.namespace, spawner.pod_name, spawner.pvc_name = "jhub", "jupyter-ann", "claim-ann"
    spawner.hub = SimpleNamespace(public_host="", url="/")
    init = spawner._expand_all(user["initContainers"])
    assert init[0] == user["initContainers"][0]
    assert init[1]["command"] == ["echo", "ann"]
    pod = make_pod(
        name="jupyter-ann", cmd=["x"], port=1, image="i", image_pull_policy="Always",
        env=spawner._expand_all(user["extraEnv"]), init_containers=init,
    )  # fmt: skip
    order = [each.name for each in pod.spec.containers[0].env]
    assert order.index("AF_OTEL_OWN_PYTHONPATH") < order.index("PYTHONPATH")


def test_what_an_overlay_cannot_do_is_said():
    """Profiles that replace a list, a path or the image."""
    profiles = [
        {"display_name": "Big", "kubespawner_override": {"image": "big:1", "volumes": []}},
        {"display_name": "Own", "kubespawner_override": {"environment": {"PYTHONPATH": "/x"}}},
    ]
    replaces, path, image = z2jh(singleuser__profileList=profiles).notes
    assert replaces.startswith("Profile `Big` replaces `volumes`: add ours")
    assert path.startswith("Profile `Own` sets its own PYTHONPATH")
    assert "`singleuser.image`" in image
    assert z2jh().notes == []


def test_a_chart_may_be_a_part_of_another():
    """Under whatever name: then the overlay is, too."""
    whole = {"global": {}, "hub-of-ours": Z2JH, "dask-gateway": GATEWAY}
    assert part_of("z2jh", whole) == "hub-of-ours"
    assert list(overlay("z2jh", FACILITY, whole, "p").values) == ["hub-of-ours"]
    assert list(overlay("dask-gateway", FACILITY, whole, "p").values) == ["dask-gateway"]
    with pytest.raises(AfOtelError, match="These are no values of jupyterhub"):
        overlay("z2jh", FACILITY, GATEWAY, "p")
    with pytest.raises(AfOtelError, match="image of a release is not among its values"):
        z2jh(hub__image={"name": "hub"})


def test_a_release_is_read_as_helm_keeps_it():
    """Defaults and own values merged as Helm does: null takes a default out."""
    content = {
        "name": "hub",
        "namespace": "jhub",
        "chart": {
            "metadata": {"name": "jupyterhub", "version": "4.3.2"},
            "values": {"hub": {"a": 1, "b": [1]}, "gone": {"x": 1}},
        },
        "config": {"hub": {"b": [2]}, "gone": None},
    }
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode())))
    meta = {"name": "sh.helm.release.v1.hub.v3", "namespace": "jhub"}
    release = _read({"metadata": meta, "data": {"release": packed.decode()}})
    assert (release.chart, release.values) == ("jupyterhub", {"hub": {"a": 1, "b": [2]}})
    with pytest.raises(AfOtelError, match="cannot be read"):
        _read({"metadata": meta, "data": {"release": "bm90aGluZw=="}})


def test_the_command_prints_yaml_that_helm_takes(tmp_path):
    """Values on stdout, what to know on stderr; the pod template for all else."""
    described = 'name: lab\nhub: {namespace: jhub}\ninjection: {env: {X: "y", Z: "1e9"}}\n'
    (tmp_path / "facility.yaml").write_text(described)
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"gateway-part": GATEWAY}))

    def af_otel(*arguments):
        return subprocess.run(
            [AF_OTEL, "overlay", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    done = af_otel("dask-gateway", "--values", "values.yaml")
    assert done.returncode == 0, done.stderr
    assert list(yaml.safe_load(done.stdout)) == ["gateway-part"]
    assert "note: Where users choose another image" in done.stderr
    assert "value: 'y'" in done.stdout, "what to Helm is a truth value"
    assert "value: '1e9'" in done.stdout, "and what is a number"
    wrong = af_otel("z2jh", "--values", "values.yaml")
    assert wrong.returncode == 1
    assert "These are no values of jupyterhub" in wrong.stderr
    (tmp_path / "values.yaml").write_text("a: [")
    assert "error: `values.yaml` is no YAML" in af_otel("z2jh", "--values", "values.yaml").stderr

    template = yaml.safe_load(af_otel("env").stdout)["spec"]
    (made,) = template["containers"]
    assert made["env"][0] == {"name": "PYTHONPATH", "value": "/af-otel:/af-otel/image"}
    assert names(template["volumes"]) == ["af-otel", "af-otel-payload"]
    assert template["initContainers"] == pod_template(FACILITY, "p")["spec"]["initContainers"]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("storage", [], "`singleuser.storage` is not a mapping"),
        ("profileList", {"a": {}}, "`singleuser.profileList` is not a list"),
        ("initContainers", [None], "`singleuser.initContainers[0]` is not a mapping"),
        ("initContainers", {"a": {"image": "b"}}, "only in a list is ours the first"),
        ("storage", {"extraVolumes": "x"}, "extraVolumes` is not a list or a mapping"),
    ],
)
def test_values_that_no_chart_takes_are_told(tmp_path, key, value, says):
    """By the command, in a sentence."""
    file, values = tmp_path / "facility.yaml", copy.deepcopy(Z2JH)
    values["singleuser"][key] = value
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    file.write_text("name: lab\nhub: {namespace: jhub}\n")
    done = subprocess.run(
        [AF_OTEL, "overlay", "z2jh", "-f", file, "--values", tmp_path / "values.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr


@pytest.mark.parametrize("chart", ["z2jh", "dask-gateway"])
def test_a_pod_of_the_helm_route_is_known_as_injected(chart):
    """No policy annotates it: that it has the payload says so, and which."""
    made = overlay(chart, FACILITY, {"z2jh": Z2JH, "dask-gateway": GATEWAY}[chart], "p-1").values
    volumes = (
        made["hub"]["extraVolumes"]
        if chart == "z2jh"
        else made["gateway"]["backend"]["worker"]["extraPodConfig"]["volumes"]
    )
    pod = {
        "metadata": {},
        "spec": {"containers": [{"name": "main", "image": "x"}], "volumes": volumes},
    }
    assert pods.is_injected(pod)
    assert pods.state_of(pod, FACILITY, "p-1") == "injected"
    assert pods.state_of(pod, FACILITY, "p-2") == "older"
    pod["spec"]["volumes"] = []
    assert pods.state_of(pod, FACILITY, "p-1") == "before"
