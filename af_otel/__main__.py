"""The `af-otel` command. What it is made of takes a while to load, and Ctrl-C is no error then."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command."""
    try:
        from af_otel import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
