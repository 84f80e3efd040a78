"""What JupyterHub's and Dask Gateway's configuration files set, read without running them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from af_otel.checks._sources import contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from af_otel.checks._sources import Chart

App = Literal["jupyterhub", "dask-gateway"]
_HUBS = ("c.JupyterHub.", "c.KubeSpawner.", "c.Spawner.", "c.Authenticator.")
_GATEWAYS = ("c.DaskGateway.", "c.Backend.", "c.KubeBackend.", "c.KubeClusterConfig.")


@dataclass(frozen=True)
class Config:
    """A piece of configuration in Python."""

    app: App
    code: str
    where: str

    def tree(self) -> ast.Module | None:
        """Parsed; None for what is no Python of ours, such as a template."""
        try:
            return ast.parse(self.code)
        except (SyntaxError, ValueError):
            return None


@dataclass(frozen=True)
class Setting:
    """`c.Class.trait = value`, or what stands for that in a chart's values."""

    name: str
    value: Any  # a literal; or how the code has it, in an `ast.expr`
    where: str

    @property
    def said(self) -> str:
        """The value as a person would read it, in one line."""
        text = ast.unparse(self.value) if isinstance(self.value, ast.expr) else repr(self.value)
        text = " ".join(text.split())
        return text if len(text) <= _SAID else text[:_SAID] + "…"


_SAID = 60  # characters


def of_charts(charts: Iterable[Chart]) -> Iterator[Config]:
    """The code that charts' values add."""
    for chart in charts:
        section = "hub" if chart.name == "jupyterhub" else "gateway"
        extra = chart.value(f"{section}.extraConfig", {})
        if isinstance(extra, str):
            extra = {"": extra}
        for key in sorted(extra):
            name = f"{section}.extraConfig" + (f".{key}" if key else "")
            yield Config(chart.name, str(extra[key]), chart.at(name))


def of_objects(objects: Iterable[Mapping[str, Any]]) -> Iterator[Config]:
    """The configuration files in ConfigMaps and Secrets."""
    for obj in objects:
        for key, text in contents(obj).items():
            where = f"`{key}` of {obj['kind']} `{obj['metadata']['name']}`"
            # The chart's own file forwards the values, which are read as such.
            if not key.endswith(".py") or "from z2jh import" in text:
                continue
            if any(sign in text for sign in _GATEWAYS):
                yield Config("dask-gateway", text, where)
            elif any(sign in text for sign in _HUBS):
                yield Config("jupyterhub", text, where)


def settings(configs: Iterable[Config], charts: Iterable[Chart] = ()) -> Iterator[Setting]:
    """Everything that is set on `c`, in the order of the files."""
    for chart in charts:
        for section, traits in chart.value("hub.config", {}).items():
            for trait, value in traits.items() if isinstance(traits, dict) else ():
                key = f"hub.config.{section}.{trait}"
                yield Setting(f"{section}.{trait}", value, chart.at(key))
    for config in configs:
        tree = config.tree()
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Assign):
                targets, value = node.targets, node.value
            elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and node.value is not None:
                targets, value = [node.target], node.value
            else:
                continue
            for target in targets:
                if name := _trait(target):
                    yield Setting(name, _literal(value), f"line {node.lineno} of {config.where}")


def _trait(target: ast.expr) -> str:
    """`KubeSpawner.image` for `c.KubeSpawner.image` and `c.KubeSpawner.image[...]`."""
    if isinstance(target, ast.Subscript):
        return _trait(target.value)
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Attribute):
        root = target.value.value
        if isinstance(root, ast.Name) and root.id == "c":
            return f"{target.value.attr}.{target.attr}"
    return ""


def _literal(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError):
        if isinstance(value, ast.Dict):
            items = zip(value.keys, value.values, strict=True)
            # What is no literal stays an expression; the rest can be read.
            return {
                key.value: _literal(item) for key, item in items if isinstance(key, ast.Constant)
            }
        return value


def functions(config: Config) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a configuration, by name."""
    tree = config.tree()
    return {
        node.name: node
        for node in (ast.walk(tree) if tree else ())
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
