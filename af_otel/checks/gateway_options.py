"""What a Dask Gateway option handler returns replaces what the configuration says, key by key: an
`environment` of its own drops the variables that values gave to every cluster.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from af_otel.checks import _config
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context


@check("Hub and Dask", "Would Gateway options overwrite our environment?", source="files")
def gateway_options_keep_the_environment(context: Context) -> Iterator[Finding]:
    """Functions of the gateway's configuration that return an `environment`, read, not run."""
    if context.cluster is not None and not context.facility.dask:
        return
    context.configured("dask-gateway")
    by_policy = context.facility.injection.route in {"auto", "policy"}
    for config in context.configs:
        if config.app != "dask-gateway":
            continue
        for name, line in _overwriting(config):
            yield Finding(
                "info" if by_policy else "warns",
                f"The Gateway option handler `{name}` returns an `environment` of its own",
                f"line {line} of {config.where}",
                "The policy adds our variables to pods, after the gateway; nothing is lost"
                if by_policy
                else "Our variables in `gateway.backend.environment` would not reach the workers",
                "" if by_policy else _MEND,
            )


_MEND = (
    "# in that handler: begin with what the configuration says\n"
    "environment = {**c.KubeClusterConfig.environment, **environment}"
)


def _overwriting(config: _config.Config) -> Iterator[tuple[str, int]]:
    for name, function in _config.functions(config).items():
        for node in ast.walk(function):
            if (line := _environment(node)) and not _keeps(function):
                yield name, line
                break


def _environment(node: ast.AST) -> int:
    """The line of a key `environment` in what is returned, in any of the ways to write that."""
    if isinstance(node, ast.Dict):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return node.lineno if "environment" in keys else 0
    if isinstance(node, ast.Call) and any(word.arg == "environment" for word in node.keywords):
        return node.lineno
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        key = node.slice
        return node.lineno if isinstance(key, ast.Constant) and key.value == "environment" else 0
    return 0


def _keeps(function: ast.AST) -> bool:
    """Whether the function mentions the configured environment at all."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "environment"
        and ast.unparse(node).startswith("c.")
        for node in ast.walk(function)
    )
