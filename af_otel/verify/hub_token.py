"""A token for the hub's API, made in the hub's own pod for one user, and taken back."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes.errors import Forbidden
from af_otel.kubernetes.pods import is_ready

if TYPE_CHECKING:
    from af_otel.kubernetes.client import Cluster

VARIABLE = "AF_OTEL_HUB_TOKEN"
SCOPES = ("admin:users", "servers", "access:servers")  # each with `!user=NAME`
_WITHIN = 60  # s; the hub's configuration is executed, which may import much
# The hub is found among its pod's processes: it may run below a shell or an init, and in an
# environment of its own. `$0` is the Python to run, the rest its arguments.
_FIND = r"""
for process in /proc/[0-9]*; do
  { read -r python; read -r program; read -r module; } <<END
$({ tr '\000' '\n' < "$process/cmdline"; } 2>/dev/null)
END
  case "$program $module" in
    */jupyterhub\ *|"-m jupyterhub") exec "$python" -c "$0" "${process#/proc/}" "$@" ;;
  esac
done
echo "no process of this pod is a JupyterHub" >&2
exit 1
"""


@dataclass(frozen=True)
class HubPod:
    """The hub's pod."""

    cluster: Cluster
    namespace: str
    name: str
    container: str

    @classmethod
    def find(cls, cluster: Cluster, namespace: str, selector: dict[str, Any]) -> HubPod:
        """The one that serves."""
        pods = cluster.list("Pod", namespace=namespace, labels=selector)
        ready = [pod for pod in pods if is_ready(pod)]
        if not ready:
            said = ", ".join(
                f"`{pod['metadata']['name']}` is {pod['status'].get('phase', '?')}" for pod in pods
            )
            raise AfOtelError(
                "No pod of the hub is ready",
                where=f"namespace `{namespace}`: {said or f'no pod has the labels {selector}'}",
                hint=f"`kubectl -n {namespace} describe pods` says why; `hub.selector` of the "
                "facility's file says which they are",
            )
        pod = ready[0]
        containers = [each["name"] for each in pod["spec"]["containers"]]
        # Beside sidecars, the hub's container is called so in the charts.
        container = "hub" if "hub" in containers else containers[0]
        return cls(cluster, namespace, pod["metadata"]["name"], container)

    def make_token(self, user: str, seconds: float) -> str:
        """A token that is good for `user` only and so long; one made before ends."""
        return str(self._run("make", user, seconds)["token"])

    def remove_token(self, user: str) -> None:
        """Take it back."""
        self._run("remove", user, 0)

    def _run(self, action: str, user: str, seconds: float) -> Any:
        command = ["sh", "-c", _FIND, script(), action, user, f"{seconds:.0f}"]
        try:
            output = self.cluster.exec(
                self.namespace, self.name, command, self.container, timeout=_WITHIN
            )
        except Forbidden as error:
            error.hint += f"; or {asking_for_a_token(user)}"
            raise
        if output.code:
            lines = output.err.strip().splitlines() or [f"it ended with {output.code}"]
            raise AfOtelError(
                "The hub's pod gives no token"
                if action == "make"
                else "The hub's pod does not take its token back",
                where=f"`{self.namespace}/{self.name}`: {lines[-1]}",
                hint=asking_for_a_token(user)
                if action == "make"
                else "it ends by itself within minutes, and the next `af-otel verify` removes it",
            )
        return json.loads(output.out)


def script() -> str:
    """What the hub's Python runs, small enough for the proxies in front of an API server."""
    source = (Path(__file__).parent / "hub_script.py").read_bytes()
    packed = base64.b64encode(zlib.compress(source, 9)).decode()
    return f"import base64,zlib;exec(zlib.decompress(base64.b64decode({packed!r})))"


def asking_for_a_token(user: str) -> str:
    """What else would do."""
    scopes = ", ".join(f"`{scope}!user={user}`" for scope in SCOPES)
    return f"give {VARIABLE} the token of a service of the hub with the scopes {scopes}"
