"""The bill of materials of a Collector's program."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.component import Component, ComponentType
from packageurl import PackageURL

from af_otel.sbom import go_binary
from af_otel.sbom._document import licence, render

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGE = Path(__file__).parent
_INSTALLED = _PACKAGE / "go-licences.txt"
_CHECKOUT = _PACKAGE.parents[1] / "tools" / "licenses" / "go.txt"
_STANDARD = "std"  # Go's name for its standard library
_DEVELOPMENT = "(devel)"  # Go's word for a version that it does not know
_BLOCK = 1 << 20


def document(program: Path, version: str = "") -> str:
    """Return the bill of materials of a Collector, as JSON.

    The modules are those that the program itself names, and Go's standard library. As in bills of
    materials by cyclonedx-gomod, a module's SHA-256 is that of its line in `go.sum`. Licences are
    known of the modules that af-otel's own Collector is made of.

    Parameters
    ----------
    program
        Any Collector, such as `otelcol-contrib`.
    version
        Its version, if the program does not name one.

    Raises
    ------
    AfOtelError
        The program cannot be read, or is not made by Go.
    """
    info = go_binary.read(program)
    licences = _licences(info.go)
    named = "" if info.main.version == _DEVELOPMENT else info.main.version
    subject = Component(
        name=program.name,
        version=named.removeprefix("v") or version or None,
        type=ComponentType.APPLICATION,
        bom_ref=program.name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=_sha256(program))],
        description=f"Built from Go module `{info.main.path}`",
    )
    standard = go_binary.Module(_STANDARD, info.go)
    return render(subject, (_component(module, licences) for module in (standard, *info.modules)))


def _component(module: go_binary.Module, licences: Mapping[tuple[str, str], str]) -> Component:
    namespace, _, name = module.path.rpartition("/")
    purl = PackageURL("golang", namespace or None, name, module.version or None)
    found = licence(licences.get((module.path, module.version), ""))
    hashes = []
    if module.sum.startswith("h1:"):
        content = base64.b64decode(module.sum.removeprefix("h1:")).hex()
        hashes.append(HashType(alg=HashAlgorithm.SHA_256, content=content))
    return Component(
        name=module.path,
        version=module.version or None,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[found] if found else [],
        hashes=hashes,
    )


def _licences(go: str) -> dict[tuple[str, str], str]:
    """Return the licence of each module at a version, as SPDX expressions."""
    file = _INSTALLED if _INSTALLED.is_file() else _CHECKOUT
    lines = file.read_text(encoding="utf-8").splitlines()
    fields = [line.split(maxsplit=2) for line in lines if line and not line.startswith("#")]
    found = {(path, version): expression for path, version, expression in fields}
    return found | {(_STANDARD, go): "BSD-3-Clause"}


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
