"""npm packages, as pinned by the lock files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from af_otel.local import servers
from licenses.policy import Package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def packages(root: Path) -> Iterator[Package]:
    """Yield the packages of every `package-lock.json` below `tools/`."""
    for lock in sorted(root.glob("tools/**/package-lock.json")):
        if "node_modules" in lock.parts:
            continue
        content = json.loads(lock.read_text(encoding="utf-8"))
        required_by = (lock.relative_to(root).as_posix(),)
        for path, entry in content["packages"].items():
            # The entry with an empty path is our own package.json. Links point to other entries.
            if path and not entry.get("link"):
                name = entry.get("name") or path.rpartition("node_modules/")[2]
                licence = _licence(entry) or _installed_licence(lock.parent, path)
                yield Package("npm", name, entry.get("version", ""), licence, required_by)


def _licence(manifest: dict[str, Any]) -> str:
    """Return the licence from a manifest: today's string, or one of the deprecated forms."""
    value = manifest.get("license") or manifest.get("licenses") or ""
    if isinstance(value, list):
        return " OR ".join(_licence({"license": item}) for item in value)
    return str(value.get("type", "")) if isinstance(value, dict) else str(value)


def _installed_licence(pins: Path, path: str) -> str:
    """Return the licence from the installed package, for lock files that omit it."""
    for kind in servers.KNOWN.values():
        if kind.pins and servers.CHECKOUT / kind.pins[0] == pins:
            manifest = servers.target(kind) / path / "package.json"
            if manifest.is_file():
                return _licence(json.loads(manifest.read_text(encoding="utf-8")))
    return ""
