"""Write what docs/ and collector-config/ have of the code.

python tools/generate_docs.py [--check]
"""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, services, spans

import collector_secrets
from af_otel.checks import run
from af_otel.facility.read import schema_text
from af_otel.facility.reference import reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HEAD = """# Telemetry: every name

Made by `tools/generate_docs.py` from `instrumentations/semconv`: change it there.
"""


def constants(module: ModuleType) -> list[tuple[str, str, str]]:
    """Name, value and the comment above of each constant of a module, in its order."""
    found = []
    comment: list[str] = []
    previous = ""
    for line in Path(str(module.__file__)).read_text().splitlines():
        if line.startswith("# "):
            comment = [*comment, line[2:]] if previous.startswith("# ") else [line[2:]]
        elif match := re.match(r"([A-Z][A-Z_]+): Final = ", line):
            found.append((match[1], str(getattr(module, match[1])), " ".join(comment)))
        elif not line:
            comment = []
        previous = line
    return found


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def page() -> str:
    """The whole page."""
    names = [(f"`{value}`", about) for _, value, about in constants(spans) if not value.isdigit()]
    keys = [
        (f"`{value}`", about) for name, value, about in constants(attributes) if name != "OTHER"
    ]
    instruments = [
        (
            f"`{item.name}`",
            "histogram" if item.boundaries else "counter or gauge",
            f"`{item.unit}`",
            item.description,
        )
        for item in vars(metrics).values()
        if isinstance(item, metrics.Instrument)
    ]
    processes = [(f"`{value}`", about) for _, value, about in constants(services)]
    return (
        "\n\n".join(
            [
                HEAD.strip(),
                "## Processes (`service.name`)",
                table(("name", "process"), processes),
                "## Spans",
                table(("name", "from, to; process; under"), names),
                "## Attributes",
                table(("name", "type and bound"), keys),
                "## Metrics",
                table(("name", "kind", "unit", "what it counts"), instruments),
            ]
        )
        + "\n"
    )


CHECKS = """# Checks: every one

Made by `tools/generate_docs.py` from `af_otel/checks`: change it there. `af-otel validate` runs
them all, and so does `install` before it changes anything; `--only` and `--skip` choose by name.
Those marked with a star also run on files, with `--offline`.
"""


def checks() -> str:
    """What is checked, why, and how."""
    parts = [CHECKS.strip()]
    for group, members in groupby(run.chosen(), key=lambda each: each.group):
        parts.append(f"## {group}")
        for reason, alike in groupby(members, key=lambda each: each.reason):
            rows = [
                (
                    f"`{each.name}`" + (" ★" if each.source == "files" else ""),
                    each.asks,
                    " ".join((each.function.__doc__ or "").split()),
                )
                for each in alike
            ]
            parts += [reason, table(("check", "asks", "how"), rows)]
    return "\n\n".join(parts) + "\n"


MADE = {
    DOCS / "checks.md": checks,
    DOCS / "telemetry.md": page,
    DOCS / "facility.md": reference,
    DOCS / "facility.schema.json": schema_text,
    collector_secrets.BASE: collector_secrets.config,
}


def main() -> None:
    """Write the files, or with --check say whether they are as they should be."""
    if "--check" in sys.argv[1:]:
        for target, made in MADE.items():
            if not target.exists() or target.read_text(encoding="utf-8") != made():
                sys.exit(f"{target.name} is not what the code says: run {Path(__file__).name}")
        return
    DOCS.mkdir(exist_ok=True)
    for target, made in MADE.items():
        target.write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
