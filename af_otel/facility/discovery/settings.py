"""What a hub's jupyterhub_config.py says, where it is in a ConfigMap and says it plainly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from af_otel.facility.discovery.servers import mounted_texts

if TYPE_CHECKING:
    from af_otel.facility.discovery.look import Look, Object

# These and no others: whoever has a password in a ConfigMap shall not find it in a second place.
_WANTED = {
    "JupyterHub.base_url",
    "KubeSpawner.namespace",
    "KubeSpawner.component_label",
    "KubeSpawner.enable_user_namespaces",
}
_LINE = re.compile(
    r"""^\s*c\.(?P<name>\w+\.\w+)\s*=\s*(?P<value>"[^"\\]*"|'[^'\\]*'|True|False)\s*(\#.*)?$""",
    re.MULTILINE,
)


def settings(look: Look, workload: Object) -> dict[str, str]:
    """Settings that are plain texts, or True or False, by `Class.name`; the last one holds."""
    found: dict[str, str] = {}
    for text in mounted_texts(look, workload):
        for match in _LINE.finditer(text):
            if match["name"] in _WANTED:
                found[match["name"]] = match["value"].strip("\"'")
    return found
