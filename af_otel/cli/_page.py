"""Where results for people to read are printed: stdout."""

from __future__ import annotations

from rich.console import Console

PAPER = 1000  # columns of what is no terminal: room for every line, and nothing is cut


def page() -> Console:
    """A console on stdout, as wide as its terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PAPER
    return console
