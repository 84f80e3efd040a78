"""Errors that tell a person what happened, where, and what to do."""

from __future__ import annotations


class AfOtelError(Exception):
    """What went wrong, in three parts; a command prints them and exits with 1.

    Parameters
    ----------
    what
        The state found, one sentence without a period; literals stand in backticks.
    where
        The file, setting, address or process it was found in.
    hint
        The command to run, the log to read or the setting to change.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.hint:
            lines.append(f"  hint:  {self.hint}")
        return "\n".join(lines)
