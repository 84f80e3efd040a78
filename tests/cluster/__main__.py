"""`python tests/cluster up|down`: a cluster that stays until it is taken down."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

from cluster.cluster import Cluster, lacking  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    default = Path(tempfile.gettempdir()) / "af-otel-cluster"
    parser.add_argument("--state", type=Path, default=default, help="where all its files are")
    options = parser.parse_args()
    cluster = Cluster.at(options.state.resolve())
    if options.command == "down":
        cluster.down()
        return 0
    if reason := lacking():
        print(f"error: {reason}", file=sys.stderr)
        return 1
    cluster.up(keep=True)
    print(cluster.kubeconfig)
    return 0


if __name__ == "__main__":
    sys.exit(main())
