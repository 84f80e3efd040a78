"""Write docs/telemetry.md from the constants in instrumentations/semconv.

python tools/generate_docs.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, services, spans

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "telemetry.md"
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


def main() -> None:
    """Write the page, or with --check say whether it is as it should be."""
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text() != page():
            sys.exit(f"{TARGET.name} is not what the constants say: run {Path(__file__).name}")
        return
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page())


if __name__ == "__main__":
    main()
