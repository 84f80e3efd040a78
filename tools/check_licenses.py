#!/usr/bin/env python3
"""Check that everything this repository installs, builds or names has a permissive licence.

`licenses/policy.yaml` lists the allowed licences. With CI=true, packages that are not on this
machine are downloaded, so that every licence is read from the package itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from af_otel.local.servers import CHECKOUT
from licenses import go, images, npm, python
from licenses.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Report:
    """The outcome of the check: one line per finding."""

    findings: list[str]
    packages: int
    unverified: int


def main(arguments: Sequence[str] | None = None, root: Path = CHECKOUT) -> int:
    """Run the check; print findings to stderr and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help=f"first regenerate `{go.LIST}`")
    options = parser.parse_args(arguments)
    try:
        if options.update:
            go.update(root)
        report = check(root, download=os.environ.get("CI") == "true")
    except AfOtelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for finding in report.findings:
        print(f"error: {finding}", file=sys.stderr)
    if report.findings:
        return 1
    note = f" ({report.unverified} Go modules only according to `{go.LIST}`)"
    print(
        f"licenses: {report.packages} packages and modules, all permissive"
        + (note if report.unverified else "")
    )
    return 0


def check(root: Path, *, download: bool) -> Report:
    """Check the Python packages, npm packages, Go modules and image references of a checkout."""
    policy = Policy.read()
    modules = go.check(root, download=download)
    packages = {
        *modules.packages,
        *npm.packages(root),
        *python.packages(root, policy, download=download),
    }
    objections = filter(None, map(policy.objection, sorted(packages)))
    return Report(
        findings=[*objections, *modules.findings, *images.findings(root, policy.images)],
        packages=len({(p.ecosystem, p.name, p.version) for p in packages}),
        unverified=modules.unverified,
    )


if __name__ == "__main__":
    sys.exit(main())
