"""Pods under the injection policy: traced where they are chosen, otherwise as they ever were."""

from __future__ import annotations

import base64
import contextlib
import copy
import json

import pytest

from af_otel.errors import AfOtelError
from af_otel.facility import Facility
from af_otel.kubernetes.client import Cluster
from af_otel.kubernetes.objects.injection import policy
from af_otel.kubernetes.objects.payload import payload, payload_name
from af_otel.kubernetes.proof import prove_injection, try_injection
from af_otel.kubernetes.refs import Ref
from cluster import deploy, odd
from servers import wait_for

IMAGE = deploy.USER
USER = {"component": "singleuser-server"}
DASK = {"app.kubernetes.io/name": "dask-gateway", "app.kubernetes.io/component": "dask-worker"}
OURS = {"af-otel", "af-otel-payload"}
STRICT = {"pod-security.kubernetes.io/enforce": "restricted"}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SMALL = {"cpu": "100m", "memory": "64Mi"}
SEEN = """
import json, os, sys
print(json.dumps({
    "booted": "_af_otel_boot" in sys.modules,
    "path": sys.path[1:],
    "env": dict(os.environ),
}))
"""


def facility_of(places, name, **settings):
    return Facility.model_validate(
        {
            "name": name,
            "hub": {"namespace": places[0]},
            "users": {"namespaces": list(places)},
            "dask": [
                {
                    "namespaces": [places[0]],
                    "selector": {
                        "app.kubernetes.io/name": "dask-gateway",
                        "app.kubernetes.io/component": ["dask-scheduler", "dask-worker"],
                    },
                }
            ],
            "destinations": {
                "traces": {"tempo": {"endpoint": "http://tempo:4318"}},
                "metrics": {"remote_write": {"endpoint": "http://prometheus:9090/api/v1/write"}},
            },
            **settings,
        }
    )


class Pods:
    """Pods of a namespace, asked of the API or made."""

    def __init__(self, client, namespace):
        self.client = client
        self.namespace = namespace

    def body(self, name="probe", labels=USER, annotations=None, spec=None, **container):
        container = {"name": "notebook", "image": IMAGE, "command": ["sleep", "600"], **container}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": dict(labels),
                "annotations": annotations or {},
            },
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                **(spec or {}),
                "containers": [container, *(spec or {}).get("containers", ())],
            },
        }

    def asked(self, body=None, **what):
        """What a pod would be."""
        return self.client.create(body or self.body(**what), dry_run=True)

    @contextlib.contextmanager
    def running(self, body=None, **what):
        """A pod whose containers run; its name."""
        body = body or self.body(**what)
        self.client.create(body)
        name = body["metadata"]["name"]
        try:
            wait_for(lambda: self.ready(name), f"pod {name} runs", 120)
            yield name
        finally:
            self.client.delete(self.ref(name), grace=0)

    def ref(self, name):
        return Ref("v1", "Pod", name, self.namespace)

    def ready(self, name):
        status = self.client.get(self.ref(name))["status"]
        containers = status.get("containerStatuses") or [{"ready": False}]
        return all(container["ready"] for container in containers)

    def seen(self, name, *python, container="notebook"):
        """What a Python in the pod sees."""
        command = [*(python or ("python3",)), "-c", SEEN]
        result = self.client.exec(self.namespace, name, command, container=container)
        assert result.code == 0, result.err
        assert result.err == ""
        return json.loads(result.out)


@pytest.fixture(scope="module")
def client(cluster):
    deploy.load_images(cluster)
    return Cluster.connect(cluster.kubeconfig)


@pytest.fixture(scope="module")
def places(cluster, client):
    """Pods by namespace; in some of them the payload is not what it should be."""
    with contextlib.ExitStack() as stack:
        names = {
            role: stack.enter_context(cluster.namespace(f"inject-{role}", labels))
            for role, labels in (
                ("usual", {}), ("strict", STRICT), ("bare", {}), ("hang", {}), ("half", {}),
            )
        }  # fmt: skip
        facility = facility_of(
            [*names.values()],
            names["usual"],
            injection={"exclude_images": ["registry.example.org/*/no-shell"], "env": {"X": "y"}},
        )
        for each in payload(facility):
            place, carried = each["metadata"]["namespace"], copy.deepcopy(each)
            if place == names["bare"]:
                continue
            if place == names["hang"]:
                carried["data"]["unpack.py"] = "import time\ntime.sleep(1000)\n"
            if place == names["half"]:
                half = base64.b64decode(carried["binaryData"]["payload.zip"])[:99_000]
                carried["binaryData"]["payload.zip"] = base64.b64encode(half).decode()
            client.apply(carried)
        in_force(stack, client, policy(facility, payload_name(facility)))
        made = {role: Pods(client, name) for role, name in names.items()}
        wait_for(lambda: injected(made["usual"].asked()), "the policy is in force", 60)
        yield made


@pytest.fixture(scope="module")
def usual(places):
    return places["usual"]


def in_force(stack, client, objects):
    for each in objects:
        client.apply(each)
        stack.callback(client.delete, each)


def injected(pod):
    return "af-otel.io/injected" in (pod["metadata"].get("annotations") or {})


def keeps(after, before, path=""):
    """What is in `before` and not, in its order, in `after`."""
    if isinstance(before, dict):
        for key, value in before.items():
            if path == "/metadata" and key in {"uid", "creationTimestamp", "managedFields"}:
                continue
            if key not in after:
                yield f"{path}/{key}"
            else:
                yield from keeps(after[key], value, f"{path}/{key}")
    elif isinstance(before, list):
        rest = iter(after)
        for number, value in enumerate(before):
            if not any(not [*keeps(each, value)] for each in rest):
                yield f"{path}/{number}"
    elif after != before:
        yield path


CASES = {
    "plain": {},
    "with env": {"env": [{"name": "A", "value": "b"}, {"name": "PYTHONPATH", "value": "/own"}]},
    "with env twice": {"env": [{"name": "PYTHONPATH", "value": v} for v in ("/one", "/two")]},
    "with env from elsewhere": {
        "env": [
            {
                "name": "PYTHONPATH",
                "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}},
            },
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "BESIDE", "value": "$(PYTHONPATH)/x"},
        ],
        "envFrom": [{"configMapRef": {"name": "c", "optional": True}}],
    },
    "with telemetry of its own": {
        "env": [
            {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://theirs:4318"},
            {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "service.name=theirs"},
        ]
    },
    "with volumes": {
        "spec": {"volumes": [{"name": "home", "emptyDir": {}}]},
        "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan", "subPath": "x"}],
    },
    "with init containers": {
        "spec": {
            "initContainers": [
                {"name": "first", "image": IMAGE, "command": ["true"]},
                {"name": "side", "image": "side:1", "restartPolicy": "Always"},
            ]
        }
    },
    "with sidecars": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}},
    "with limits": {
        "resources": {"limits": SMALL, "requests": SMALL},
        "securityContext": RESTRICTED,
        "imagePullPolicy": "Always",
    },
}


@pytest.mark.parametrize("case", CASES)
def test_all_that_a_pod_had_is_still_there(usual, case):
    """In its order, and nothing in another container than those of the same image."""
    before = usual.asked(annotations={"af-otel.io/inject": "false"}, **CASES[case])
    del before["metadata"]["annotations"]
    after = usual.asked(**CASES[case])
    assert not injected(before)
    assert injected(after)
    assert not [*keeps(after, before)]

    init, *others = after["spec"]["initContainers"]
    assert init["name"] == "af-otel"
    assert others == before["spec"].get("initContainers", [])
    main, *rest = after["spec"]["containers"]
    assert rest == before["spec"]["containers"][1:]
    for copied in ("image", "imagePullPolicy", "resources", "securityContext", "envFrom"):
        assert init.get(copied) == main.get(copied)


def test_a_container_keeps_its_own_settings(usual):
    """PYTHONPATH comes behind ours by reference; what it says of telemetry stands."""
    names = {}
    for case, what in CASES.items():
        env = usual.asked(**what)["spec"]["containers"][0]["env"]
        names[case] = [variable["name"] for variable in env]
        last = {variable["name"]: variable.get("value") for variable in env}
        own = any(v["name"] == "PYTHONPATH" for v in what.get("env", ())) or "envFrom" in what
        behind = "$(PYTHONPATH)" if own else "/af-otel/image"
        assert last["PYTHONPATH"] == f"/af-otel:{behind}"
        assert last["X"] == "y"
    assert names["with telemetry of its own"].count("OTEL_EXPORTER_OTLP_ENDPOINT") == 1
    assert names["with telemetry of its own"].count("OTEL_RESOURCE_ATTRIBUTES") == 1
    assert names["plain"].count("AF_OTEL_METRIC_EXPORT_INTERVAL") == 1
    assert names["plain"].count("AF_OTEL_ENDPOINT") == 1
    assert not [name for name in names["plain"] if name.startswith("OTEL_")]


NOT_TOUCHED = {
    "refused": {"annotations": {"af-otel.io/inject": "False"}},
    "not chosen": {"labels": {"component": "hub-other"}},
    "half chosen": {"labels": {"app.kubernetes.io/name": "dask-gateway"}},
    "no labels": {"labels": {}},
    "excluded": {"image": "registry.example.org/a/b/no-shell:1"},
    "excluded by digest": {"image": f"registry.example.org/a/no-shell@sha256:{64 * '0'}"},
    "volume of our name": {"spec": {"volumes": [{"name": "af-otel", "emptyDir": {}}]}},
    "payload of our name": {"spec": {"volumes": [{"name": "af-otel-payload", "emptyDir": {}}]}},
    "container of our name": {"spec": {"containers": [{"name": "af-otel", "image": "i:1"}]}},
    "no memory": {"resources": {"limits": {"memory": "63Mi"}}},
    "no memory in all": {"spec": {"resources": {"limits": {"memory": "63Mi"}}}},
    "for Windows": {"spec": {"nodeSelector": {"kubernetes.io/os": "windows"}}},
    "no room": {"resources": {"limits": {"ephemeral-storage": "63Mi"}}},
    "mount in our place": {
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
        "volumeMounts": [{"name": "v", "mountPath": "/af-otel/x"}],
    },
}


@pytest.mark.parametrize("case", NOT_TOUCHED)
def test_what_is_not_chosen_or_has_our_names_is_as_it_was(usual, case):
    """Down to the last field."""
    pod = usual.asked(**NOT_TOUCHED[case])
    assert not injected(pod)
    assert "initContainers" not in pod["spec"]


@pytest.mark.parametrize(
    "chosen",
    [
        {"labels": DASK},
        {"labels": {**DASK, "app.kubernetes.io/component": "dask-scheduler"}},
        {"labels": {"component": "hub"}},
        {"labels": {}, "annotations": {"af-otel.io/inject": "true"}},
        {"image": "registry.example.org/a/b/no-shell-2:1"},
        {"resources": {"limits": {"ephemeral-storage": "64Mi"}}},
        {"resources": {"limits": {"ephemeral-storage": "1G", "memory": "1G"}}},
        {"image": "registry.example.org/no-shell:1"},
    ],
)
def test_what_is_chosen_is_injected(usual, chosen):
    """By any value of a selector's list, or because the pod asks for it."""
    assert injected(usual.asked(**chosen))


def test_a_pod_is_injected_once(usual):
    """One that is made again from what it is, as a backup does, is as it is."""
    first = usual.asked()
    again = copy.deepcopy(first)
    for gone in ("uid", "creationTimestamp", "managedFields"):
        again["metadata"].pop(gone, None)
    assert usual.asked(again)["spec"] == first["spec"]


def test_the_container_that_matters_need_not_be_first(usual):
    """A chart puts an operator's own containers before the hub's; the other image is left alone."""
    body = usual.body(labels={"component": "hub"}, name="hub")
    body["spec"]["containers"] = [
        {"name": "proxy", "image": "side:1"},
        {**body["spec"]["containers"][0], "name": "hub"},
        {**body["spec"]["containers"][0], "name": "same-image"},
    ]
    made = usual.asked(body)
    assert made["spec"]["initContainers"][0]["image"] == IMAGE
    mounted = [
        any(mount["name"] == "af-otel" for mount in container.get("volumeMounts", ()))
        for container in made["spec"]["containers"]
    ]
    assert mounted == [False, True, True]


def test_a_pod_as_big_as_they_get_is_within_the_policys_budget(usual):
    """Expressions have a cost limit, which grows with containers, variables and mounts."""
    env = [{"name": f"VARIABLE_{number}", "value": "x" * 99} for number in range(300)]
    mounts = [{"name": "v", "mountPath": f"/m/{number}"} for number in range(50)]
    container = {"image": IMAGE, "env": env, "volumeMounts": mounts}
    body = usual.body(spec={"volumes": [{"name": "v", "emptyDir": {}}]})
    body["spec"]["containers"] = [{**container, "name": f"c{number}"} for number in range(30)]
    assert injected(usual.asked(body))


def test_a_pod_in_the_strictest_namespace_is_traced(places):
    """Restricted pod security, a user that the image does not know, a read-only root, and a quota
    and limits that the pod alone fills to the last byte.
    """
    strict = places["strict"]
    quota = {
        f"{kind}.{name}": value for kind in ("requests", "limits") for name, value in SMALL.items()
    }
    client, here = strict.client, {"namespace": strict.namespace}
    limits = [{"type": "Container", "min": SMALL, "max": SMALL}, {"type": "Pod", "max": SMALL}]
    client.apply(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "strict", **here},
            "spec": {"limits": limits},
        }
    )
    client.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "strict", **here},
            "spec": {"hard": {**quota, "pods": "1"}},
        }
    )
    security = {**RESTRICTED, "runAsUser": 1234567, "readOnlyRootFilesystem": True}
    resources = {"requests": SMALL, "limits": SMALL}
    wait_for(
        lambda: (
            client.get(Ref("v1", "ResourceQuota", "strict", strict.namespace))
            .get("status", {})
            .get("hard")
        ),
        "the quota counts",
    )
    with strict.running(name="full", securityContext=security, resources=resources) as name:
        seen = strict.seen(name)
        assert seen["booted"]
        assert seen["env"]["AF_OTEL_FACILITY"].startswith("inject-usual")
        status = client.get(strict.ref(name))["status"]["initContainerStatuses"][0]["state"]
        assert status["terminated"]["message"].startswith("unpacked, ")


def test_an_images_own_path_and_sitecustomize_are_as_they_were(usual, cluster):
    """Though a variable of the pod's hides the image's: first ours, then the image's, then what
    comes with Python.
    """
    image = odd.own_site(cluster)
    with usual.running(name="plain", image=image, labels={}) as name:
        plain = usual.seen(name)
    with usual.running(name="own-site", image=image) as name:
        seen = usual.seen(name)
    assert not plain["booted"]
    assert seen["booted"]
    assert seen["path"] == plain["path"]
    assert seen["env"]["OWN_SITE"] == "was here"
    assert seen["env"]["PYTHONPATH"] == "/af-otel:/srv/site"


def test_a_path_from_a_config_map_comes_behind_ours(usual):
    """By key or as a whole; what refers to it has the value that it had."""
    usual.client.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": usual.namespace},
            "data": {"PYTHONPATH": "/from/map"},
        }
    )
    by_key = {"configMapKeyRef": {"name": "settings", "key": "PYTHONPATH"}}
    env = [{"name": "PYTHONPATH", "valueFrom": by_key}, {"name": "B", "value": "$(PYTHONPATH)/x"}]
    with usual.running(name="by-key", env=env) as name:
        seen = usual.seen(name)
    assert seen["booted"]
    assert seen["env"]["PYTHONPATH"] == "/af-otel:/from/map"
    assert seen["env"]["B"] == "/from/map/x"
    whole = [{"configMapRef": {"name": "settings"}}]
    with usual.running(name="as-a-whole", envFrom=whole) as name:
        assert usual.seen(name)["env"]["PYTHONPATH"] == "/af-otel:/from/map"
    missing = [{"configMapRef": {"name": "not-there", "optional": True}}]
    with usual.running(name="nowhere", envFrom=missing, image=IMAGE) as name:
        assert usual.seen(name)["env"]["PYTHONPATH"] == "/af-otel"


@pytest.mark.parametrize("place", ["bare", "half", "hang"])
def test_a_pod_without_a_working_payload_runs_as_ever(places, cluster, place):
    """The payload is missing or damaged, or the step never ends: the pod waits 15 s at most, and
    has its image's own path.
    """
    pods = places[place]
    with pods.running(name="own-site", image=odd.own_site(cluster)) as name:
        seen = pods.seen(name)
    assert not seen["booted"]
    assert seen["env"]["OWN_SITE"] == "was here"
    assert "/srv/site" in seen["path"]
    assert not [entry for entry in seen["path"] if "af-otel" in entry]


@pytest.mark.parametrize(
    "spec",
    [
        {"shareProcessNamespace": True},
        {"securityContext": {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000}},
        {"restartPolicy": "Never", "hostNetwork": True},
    ],
)
def test_however_a_pod_is_set_up_it_is_traced(usual, spec):
    """Processes that the containers share, users and groups, one attempt only."""
    with usual.running(name="set-up", spec=spec) as name:
        assert usual.seen(name)["booted"]


@pytest.mark.parametrize("limits", [{"memory": "64Mi"}, {"cpu": "20m"}])
def test_a_pod_with_little_memory_or_time_runs(usual, limits):
    """The step has what the container has, and is not tried a second time."""
    with usual.running(name="little", resources={"limits": limits}) as name:
        status = usual.client.get(usual.ref(name))["status"]["initContainerStatuses"][0]
        assert status["restartCount"] == 0
        assert usual.seen(name)["booted"] or "cpu" in limits


def test_an_image_without_python_runs(usual, cluster):
    """What it was made for, with a directory more."""
    with usual.running(name="no-python", image=odd.no_python(cluster), command=None) as name:
        log = usual.client.logs(usual.namespace, name, "af-otel")
    assert log == "af-otel: this pod runs untraced\n"


def test_an_image_with_an_old_python_runs(usual, cluster):
    """Python 3.8 says nothing of us, and has the search path that it had."""
    image = odd.python_38(cluster)
    with usual.running(name="plain-38", image=image, labels={}) as name:
        plain = usual.seen(name)
    with usual.running(name="python-38", image=image) as name:
        seen = usual.seen(name)
        log = usual.client.logs(usual.namespace, name, "af-otel")
    assert seen["path"] == plain["path"]
    assert "Python 3.8 is not traced, 3.10 and newer are" in log


def test_an_image_without_a_shell_is_traced_from_the_archive(usual, cluster):
    """On request: no init container, which such an image could not run."""
    with usual.running(name="zip", annotations={"af-otel.io/inject": "zip"}) as name:
        assert "initContainers" not in usual.client.get(usual.ref(name))["spec"]
        seen = usual.seen(name)
        assert seen["booted"]
        assert seen["env"]["PYTHONPATH"] == "/af-otel/payload.zip"


def test_a_deployments_pods_are_injected_whenever_they_are_made(usual):
    """Its own object is never changed, so what applies it again, such as Helm, changes nothing."""
    template = usual.body()
    labels = {**USER, "app": "plain"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "plain", "namespace": usual.namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "plain"}},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }
    usual.client.apply(deployment)

    def pods():
        found = usual.client.list("Pod", namespace=usual.namespace, labels={"app": "plain"})
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    try:
        (first,) = wait_for(pods, "a pod of the Deployment", 60)
        usual.client.delete(usual.ref(first["metadata"]["name"]), grace=0)
        second = wait_for(
            lambda: [p for p in pods() if p["metadata"]["uid"] != first["metadata"]["uid"]],
            "another pod of the Deployment",
            60,
        )[0]
        assert injected(first)
        assert injected(second)
        made = usual.client.get(Ref("apps/v1", "Deployment", "plain", usual.namespace))
        assert "initContainers" not in made["spec"]["template"]["spec"]
        assert "af-otel.io" not in json.dumps(made["spec"])
    finally:
        usual.client.delete(Ref("apps/v1", "Deployment", "plain", usual.namespace))


# The proof


@pytest.fixture
def fresh(cluster, client):
    """A facility with its payload and no policy yet."""
    with cluster.namespace("inject-proof") as name:
        facility = facility_of([name], name)
        for each in payload(facility):
            client.apply(each)
        yield facility
        for trial in ("test", ""):
            for each in policy(facility, payload_name(facility), trial=trial):
                client.delete(each)


def test_a_policy_is_tried_before_it_is_in_force(client, fresh):
    """No pod but those of the trial meets it, and nothing stays behind; then it is proven at once,
    however new.
    """
    pods = Pods(client, fresh.hub.namespace)
    assert try_injection(client, fresh, payload_name(fresh)) == []
    for each in policy(fresh, payload_name(fresh), trial="test"):
        assert client.get(each) is None
    assert not injected(pods.asked())
    (missing, *_) = prove_injection(client, fresh, patience=0)
    assert missing.what == "Hub pods are not injected"
    assert "MutatingAdmissionPolicy" in missing.where

    for each in policy(fresh, payload_name(fresh)):
        client.apply(each)
    assert prove_injection(client, fresh) == []
    tried = pods.body(labels={**USER, "af-otel.io/trial": "any"})
    assert not injected(pods.asked(tried))


def test_what_is_wrong_with_a_policy_is_told(client, fresh):
    """An expression that fails, pods that it should leave alone, a payload that is not there."""
    policies = policy(fresh, payload_name(fresh), trial="test")
    broken = copy.deepcopy(policies)
    broken[0]["spec"]["variables"][0]["expression"] = "object.spec.nodeName.size()"
    for each in broken:
        client.apply(each)
    failing = wait_for(
        lambda: [
            problem
            for problem in prove_injection(client, fresh, trial="test", patience=0)
            if "fails" in problem.what
        ],
        "the policy is in force",
        60,
    )
    assert failing[0].what.startswith("The injection policy fails on ")
    assert failing[0].where.endswith("no such key: nodeName")
    for each in policies:
        client.delete(each)

    first, *_ = try_injection(client, fresh, "af-otel-payload-gone")
    assert first.what == "Hub pods would start without the payload, and run untraced"


def test_a_policy_that_does_not_compile_is_told_in_a_line(client, fresh, monkeypatch):
    """The API's answer repeats the expression; what is wrong with it comes last."""
    from af_otel.kubernetes.objects import injection

    monkeypatch.setattr(injection, "_patch", lambda *_: "[JSONPatch{op: 'add'}].no_such()")
    (problem,) = try_injection(client, fresh, payload_name(fresh))
    assert problem.what == "This cluster does not understand the injection policy"
    assert "no_such" in problem.where
    assert len(problem.where) <= 400


def test_a_full_quota_is_no_fault_of_the_policys(client, fresh):
    """A dry run counts as a pod; the same pod without us is refused as well."""
    place = fresh.hub.namespace
    client.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "full", "namespace": place},
            "spec": {"hard": {"pods": "0"}},
        }
    )
    wait_for(
        lambda: client.get(Ref("v1", "ResourceQuota", "full", place)).get("status", {}).get("hard"),
        "the quota counts",
    )
    problems = try_injection(client, fresh, payload_name(fresh))
    assert all("cannot be told" in problem.what for problem in problems)
    assert "exceeded quota" in problems[0].where
    assert isinstance(problems[0], AfOtelError)
