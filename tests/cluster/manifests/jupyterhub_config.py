"""The hub's settings, as Zero to JupyterHub's defaults and daskhub's additions make them."""

import os
from pathlib import Path

c = get_config()  # noqa: F821
SECRET = Path("/usr/local/etc/jupyterhub/secret")
release, namespace = os.environ["HELM_RELEASE_NAME"], os.environ["POD_NAMESPACE"]


def secret(name):
    return (SECRET / name).read_text()


c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = secret("password")
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}

c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
c.ConfigurableHTTPProxy.should_start = False
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.cookie_secret = bytes.fromhex(secret("hub.config.JupyterHub.cookie_secret"))

c.KubeSpawner.namespace = namespace
c.KubeSpawner.common_labels = {
    "app.kubernetes.io/name": "jupyterhub",
    "app": "jupyterhub",
    "app.kubernetes.io/instance": release,
    "release": release,
    "app.kubernetes.io/managed-by": "kubespawner",
}
c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}
c.KubeSpawner.image = "localhost/af-otel-test/user:1"
c.KubeSpawner.image_pull_policy = "IfNotPresent"
c.KubeSpawner.allow_privilege_escalation = False
c.KubeSpawner.uid = 1000
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.cmd = "jupyterhub-singleuser"
c.KubeSpawner.default_url = "/lab"
c.KubeSpawner.start_timeout = 300
c.KubeSpawner.http_timeout = 120  # a machine that tests other things meanwhile is slow
c.KubeSpawner.delete_grace_period = 1
c.KubeSpawner.cpu_guarantee = 0.02
c.KubeSpawner.cpu_limit = 1
c.KubeSpawner.mem_guarantee = "128M"
c.KubeSpawner.mem_limit = "1G"
c.KubeSpawner.volumes = {"home": {"name": "home", "emptyDir": {}}}
c.KubeSpawner.volume_mounts = {"home": {"name": "home", "mountPath": "/home/jovyan"}}
c.KubeSpawner.init_containers = [
    {
        "name": "block-cloud-metadata",
        "image": "localhost/af-otel-test/network-tools:1",
        "imagePullPolicy": "IfNotPresent",
        "command": [
            *("iptables", "--append", "OUTPUT", "--protocol", "tcp"),
            *("--destination", "169.254.169.254", "--destination-port", "80", "--jump", "DROP"),
        ],
        "securityContext": {
            "privileged": True,
            "runAsUser": 0,
            "capabilities": {"add": ["NET_ADMIN"]},
        },
    }
]

router = f"traefik-{release}-dask-gateway.{namespace}"
c.KubeSpawner.environment = {
    "DASK_GATEWAY__ADDRESS": "http://proxy-public/services/dask-gateway",
    "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://{router}:80",
    "DASK_GATEWAY__PUBLIC_ADDRESS": "/services/dask-gateway/",
    "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
}
c.JupyterHub.services = [
    {
        "name": "jupyterhub-idle-culler",
        "command": [
            *("python3", "-m", "jupyterhub_idle_culler", "--url=http://localhost:8081/hub/api"),
            *("--timeout=3600", "--cull-every=600"),
        ],
    },
    {
        "name": "dask-gateway",
        "api_token": secret("hub.services.dask-gateway.apiToken"),
        "url": f"http://{router}",
        "display": False,
    },
    {"name": "tests", "api_token": secret("hub.services.tests.apiToken")},
]
c.JupyterHub.load_roles = [
    {
        "name": "jupyterhub-idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["jupyterhub-idle-culler"],
    },
    {
        "name": "tests",
        "scopes": [
            *("admin:users", "admin:servers", "admin:groups", "access:servers", "tokens"),
            *("list:services", "read:hub", "read:metrics", "proxy"),
        ],
        "services": ["tests"],
    },
]

# What an operator adds, as the chart's `hub.extraConfig` does: in the order of the names.
for file in sorted(Path("/usr/local/etc/jupyterhub").glob("extra/*.py")):
    exec(file.read_text())
