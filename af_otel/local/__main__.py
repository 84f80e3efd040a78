"""The supervisor of a detached facility: `python -m af_otel.local DIRECTORY OPTIONS`."""

from __future__ import annotations

import sys
from pathlib import Path

from af_otel.local.control import supervise
from af_otel.local.options import Options
from af_otel.local.state import State


def main() -> int:
    """Supervise, in silence: whoever started us reads the facility's file."""
    facility = supervise(State(Path(sys.argv[1])), Options.from_json(sys.argv[2]), lambda _: None)
    return 1 if facility is not None and facility.phase == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
