"""What a cluster's objects say of the hub, the users and the Dask that they make up."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
import yaml
from discovered import facility, found, service, user, workload, z2jh

from af_otel.errors import AfOtelError
from af_otel.facility import parse_text
from af_otel.facility.discovery import write


def test_a_release_of_z2jh_is_written_as_it_is():
    """Its chart and release are named; without trace store and Prometheus, af-otel deploys them."""
    made, text = facility(z2jh())
    assert made.name == "jhub"
    assert made.hub.selector == {"component": "hub"}
    assert (made.hub.service, made.hub.proxy, made.hub.base_url) == ("hub", "proxy-public", "/")
    assert made.users.namespaces == ["jhub"]
    assert made.backends.jaeger
    assert made.backends.prometheus
    assert (
        "# JupyterHub: Deployment `hub` in `jhub`, chart jupyterhub-4.3.2, release `hub`.\n" in text
    )


def test_a_facility_is_called_like_its_release_if_that_says_something():
    """`hub` says nothing, `coffea-casa` does; a release may have dots, a facility not."""
    assert facility(z2jh(release="coffea.casa"))[0].name == "coffea-casa"
    assert facility(z2jh(namespace="cms", release="jupyterhub"))[0].name == "cms"


def test_base_url_is_where_the_chart_has_prometheus_ask():
    """z2jh writes it into an annotation of the hub's Service."""
    text = z2jh().replace(
        "metadata:\n  name: hub\n  namespace: jhub\nspec:\n  ports:",
        "metadata:\n  annotations: {prometheus.io/path: /cms/hub/metrics}\n"
        "  name: hub\n  namespace: jhub\nspec:\n  ports:",
    )
    assert facility(text)[0].hub.base_url == "/cms/"


def test_several_hubs_are_listed_and_one_has_to_be_named():
    """A facility has one hub; nothing is guessed."""
    with pytest.raises(AfOtelError, match="There are 2 JupyterHubs") as caught:
        found(z2jh("a"), z2jh("b"))
    assert "Deployment `hub` in `a`" in caught.value.where
    assert "--hub a" in caught.value.hint
    assert found(z2jh("a"), z2jh("b"), hub="b").hub.namespace == "b"
    with pytest.raises(AfOtelError, match="no JupyterHub in `c`"):
        found(z2jh("a"), z2jh("b"), hub="c")


def test_two_hubs_in_one_namespace_are_told_by_their_labels():
    """`component: hub` would be both of them."""
    second = z2jh(release="two").replace("name: hub\n", "name: two-hub\n")
    made = found(z2jh(release="one"), second, hub="jhub/two-hub")
    assert made.hub.selector == {"app": "jupyterhub", "component": "hub", "release": "two"}


def test_without_a_hub_it_is_said_what_was_looked_for():
    """And what was seen nevertheless: users' pods mean a hub that runs elsewhere."""
    with pytest.raises(AfOtelError, match="No JupyterHub was found") as caught:
        found(user("ada", "people"))
    assert "component: hub" in caught.value.where
    assert "users' pods in people" in caught.value.where


def test_a_hub_of_no_chart_is_known_by_what_it_runs():
    """Its own Services, whatever they are called; the proxy may run inside of it."""
    text = (
        workload(
            "StatefulSet",
            "jupyter",
            "own",
            {"app": "jupyter"},
            {
                "image": "ours:7",
                "command": ["sh", "-c", "pip install jupyterhub-x; jupyterhub -f c"],
            },
        )
        + service("jupyter-api", "own", {"app": "jupyter"}, 8081)
        + service("front", "own", {"app": "jupyter"}, 8000)
    )
    made, page = facility(text)
    assert (made.hub.service, made.hub.proxy) == ("jupyter-api", "front")
    assert made.hub.selector == {"app": "jupyter"}
    assert "made by no chart" in page


@pytest.mark.parametrize(
    ("labels", "container"),
    [
        ({"component": "proxy"}, {"image": "jupyterhub/configurable-http-proxy:4"}),
        ({"component": "singleuser-server"}, {"image": "jupyterhub/k8s-singleuser-sample:4"}),
        ({"component": "continuous-image-puller"}, {"image": "jupyterhub/k8s-hub:4"}),
        ({"app": "a"}, {"image": "a", "args": ["jupyterhub-singleuser"]}),
        ({"app": "a"}, {"image": "a", "command": ["sh", "-c", "pip install jupyterhub && run"]}),
        ({"component": "hub"}, {"image": "some/other:1"}),
    ],
)
def test_what_only_sounds_like_a_hub_is_none(labels, container):
    """z2jh's other pods, and everybody's that mention JupyterHub."""
    with pytest.raises(AfOtelError, match="No JupyterHub"):
        found(workload("Deployment", "x", "x", labels, container))


def test_a_hub_whose_deployment_may_not_be_read_is_known_by_its_pod():
    """The right to read pods is the most common one."""
    labels = {"app": "jupyterhub", "component": "hub", "pod-template-hash": "5f"}
    pod = workload("Pod", "hub-5f-x", "jhub", labels, {"image": "x"})
    made = found(pod, denied=["Deployment", "StatefulSet"])
    assert made.hub.selector == {"component": "hub"}
    assert made.partial


def test_the_chart_around_the_hubs_is_read_from_helms_record():
    """Coffea-Casa's chart has z2jh's as a part; of the record nothing else gets out."""
    release = {
        "chart": {"metadata": {"name": "coffea-casa", "version": "2026.8"}},
        "config": {"t": 1},
    }
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode())))
    record = {
        "kind": "Secret",
        "metadata": {
            "name": "sh.helm.release.v1.casa.v3",
            "namespace": "jhub",
            "labels": {"owner": "helm", "status": "failed", "name": "casa", "version": "3"},
        },
        "data": {"release": packed.decode()},
    }
    _, text = facility(z2jh(release="casa"), yaml.safe_dump(record))
    assert "chart coffea-casa-2026.8 with jupyterhub-4.3.2" in text
    assert "Coffea-Casa: Dask's scheduler runs in the user's pod" in text
    record["data"]["release"] = "bm8gcmVjb3Jk"
    assert "chart jupyterhub-4.3.2" in facility(z2jh(release="casa"), yaml.safe_dump(record))[1]


def test_users_are_where_their_pods_are():
    """Not where the hub is; pods of another hub's users are that one's."""
    texts = (
        z2jh("jhub"),
        z2jh("other"),
        user("ada", "people", url="http://hub.jhub:8081/hub/api"),
        user("bob", "more", url="http://hub.jhub.svc.cluster.local:8081/hub/api"),
        user("eve", "other"),
        user("joe", "people", url="http://hub.other:8081/hub/api"),
    )
    assert facility(*texts, hub="jhub")[0].users.namespaces == ["more", "people"]
    assert facility(*texts, hub="other")[0].users.namespaces == ["other", "people"]


def test_users_are_known_by_what_their_pods_have_in_common():
    """Where the spawner sets its own labels, and they are not the hub's."""
    labels = {"app": "jupyterhub", "owner": "{}", "type": "ml", "hub.jupyter.org/username": "x"}
    users = [user(name, "jhub", labels=labels | {"owner": name}) for name in ("ada", "bob")]
    assert facility(z2jh(), *users)[0].users.selector == {"type": "ml"}


def test_without_users_the_hubs_rights_say_where_they_will_be():
    """A RoleBinding of its service account, in a namespace where it may make pods."""
    rights = """
kind: Role
metadata: {name: spawn, namespace: people}
rules: [{resources: [pods], verbs: [get, create]}]
---
kind: RoleBinding
metadata: {name: b, namespace: people}
roleRef: {name: spawn}
subjects: [{kind: ServiceAccount, name: hub, namespace: jhub}]
"""
    made, text = facility(z2jh(spec={"serviceAccountName": "hub"}), rights)
    assert made.users.namespaces == ["people"]
    assert "may make pods there" in text


def configured(*lines):
    """A hub with its jupyterhub_config.py in a ConfigMap."""
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "config", "namespace": "jhub"},
        "data": {"jupyterhub_config.py": "\n".join(["import os", *lines])},
    }
    volume = {"name": "config", "configMap": {"name": "config"}}
    return z2jh(spec={"volumes": [volume]}) + yaml.safe_dump(config)


def test_the_hubs_configuration_says_where_users_will_run():
    """Where it says so plainly; what is computed, or no setting of the spawner's, says nothing."""
    made, text = facility(
        configured(
            "c.KubeSpawner.namespace = 'people'  # theirs",
            'c.KubeSpawner.component_label = "server"',
            'c.JupyterHub.base_url = "/cms"',
            'c.OAuthenticator.client_secret = "hunter2"',
        )
    )
    assert made.users.namespaces == ["people"]
    assert made.users.selector == {"component": "server"}
    assert made.hub.base_url == "/cms/"
    assert "hunter2" not in text
    computed = configured('c.KubeSpawner.namespace = os.environ["NAMESPACE"]')
    assert facility(computed)[0].users.namespaces == ["jhub"]


def test_users_with_namespaces_of_their_own_are_told_about():
    """The file has those that are there; later ones somebody has to add."""
    page = write(found(configured("c.KubeSpawner.enable_user_namespaces = True")))
    assert any("each user has one" in item for item in page.to_do)


GATEWAY = workload(
    "Deployment",
    "api-gw",
    "dask",
    {
        "app.kubernetes.io/name": "dask-gateway",
        "app.kubernetes.io/component": "gateway",
        "gateway.dask.org/instance": "gw",
    },
    {"image": "dask-gateway-server:1"},
)


def test_dask_gateway_makes_its_clusters_where_its_configuration_says():
    """Its pods are told from the gateway itself by their component."""
    made, _ = facility(z2jh(), GATEWAY)
    assert made.dask[0].namespaces == ["dask"]
    assert made.dask[0].selector["app.kubernetes.io/component"] == ["dask-scheduler", "dask-worker"]
    values = json.dumps(json.dumps({"gateway": {"backend": {"namespace": "burst"}}}))
    configured = {
        "kind": "ConfigMap",
        "metadata": {
            "name": "api-gw",
            "namespace": "dask",
            "labels": {"gateway.dask.org/instance": "gw"},
        },
        "data": {"dask_gateway_config.py": f"import json\n_PROPERTIES = json.loads({values})\n"},
    }
    assert facility(z2jh(), GATEWAY, yaml.safe_dump(configured))[0].dask[0].namespaces == ["burst"]


def test_dask_of_the_operator_and_of_dasks_chart_are_found():
    """By kinds that the cluster knows, and by the labels of what runs."""
    chart = workload(
        "Deployment", "w", "jhub", {"app": "dask", "component": "worker"}, {"image": "d"}
    )
    made, _ = facility(z2jh(), chart, kinds=["DaskCluster"])
    assert [sorted(item.selector) for item in made.dask] == [
        ["dask.org/component"],
        ["app", "component"],
    ]


def test_with_several_hubs_dask_is_whose_it_is_near():
    """A gateway in another facility's namespace is that one's."""
    other = GATEWAY.replace("namespace: dask", "namespace: b")
    assert not facility(z2jh("a"), z2jh("b"), other, hub="a")[0].dask
    assert facility(z2jh("a"), z2jh("b"), other, hub="b")[0].dask


@pytest.mark.parametrize(
    ("name", "image", "ports"),
    [
        ("af-otel-tempo", "grafana/tempo:2", (4318, 3200)),
        ("af-otel-jaeger", "jaegertracing/jaeger:2.13.0", (4318, 16686)),
    ],
)
def test_what_af_otel_has_installed_is_not_what_it_finds(name, image, ports):
    """A second `init` does not take the backend of the first install for one of the facility."""
    ours = {"labels": {"app.kubernetes.io/part-of": "af-otel"}}
    pods = {"a": "b"}
    mine = workload("Deployment", name, "af-otel", pods, {"image": image}, meta=ours)
    made, _ = facility(z2jh(), mine, service(name, "af-otel", pods, *ports, meta=ours))
    assert made.backends.jaeger


def test_what_may_not_be_read_is_told_and_the_rest_is_written():
    """Monitoring may be where nobody looked, so nothing of our own is brought in unasked."""
    page = write(
        found(
            z2jh(), denied=["Prometheus", "StorageClass", "Service@*", "Deployment@*"], hub="jhub"
        )
    )
    text = page.text()
    assert "Could not be read, so have a look yourself: " in text
    assert "backends:" not in text
    assert any("destinations" in item for item in page.to_do)
    assert parse_text(text, with_backends=True).hub.proxy == "proxy-public"


def test_what_cannot_be_read_anywhere_names_the_rights_to_ask_for():
    """No hub was seen, which may be for lack of rights."""
    with pytest.raises(AfOtelError) as caught:
        found(z2jh(), denied=["Deployment", "StatefulSet", "Pod", "Namespace"])
    assert "ask for Deployment" in caught.value.where
    assert "--namespace" in caught.value.hint


def test_what_objects_say_stays_a_comment():
    """A name with a line break in it cannot write fields of its own."""
    evil = "x\nname: evil\nbackends: {grafana: true}"
    labels = {"app": "jupyterhub", "component": "hub"}
    text = workload(
        "Deployment",
        "hub",
        "jhub",
        labels,
        {"image": "k8s-hub:1"},
        meta={"annotations": {"meta.helm.sh/release-name": evil}, "labels": {"chart": evil}},
    ) + service("hub", "jhub", labels, 8081)
    page = write(found(text), name="good")
    assert yaml.safe_load(page.text())["name"] == "good"
    assert not parse_text(page.text()).backends.grafana


def test_what_is_missing_is_a_line_to_fill_in():
    """A hub without Services: the fields are there as comments, and told."""
    labels = {"app": "jupyterhub", "component": "hub"}
    page = write(found(workload("Deployment", "hub", "jhub", labels, {"image": "k8s-hub:1"})))
    assert "  # service: hub" in page.text()
    assert "  # proxy: proxy-public" in page.text()
    assert len(page.to_do) == 2
