"""The supervisor of a detached facility: `python -m af_otel.local DIRECTORY PORTS`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from af_otel.errors import AfOtelError
from af_otel.local.control import supervise
from af_otel.local.facility import Facility
from af_otel.local.state import State


def main() -> int:
    """Supervise; what goes wrong before the first service is written for whoever started us."""
    state = State(Path(sys.argv[1]))
    try:
        facility = supervise(state, json.loads(sys.argv[2]), lambda _: None)
    except AfOtelError as error:
        failed = Facility(state.name, str(state.directory), os.getpid(), time.time(), "failed")
        failed.errors.append({"what": error.what, "where": error.where, "hint": error.hint})
        failed.write(state.facility_file)
        return 1
    return 1 if facility is not None and facility.phase == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
