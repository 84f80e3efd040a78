"""Python packages of the virtual environments, the test images and the toolchains."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from license_expression import ExpressionError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from af_otel.errors import AfOtelError
from af_otel.local import servers
from licenses import cache
from licenses.policy import SPDX, Package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from licenses.policy import Policy

VENVS = {".venv": "pyproject.toml", ".venv-oldest": "tests/oldest.txt"}
IMAGES = "tests/cluster/recipes.py"
IMAGES_PYTHON = "3.11"  # the images' Debian has it
TOOLCHAINS = "tools/toolchains.txt"


@dataclass(frozen=True)
class Distribution:
    """The fields of a distribution's metadata that concern its licence."""

    name: str
    version: str
    expression: str
    licence: str
    classifiers: Sequence[str]

    @property
    def key(self) -> tuple[str, str]:
        """The normalized name, and the version."""
        return canonicalize_name(self.name), self.version

    def package(self, policy: Policy, required_by: str) -> Package:
        """Return the distribution as the policy sees it."""
        name, version = self.key
        return Package("python", name, version, self.spdx(policy), (required_by,))

    def spdx(self, policy: Policy) -> str:
        """Return the licence as an SPDX expression, or an empty string if there is none.

        `License-Expression` takes precedence. Otherwise the licences of all older fields are
        joined with AND, because the metadata does not say whether they are alternatives.
        """
        if self.expression:
            return self.expression
        lines = self.licence.strip().splitlines()
        texts = [classifier.rpartition(" :: ")[2] for classifier in self.classifiers]
        # A multi-line `License` is the licence's text. Its title matters only without classifiers.
        if len(lines) == 1 or (lines and not texts):
            texts.append(lines[0])
        licences = {_spdx(text.strip(), policy) for text in texts} - {""}
        return " AND ".join(f"({name})" if " OR " in name else name for name in sorted(licences))


def packages(root: Path, policy: Policy, *, download: bool) -> Iterator[Package]:
    """Yield all Python packages that the repository installs.

    Parameters
    ----------
    download
        Also download the toolchains that this machine does not use, for their metadata.
    """
    installed_keys = set()
    locked = _locked_names(root)
    for venv, file in VENVS.items():
        for directory in sorted(root.glob(f"{venv}/lib/python*/site-packages")):
            for distribution in installed(directory):
                # `uv sync --inexact` keeps packages that a developer added, or that were removed
                # from pyproject.toml.
                if venv == ".venv" and locked and distribution.key[0] not in locked:
                    continue
                installed_keys.add(distribution.key)
                yield distribution.package(policy, file)
    if (root / IMAGES).is_file():
        for distribution in _in_images(root, installed_keys):
            yield distribution.package(policy, IMAGES)
    if (root / TOOLCHAINS).is_file():
        for distribution in _toolchains(root, download=download):
            yield distribution.package(policy, TOOLCHAINS)


def installed(directory: Path) -> Iterator[Distribution]:
    """Yield the distributions installed in a `site-packages` directory."""
    for distribution in metadata.distributions(path=[str(directory)]):
        fields = distribution.metadata
        yield Distribution(
            name=str(fields["Name"]),
            version=distribution.version,
            expression=_first(fields, "License-Expression"),
            licence=_first(fields, "License"),
            classifiers=[
                value
                for value in fields.get_all("Classifier", [])
                if value.startswith("License ::")
            ],
        )


def _first(fields: metadata.PackageMetadata, name: str) -> str:
    return next(iter(fields.get_all(name, [])), "")


def _locked_names(root: Path) -> frozenset[str]:
    """Return the names in uv's lock file: everything that pyproject.toml leads to."""
    lock = root / "uv.lock"
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    return frozenset(re.findall(r'^name = "(.+)"$', text, re.MULTILINE))


def _spdx(text: str, policy: Policy) -> str:
    """Return the SPDX expression for the value of an older field, or the value if unknown."""
    if text.lower() in policy.names_by_lowercase:
        return policy.names_by_lowercase[text.lower()] or ""
    try:
        return str(SPDX.parse(text, validate=True))
    except ExpressionError:
        return text


def _in_images(root: Path, installed_keys: set[tuple[str, str]]) -> list[Distribution]:
    """Return the distributions that only the test images install."""
    sys.path.append(str(root / "tests"))
    recipes = importlib.import_module("cluster.recipes")
    pyproject = (root / "pyproject.toml").read_text(encoding="utf-8")

    def look_up() -> list[Distribution]:
        # uv applies the constraints of pyproject.toml, except for the deliberately old API.
        pins = {
            *_resolve(root, recipes.HUB),
            *_resolve(root, recipes.USER),
            *_resolve(root, [recipes.OLD_API], "--no-config"),
        }
        return _fetch(sorted(pin for pin in pins if _key(pin) not in installed_keys))

    inputs = (recipes.HUB, recipes.USER, recipes.OLD_API, pyproject, sorted(installed_keys))
    return _cached("images", inputs, look_up)


def _toolchains(root: Path, *, download: bool) -> Iterator[Distribution]:
    """Yield the pinned toolchains that are installed, or all of them with `download`."""
    lines = (root / TOOLCHAINS).read_text(encoding="utf-8").splitlines()
    missing = []
    for pin in (line for line in lines if "==" in line):
        directory = servers.cache().parent / "toolchains" / pin.replace("==", "-")
        distributions = list(installed(directory))
        yield from distributions
        if not distributions:
            missing.append(pin)
    if missing and download:
        yield from _cached("toolchains", missing, lambda: _fetch(missing))


def _key(pin: str) -> tuple[str, str]:
    requirement = Requirement(pin)
    return canonicalize_name(requirement.name), str(requirement.specifier).removeprefix("==")


def _resolve(root: Path, requirements: Sequence[str], *options: str) -> list[str]:
    """Resolve requirements to `name==version` lines."""
    arguments = [
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", *options),
        *("--no-python-downloads", "--python-version", IMAGES_PYTHON, "-"),
    ]
    return _uv(arguments, cwd=root, stdin="\n".join(requirements)).splitlines()


def _fetch(pins: Sequence[str]) -> list[Distribution]:
    """Install packages without their dependencies into a temporary directory; read them there."""
    if not pins:
        return []
    with tempfile.TemporaryDirectory(dir=cache.directory()) as target:
        arguments = [
            *("pip", "install", "--quiet", "--no-config", "--no-deps", "--target", target),
            *("--no-python-downloads", "--python-version", IMAGES_PYTHON, *pins),
        ]
        _uv(arguments, cwd=Path(target))
        return list(installed(Path(target)))


def _uv(arguments: Sequence[str], *, cwd: Path, stdin: str = "") -> str:
    own = servers.CHECKOUT / ".make" / "uv"
    program = str(own) if own.exists() else shutil.which("uv")
    if program is None:
        raise AfOtelError("uv not found", where="`.make/uv` and `PATH`", hint="run `make venv`")
    result = subprocess.run(
        [program, *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise AfOtelError(
            f"`uv {' '.join(arguments[:2])}` failed with {result.returncode}",
            where=result.stderr.strip(),
            hint="if it is a network problem, run it again",
        )
    return result.stdout


def _cached(
    name: str, inputs: object, look_up: Callable[[], list[Distribution]]
) -> list[Distribution]:
    """Return the cached result of `look_up` if the inputs are unchanged."""
    key = hashlib.sha256(repr(inputs).encode()).hexdigest()
    stored = cache.read(name)
    if stored is None or stored["key"] != key:
        stored = {"key": key, "distributions": [asdict(item) for item in look_up()]}
        cache.write(name, stored)
    return [Distribution(**fields) for fields in stored["distributions"]]
