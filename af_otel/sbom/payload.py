"""The bill of materials of the payload."""

from __future__ import annotations

import hashlib
from importlib import metadata
from typing import TYPE_CHECKING

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.component import Component, ComponentType, Pedigree
from packageurl import PackageURL

from af_otel import __version__, payload, vendoring
from af_otel.sbom._document import licence, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cyclonedx.model.license import License

DIGEST = "af-otel:payload:directory"
_CHANGED = (
    "Copied without the modules that a traced process does not import, and below a private "
    "package, to which absolute imports are rewritten"
)


def document() -> str:
    """Return the bill of materials of the payload that this af-otel writes, as JSON.

    Each distribution is a component, and has its files as they are in the payload.

    Raises
    ------
    AfOtelError
        A part of the payload is not installed.
    """
    parts = vendoring.parts()
    files: dict[str, dict[str, bytes]] = {}
    for path, (name, content) in parts.items():
        files.setdefault(name, {})[path] = content
    subject = Component(
        name="af-otel-payload",
        version=__version__,
        type=ComponentType.FRAMEWORK,
        bom_ref="af-otel-payload",
        licenses=_licences("af-otel"),
        hashes=[_sha256(payload.archive())],
        description="What is injected into traced processes. The hash is that of the zip file.",
        properties=[
            Property(name=DIGEST, value=payload.digest({p: c for p, (_, c) in parts.items()}))
        ],
    )
    versions = vendoring.versions()
    return render(
        subject, (_component(name, versions[name], content) for name, content in files.items())
    )


def _component(name: str, version: str, files: Mapping[str, bytes]) -> Component:
    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=_licences(name),
        pedigree=Pedigree(notes=_CHANGED),
        components=[
            Component(
                name=path,
                type=ComponentType.FILE,
                bom_ref=f"{purl.to_string()}#{path}",
                hashes=[_sha256(content)],
            )
            for path, content in files.items()
        ],
    )


def _licences(name: str) -> list[License]:
    fields = metadata.metadata(name)
    texts = [*fields.get_all("License-Expression", []), *fields.get_all("License", [])]
    found = licence(texts[0] if texts else "")
    return [found] if found else []


def _sha256(content: bytes) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(content).hexdigest())
