"""What a check says: what is wrong, where, why that matters, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Severity = Literal["blocks", "warns", "info"]
SEVERITIES: tuple[Severity, ...] = ("blocks", "warns", "info")  # the worst first


@dataclass(frozen=True)
class Finding:
    """One thing that an operator should know, with its cure.

    Parameters
    ----------
    severity
        `blocks`: an install would fail, or no telemetry would flow. `warns`: something stays
        untraced or unseen. `info`: how it is dealt with.
    what
        The state found, one sentence without a period; literals stand in backticks.
    where
        The object, setting, image or address it was found in.
    why
        What comes of it.
    mend
        YAML to apply or to merge, after a comment that says into what; or a command.
    fix
        Objects of ours that `--fix` applies; those with `metadata.deletionTimestamp` it deletes.
    check
        The check's name; the registry writes it.
    """

    severity: Severity
    what: str
    where: str = ""
    why: str = ""
    mend: str = ""
    fix: Sequence[dict[str, Any]] = field(default=(), repr=False)
    check: str = ""

    @property
    def fixable(self) -> bool:
        """Whether `--fix` mends it."""
        return bool(self.fix)

    def as_json(self) -> dict[str, Any]:
        """All of it but the objects themselves."""
        return {
            "check": self.check,
            "severity": self.severity,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "mend": self.mend,
            "fixable": self.fixable,
        }


@dataclass(frozen=True)
class Unchecked:
    """Something that could not be looked at: neither well nor ill."""

    why: str
    hint: str = ""
    check: str = ""

    def as_json(self) -> dict[str, str]:
        """All of it."""
        return {"check": self.check, "why": self.why, "hint": self.hint}


class NotChecked(Exception):
    """A check cannot be carried out; the others go on."""

    def __init__(self, why: str, *, hint: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
