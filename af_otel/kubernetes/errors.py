"""What the Kubernetes API says no with, as errors that a person can act on."""

from __future__ import annotations

import json
from typing import Any

from af_otel.errors import AfOtelError

_EXCERPT = 400  # characters of an answer that is no Status; a load balancer's page is longer


class ApiError(AfOtelError):
    """The API answered, and not with what was asked for."""

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", status: int = 0, reason: str = ""
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.status = status
        self.reason = reason


class Unreachable(ApiError):
    """No API server answers, or one that cannot serve now: worth another try."""


class Forbidden(ApiError):
    """The caller lacks a right; `rule` is the one to ask for."""

    rule: dict[str, Any]


class NotFound(ApiError):
    """The object, its namespace or its kind is not there."""


class Conflict(ApiError):
    """Somebody else owns what would be set, or changed it meanwhile.

    `owners` has the fields that they own, with who.
    """

    owners: dict[str, str]


class Invalid(ApiError):
    """The API server, or an admission policy, refuses the object as it is."""


def from_answer(
    status: int, body: bytes, *, verb: str, what: str, rule: dict[str, Any], namespace: str
) -> ApiError:
    """The error of an answer that is no success.

    Parameters
    ----------
    what
        The object or collection it was about, for the sentence.
    rule
        The RBAC rule that allows the request.
    """
    said, reason = _message(body)
    # As if without credentials: an exec plug-in that fails leaves none.
    if status == 401 or 'User "system:anonymous"' in said:  # noqa: PLR2004
        return ApiError(
            "The cluster does not know who you are",
            where=said,
            hint="log in again, or name another kubeconfig with `--kubeconfig`",
            status=status,
            reason=reason,
        )
    # Who may `get` a pod's stream but not `create` it is told no more than that.
    right = "forbidden: User" in said or said.endswith("forbidden: ")
    if status == 403 and reason == "Forbidden" and right:  # noqa: PLR2004
        role = f"a Role in namespace `{namespace}`" if namespace else "a ClusterRole"
        error = Forbidden(
            f"You may not {verb} {what}",
            where=said,
            hint=f"ask for {role} with the rule `{rule_text(rule)}`",
            status=status,
            reason=reason,
        )
        error.rule = rule
        return error
    if status == 409:  # noqa: PLR2004
        conflict = Conflict(f"Cannot {verb} {what}", where=said, status=status, reason=reason)
        conflict.owners = _owners(body)
        return conflict
    kind: type[ApiError] = ApiError
    if status == 404:  # noqa: PLR2004
        kind = NotFound
    elif status in {400, 403, 413, 415, 422}:
        kind = Invalid
    elif status == 429 or status >= 500:  # noqa: PLR2004
        kind = Unreachable
    return kind(f"Cannot {verb} {what}", where=said, status=status, reason=reason)


def rule_text(rule: dict[str, Any]) -> str:
    """An RBAC rule in one line of YAML."""
    return json.dumps(rule).replace('"', "").replace("[]", '[""]').replace("[,", '["",')


def _message(body: bytes) -> tuple[str, str]:
    """What the API said, and its reason in one word."""
    try:
        status = json.loads(body)
        return str(status.get("message", "")), str(status.get("reason", ""))
    except (ValueError, AttributeError):
        return " ".join(body.decode(errors="replace").split())[:_EXCERPT], ""


def _owners(body: bytes) -> dict[str, str]:
    """Which fields a server-side apply was refused for, and who owns each."""
    try:
        causes = json.loads(body).get("details", {}).get("causes") or ()
    except (ValueError, AttributeError):
        return {}
    return {
        # The message is: conflict with "kubectl-edit" using apps/v1
        each["field"]: each["message"].partition('"')[2].partition('"')[0] or each["message"]
        for each in causes
        if each.get("reason") == "FieldManagerConflict"
    }
