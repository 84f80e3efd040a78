"""The licence policy: allowed licences and reviewed exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from license_expression import (
    AND,
    OR,
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    get_spdx_licensing,
)
from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).with_name("policy.yaml")
SPDX = get_spdx_licensing()
KINDS = {"python": "Python package", "npm": "npm package", "go": "Go module"}


@dataclass(frozen=True, order=True)
class Package:
    """A package and its licence.

    Parameters
    ----------
    ecosystem
        A key of `KINDS`.
    licence
        An SPDX expression; or, if it is not one, what the package says instead; or empty.
    required_by
        The files of this repository that require the package.
    """

    ecosystem: str
    name: str
    version: str
    licence: str
    required_by: tuple[str, ...]

    def __str__(self) -> str:
        return f"{KINDS[self.ecosystem]} `{self.name}` {self.version}".rstrip()

    @property
    def requirers(self) -> str:
        """The files that require the package, for messages."""
        return ", ".join(f"`{file}`" for file in self.required_by)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reviewed(_Part):
    """An exception, valid only while the package has the reviewed licence."""

    licence: str
    reason: str


class Images(_Part):
    """Denied container images, and the files that may name them nevertheless."""

    denied: dict[str, str]
    fixtures: dict[str, str]


class Policy(_Part):
    """The content of `policy.yaml`."""

    allowed: frozenset[str]
    names: dict[str, str | None]
    exceptions: dict[str, dict[str, Reviewed]]
    images: Images

    @classmethod
    def read(cls, file: Path = FILE) -> Policy:
        """Read and validate the policy file."""
        return cls.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))

    @cached_property
    def names_by_lowercase(self) -> dict[str, str | None]:
        """`names`, for case-insensitive lookups."""
        return {name.lower(): licence for name, licence in self.names.items()}

    def objection(self, package: Package) -> str | None:
        """Return a one-line error if the package may not be used, else None."""
        problem = self._problem(package.licence)
        reviewed = self.exceptions.get(package.ecosystem, {}).get(package.name)
        if problem is None or (reviewed is not None and reviewed.licence == package.licence):
            return None
        if reviewed is not None:
            problem += f" (the exception is for `{reviewed.licence}`)"
        return (
            f"{package} {problem}; required by {package.requirers}; "
            f"replace it, or add an exception with its reason to `tools/licenses/{FILE.name}`"
        )

    def _problem(self, licence: str) -> str | None:
        if not licence:
            return "has no licence"
        try:
            expression = SPDX.parse(licence, validate=True)
        except ExpressionError:
            return f"has an unknown licence, `{licence}`"
        return None if self._allows(expression) else f"is under `{licence}`, which is not allowed"

    def _allows(self, expression: object) -> bool:
        if isinstance(expression, OR):
            return any(map(self._allows, expression.args))
        if isinstance(expression, AND):
            return all(map(self._allows, expression.args))
        if isinstance(expression, LicenseWithExceptionSymbol):
            # An SPDX exception only adds permissions to its licence.
            return self._allows(expression.license_symbol)
        return isinstance(expression, LicenseSymbol) and expression.key in self.allowed
