"""What a hub's jupyterhub_config.py says, where it is in a ConfigMap and says it plainly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from af_otel.facility.discovery.look import name_of, namespace_of, template_of

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
    mounted = set()
    for volume in template_of(workload)["spec"].get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        mounted |= {(item.get("configMap") or {}).get("name") for item in sources}
    if not any(mounted):
        return {}
    before = len(look.unread)
    maps = look.all("ConfigMap")
    del look.unread[before:]  # They help, and what they say can be seen otherwise, too.
    found: dict[str, str] = {}
    for item in maps:
        if namespace_of(item) == namespace_of(workload) and name_of(item) in mounted:
            for text in (item.get("data") or {}).values():
                for match in _LINE.finditer(text):
                    if match["name"] in _WANTED:
                        found[match["name"]] = match["value"].strip("\"'")
    return found
