"""Serve the page on this machine.

python -m af_otel.page --port 8088 --store jaeger=URL --prometheus URL --keys DIR
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from af_otel.backends.certificates import Certificates
from af_otel.backends.connect import STORES, connect
from af_otel.backends.http import Access, Api
from af_otel.page.gate import Gate
from af_otel.page.server import Server, Site


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m af_otel.page", description=__doc__)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument(
        "--store", metavar="KIND=URL", required=True, help=f"KIND is one of {', '.join(STORES)}"
    )
    parser.add_argument("--prometheus", metavar="URL", required=True)
    parser.add_argument(
        "--keys",
        metavar="DIR",
        type=Path,
        required=True,
        help="of the facility: whom to answer, and how to ask its servers",
    )
    parser.add_argument("--facility", metavar="NAME", default="")
    parser.add_argument(
        "--link", action="append", default=[], metavar="TITLE=URL", help="where else to look"
    )
    given = parser.parse_args()
    kind, _, url = given.store.partition("=")
    links = dict(link.split("=", 1) for link in given.link)
    access = Access(tls=Certificates(given.keys).client())
    site = Site(
        given.facility,
        connect(kind, url, access),
        Api("Prometheus", given.prometheus, access),
        links,
        Gate.read(given.keys),
    )

    def end(*_: object) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    with Server(given.port, site) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
