"""What an API server answers, as objects and as errors: asked of one that says what it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from kubernetes.config import kube_config

from af_otel.errors import AfOtelError
from af_otel.kubernetes.client import Cluster, Ref
from af_otel.kubernetes.errors import ApiError, Conflict, Forbidden, Invalid, NotFound, Unreachable
from af_otel.kubernetes.refs import selector

PODS = {
    "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get", "list", "patch"]},
        {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]},
    ]
}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "x"}}


@pytest.fixture
def server(tmp_path):
    """An API server whose answers are set by path, and a kubeconfig for it."""
    answers = {"/version": (200, {"major": "1", "minor": "37+"}), "/api/v1": (200, PODS)}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length", 0))
            asked.append((self.command, self.path, self.rfile.read(length)))
            status, body = answers.get(self.path.partition("?")[0], (404, {"message": "no"}))
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{http.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    http.answers, http.asked, http.kubeconfig = answers, asked, file
    yield http
    http.shutdown()
    http.server_close()


@pytest.fixture
def cluster(server):
    return Cluster.connect(server.kubeconfig)


def test_the_version_is_two_numbers(cluster):
    """A provider's suffix is no part of it."""
    assert cluster.version == (1, 37)


def test_what_is_not_there_is_none(cluster):
    """Neither an object, nor one of a kind that the cluster does not have."""
    assert cluster.get(Ref("v1", "Pod", "a", "x")) is None
    assert cluster.get(Ref("monitoring.coreos.com/v1", "ServiceMonitor", "a", "x")) is None
    assert cluster.list("ServiceMonitor", "monitoring.coreos.com/v1") == []
    assert not cluster.serves("monitoring.coreos.com/v1", "ServiceMonitor")


def test_what_is_still_to_get_its_name_is_called_by_its_kind():
    """In errors about what the API would name."""
    assert str(Ref("v1", "Pod", "", "x")) == "Pod in `x`"


def test_a_list_goes_on_to_its_last_page(cluster, server):
    """The items of a list say what they are, which the API leaves out."""
    server.answers["/api/v1/namespaces/x/pods"] = (200, {"items": [{"metadata": {"name": "a"}}]})
    (found,) = cluster.list("Pod", namespace="x", labels={"a": "b", "c": ["d", "e"]})
    assert Ref.of(found) == Ref("v1", "Pod", "a")
    assert "labelSelector=a%3Db%2Cc+in+%28d%2Ce%29" in server.asked[-1][1]


def test_a_right_that_lacks_comes_with_its_rule(cluster, server):
    """The error says what to ask for, and in which kind of role."""
    server.answers["/api/v1/namespaces/x/pods/a"] = (
        403,
        {"reason": "Forbidden", "message": 'pods "a" is forbidden: User "u" cannot patch'},
    )
    with pytest.raises(Forbidden) as caught:
        cluster.apply(POD)
    assert caught.value.what == "You may not patch Pod `a` in `x`"
    assert "a Role in namespace `x`" in caught.value.hint
    assert '{apiGroups: [""], resources: [pods], verbs: [create, patch]}' in caught.value.hint
    assert yaml.safe_load(caught.value.hint.partition("`{")[2].join(["{", ""])[:-1]) == {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["create", "patch"],
    }


def test_a_refusal_by_a_policy_is_no_lack_of_rights(cluster, server):
    """Quotas and admission answer 403 as well."""
    server.answers["/api/v1/namespaces/x/pods/a"] = (
        403,
        {"reason": "Forbidden", "message": 'pods "a" is forbidden: exceeded quota'},
    )
    with pytest.raises(Invalid):
        cluster.apply(POD)


def test_a_conflict_names_the_owners(cluster, server):
    """Field by field."""
    cause = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "kubectl-edit" using v1',
        "field": ".spec.x",
    }
    server.answers["/api/v1/namespaces/x/pods/a"] = (409, {"details": {"causes": [cause]}})
    with pytest.raises(Conflict) as caught:
        cluster.apply(POD)
    assert caught.value.owners == {".spec.x": "kubectl-edit"}


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_a_server_that_cannot_is_worth_another_try(cluster, server, status):
    """What may pass is told from what will not."""
    server.answers["/api/v1/namespaces/x/pods/a"] = (status, b"<html>overloaded</html>")
    with pytest.raises(Unreachable, match="overloaded"):
        cluster.apply(POD)


def test_nobody_answers(server):
    """The address is said, and how to choose another."""
    cluster = Cluster.connect(server.kubeconfig)
    server.shutdown()
    server.server_close()
    cluster.close()
    with pytest.raises(Unreachable, match="does not answer at `http://127"):
        Cluster.connect(server.kubeconfig)


def test_no_kubeconfig(tmp_path):
    """The file that was looked for is named, and that it does not exist."""
    with pytest.raises(AfOtelError, match="There is no kubeconfig") as raised:
        Cluster.connect(tmp_path / "nowhere")
    assert f"`{tmp_path / 'nowhere'}` (`--kubeconfig`): no such file" in raised.value.where


def test_a_kubeconfig_of_the_environment_that_is_wrong(server, monkeypatch):
    """It is not taken for one that is not there."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["current-context"] = "elsewhere"
    server.kubeconfig.write_text(yaml.safe_dump(config))
    # The package has read the variable when it was imported.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig))
    with pytest.raises(AfOtelError, match="No cluster can be read") as raised:
        Cluster.connect()
    assert "elsewhere" in raised.value.where


@pytest.mark.parametrize(
    ("script", "says"),
    [("echo log in first >&2; exit 3", "log in first"), ("echo junk", "failed to decode")],
)
def test_a_login_command_that_fails_is_told_in_its_words(server, script, says):
    """Nobody is asked as if nobody had a name, and nothing is written past the error."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    version = "client.authentication.k8s.io/v1"
    login = {"apiVersion": version, "command": "sh", "args": ["-c", script]}
    config["users"][0]["user"] = {"exec": login}
    server.kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(AfOtelError, match="No cluster can be read") as raised:
        Cluster.connect(server.kubeconfig)
    assert says in raised.value.where


def test_a_token_in_the_wrong_line_of_a_kubeconfig_is_not_repeated(server):
    """The entry is named, without what is in it."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0] = {"name": config["users"][0]["name"], "token": "hunter2"}
    server.kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(AfOtelError, match="No cluster can be read") as raised:
        Cluster.connect(server.kubeconfig)
    assert "Expected key user" in raised.value.where
    assert "hunter2" not in str(raised.value)


def test_an_address_that_no_proxy_names_is_asked_directly(server, monkeypatch):
    """A range will do; a proxy that the kubeconfig itself names is for this cluster, and stays."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.0/8")
    Cluster.connect(server.kubeconfig).close()
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = "http://127.0.0.1:2"
    server.kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(Unreachable):
        Cluster.connect(server.kubeconfig)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("cluster", "certificate-authority-data", "anVuaw=="),
        ("cluster", "proxy-url", "socks5://127.0.0.1:1"),
        ("cluster", "proxy-url", "nowhere"),
        ("user", "client-certificate-data", "anVuaw=="),
    ],
)
def test_what_a_kubeconfig_has_and_nobody_can_use_is_told(server, part, field, value):
    """No certificate, a proxy of an unknown kind: a sentence that names the file."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    config["users"][0]["user"] = {"client-key-data": "anVuaw=="}
    config[f"{part}s"][0][part][field] = value
    server.kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(AfOtelError, match="No cluster can be read") as raised:
        Cluster.connect(server.kubeconfig)
    assert str(server.kubeconfig) in raised.value.where


def test_whoever_has_lost_their_credentials_is_not_sent_for_rights(cluster, server):
    """A login that failed leaves none, and to the API that is `system:anonymous`."""
    said = 'pods "a" is forbidden: User "system:anonymous" cannot get resource "pods"'
    server.answers["/api/v1/namespaces/x/pods/a"] = (
        403,
        {"message": said, "reason": "Forbidden"},
    )
    with pytest.raises(ApiError, match="does not know who you are") as raised:
        cluster.get(POD)
    assert not isinstance(raised.value, Forbidden)


def test_an_unknown_context(server):
    """It is an error, and not another cluster."""
    with pytest.raises(AfOtelError, match="other"):
        Cluster.connect(server.kubeconfig, "other")


def test_a_new_kind_is_found(cluster, server):
    """A definition that came after the first look is seen."""
    assert not cluster.serves("a.b/v1", "C")
    kind = {"name": "cs", "kind": "C", "namespaced": False, "verbs": ["get"]}
    server.answers["/apis/a.b/v1"] = (200, {"resources": [kind]})
    assert cluster.resource("a.b/v1", "C").path("", "n") == "/apis/a.b/v1/cs/n"
    with pytest.raises(NotFound):
        cluster.resource("a.b/v1", "D")


def test_selectors():
    """A mapping, values of which any will do, or what `kubectl -l` takes."""
    assert selector({"a": "b", "c": ["d", "e"]}) == "a=b,c in (d,e)"
    assert selector("a!=b") == "a!=b"
