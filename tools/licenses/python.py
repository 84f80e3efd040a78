"""Python packages of the virtual environments, the test images and the toolchains."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from license_expression import ExpressionError
from packaging.utils import canonicalize_name

from af_otel.errors import AfOtelError
from af_otel.local import servers
from building import requirements
from licenses import cache
from licenses.policy import SPDX, Package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from licenses.policy import Policy

LOCK = "requirements.lock"
VENVS = {".venv": "pyproject.toml", ".venv-oldest": "tests/oldest.txt"}
IMAGES_PYTHON = "3.11"  # the images' Debian has it
# Locks of what is installed elsewhere than in those.
OTHERS = (
    "tools/upstream/*.lock",
    "tests/cluster/*.lock",
    "tests/environments/*.lock",
    "tools/build.lock",
)
TOOLCHAINS = "tools/toolchains.lock"


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
    locked = requirements.names(root / LOCK) if (root / LOCK).is_file() else frozenset()
    for venv, file in VENVS.items():
        for directory in sorted(root.glob(f"{venv}/lib/python*/site-packages")):
            for distribution in installed(directory):
                # `.venv` keeps packages that a developer added, or that were removed from
                # pyproject.toml.
                if venv == ".venv" and locked and distribution.key[0] not in locked:
                    continue
                installed_keys.add(distribution.key)
                yield distribution.package(policy, file)
    for lock in sorted(file for pattern in OTHERS for file in root.glob(pattern)):
        missing = requirements.entries(lock).keys() - installed_keys
        for distribution in _cached(lock, sorted(missing)):
            yield distribution.package(policy, str(lock.relative_to(root)))
    if (root / TOOLCHAINS).is_file():
        for distribution in _toolchains(root / TOOLCHAINS, download=download):
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


def _spdx(text: str, policy: Policy) -> str:
    """Return the SPDX expression for the value of an older field, or the value if unknown."""
    if text.lower() in policy.names_by_lowercase:
        return policy.names_by_lowercase[text.lower()] or ""
    try:
        return str(SPDX.parse(text, validate=True))
    except ExpressionError:
        return text


def _toolchains(lock: Path, *, download: bool) -> Iterator[Distribution]:
    """Yield the locked toolchains that are installed, or all of them with `download`."""
    missing = []
    for name, version in requirements.entries(lock):
        directory = servers.cache().parent / "toolchains" / f"{name}-{version}"
        distributions = list(installed(directory))
        yield from distributions
        if not distributions:
            missing.append((name, version))
    if missing and download:
        yield from _cached(lock, missing)


def _fetch(lock: Path, keys: Iterable[tuple[str, str]]) -> list[Distribution]:
    """Install entries of a lock without dependencies into a temporary directory; read them there.

    Entries for other systems and Pythons than that of the test images are skipped.
    """
    with tempfile.TemporaryDirectory(dir=cache.directory()) as scratch:
        target = Path(scratch) / "target"
        file = Path(scratch) / "requirements.txt"
        entries = requirements.entries(lock)
        file.write_text("".join(entries[key] for key in keys), encoding="utf-8")
        arguments = [
            *("pip", "install", "--quiet", "--no-deps", "--target", str(target)),
            *("--require-hashes", "--only-binary", ":all:", "-r", str(file)),
            *("--no-python-downloads", "--python-version", IMAGES_PYTHON),
        ]
        _uv(arguments, cwd=Path(scratch))
        return list(installed(target))


def _uv(arguments: Sequence[str], *, cwd: Path) -> None:
    own = servers.CHECKOUT / ".make" / "uv"
    program = str(own) if own.exists() else shutil.which("uv")
    if program is None:
        raise AfOtelError("uv not found", where="`.make/uv` and `PATH`", hint="run `make venv`")
    result = subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise AfOtelError(
            f"`uv {' '.join(arguments[:2])}` failed with {result.returncode}",
            where=result.stderr.strip(),
            hint="if it is a network problem, run it again",
        )


def _cached(lock: Path, keys: Iterable[tuple[str, str]]) -> list[Distribution]:
    """Return the distributions of some entries of a lock, downloaded if they have changed."""
    texts = requirements.entries(lock)
    key = hashlib.sha256("".join(texts[each] for each in keys).encode()).hexdigest()
    name = f"{lock.parent.name}-{lock.stem}"
    stored = cache.read(name)
    if stored is None or stored["key"] != key:
        stored = {"key": key, "distributions": [asdict(item) for item in _fetch(lock, keys)]}
        cache.write(name, stored)
    return [Distribution(**fields) for fields in stored["distributions"]]
