"""A Kubernetes of one node with a facility on it, until Ctrl-C: `make cluster`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

from cluster import deploy  # noqa: E402
from cluster.cluster import Cluster, clusters, lacking  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    default = clusters() / "own"
    parser.add_argument("--state", type=Path, default=default, help="where all its files are")
    parser.add_argument("--bare", action="store_true", help="without a facility and its images")
    parser.add_argument("--detach", action="store_true", help="leave it running")
    parser.add_argument("--down", action="store_true", help="remove one that was left running")
    parser.add_argument("--possible", action="store_true", help="say whether it could be built")
    options = parser.parse_args()
    if options.possible:
        return 1 if lacking(built=False) else 0
    cluster = Cluster.at(options.state.resolve())
    if options.down:
        cluster.down()
        return 0
    problem = lacking()
    if cluster.node.init:
        problem = f"a cluster runs in `{cluster.state}` already; `make cluster ARGS=--down` ends it"
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    # Whatever ends us ends it, and in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    done = False
    try:
        cluster.down()  # what a killed one has left
        cluster.up(keep=options.detach, bare=options.bare)
        print(f"KUBECONFIG={cluster.kubeconfig}", flush=True)
        if not options.bare:
            facility = deploy.deploy(cluster)
            print(f"hub: {facility.url} (any user, password {facility.password})", flush=True)
        done = True
        if not options.detach:
            with contextlib.suppress(KeyboardInterrupt):
                print("Ctrl-C removes it", flush=True)
                signal.pause()
    except KeyboardInterrupt:
        return 130
    finally:
        if not (done and options.detach):
            cluster.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
