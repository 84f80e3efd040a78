"""Where checks read: a live cluster, or files with manifests and chart values."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import yaml

from af_otel.checks import _shapes
from af_otel.checks._labels import chooses, text
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.refs import Ref

Object = dict[str, Any]
Selector = "Mapping[str, Any] | None"
ChartName = Literal["jupyterhub", "dask-gateway"]


@dataclass(frozen=True)
class Chart:
    """The values of a release, or of one chart in it."""

    name: ChartName
    values: Mapping[str, Any]
    where: str  # they were found
    path: str = ""  # of a chart within a chart, with its dot: `jupyterhub.`

    def value(self, key: str, default: Any = None) -> Any:
        """A value by its dotted key; None counts as not given."""
        found: Any = self.values
        for part in key.split("."):
            if not isinstance(found, dict) or found.get(part) is None:
                return default
            found = found[part]
        return found

    def at(self, key: str) -> str:
        """How a key is called in the file, and which file that is."""
        return f"`{self.path}{key}` in {self.where}"

    def yaml(self, values: Mapping[str, Any]) -> str:
        """Values to add, as the file has them."""
        made: Mapping[str, Any] = values
        for part in reversed(self.path.split(".")[:-1]):
            made = {part: made}
        body = yaml.safe_dump(made, sort_keys=False, default_flow_style=None, width=100)
        return f"# merge into the values of the `{self.name}` chart\n{body.rstrip()}"


class Objects(Protocol):
    """Read access to objects."""

    def get(self, ref: Ref) -> Object | None:
        """One object; None if it is not there."""

    def list(
        self,
        kind: str,
        api_version: str = "v1",
        namespace: str | None = None,
        selector: Mapping[str, Any] | None = None,
    ) -> Sequence[Object]:
        """The objects of a kind, chosen by a LabelSelector."""


class Live:
    """A cluster's objects, each asked for once: all checks see the same ones."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: dict[tuple[Any, ...], Any] = {}

    def get(self, ref: Ref) -> Object | None:
        """One object; None if it is not there."""
        if (ref,) not in self._seen:
            self._seen[(ref,)] = self._cluster.get(ref)
        found: Object | None = self._seen[(ref,)]
        return found

    def list(
        self,
        kind: str,
        api_version: str = "v1",
        namespace: str | None = None,
        selector: Mapping[str, Any] | None = None,
    ) -> Sequence[Object]:
        """The objects of a kind, chosen by a LabelSelector."""
        key = (kind, api_version, namespace, text(selector or {}))
        if key not in self._seen:
            self._seen[key] = self._cluster.list(kind, api_version, namespace, key[-1] or None)
        found: Sequence[Object] = self._seen[key]
        return found


class Files:
    """Objects out of files. One without a namespace is in every one: charts write none."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = objects

    def get(self, ref: Ref) -> Object | None:
        """One object; None if it is not there."""
        for item in self._of(ref.kind, ref.api_version, ref.namespace):
            if item["metadata"]["name"] == ref.name:
                return item
        return None

    def list(
        self,
        kind: str,
        api_version: str = "v1",
        namespace: str | None = None,
        selector: Mapping[str, Any] | None = None,
    ) -> Sequence[Object]:
        """The objects of a kind, chosen by a LabelSelector."""
        return [
            item
            for item in self._of(kind, api_version, namespace)
            if chooses(selector, item["metadata"].get("labels") or {})
        ]

    def _of(self, kind: str, api_version: str, namespace: str | None) -> Iterator[Object]:
        for item in self._objects:
            lives = item["metadata"].get("namespace")
            if (item["kind"], item["apiVersion"]) == (kind, api_version) and (
                not namespace or lives in {None, namespace}
            ):
                yield item


_MAKES_ONE = "`helm template …` or `helm get values RELEASE --all -o yaml` makes one"


def read(paths: Sequence[Path]) -> tuple[list[Object], list[Chart]]:
    """Objects and chart values, told apart by what is in the files.

    Raises
    ------
    AfOtelError
        A file cannot be read, or is neither.
    """
    objects: list[Object] = []
    charts: list[Chart] = []
    for path in paths:
        parts = list(documents(path))
        if not parts:
            raise AfOtelError(f"`{path}` is empty", hint=_MAKES_ONE)
        for document in parts:
            items = document.get("items") if "items" in document else [document]
            manifests = [each for each in items or () if _is_object(each)]
            kubernetes = {"apiVersion", "kind"} <= set(document)
            found = [] if kubernetes else list(charts_in(document, f"`{path}`"))
            if not kubernetes and not found:
                raise AfOtelError(
                    f"`{path}` has neither Kubernetes objects nor values of a chart that is known",
                    where="its keys: " + ", ".join(f"`{key}`" for key in list(document)[:8]),
                    hint=_MAKES_ONE,
                )
            for each in manifests:
                _refuse_misfits(each, f"`{path}`")
            objects += manifests
            charts += found
    return objects, charts


def _refuse_misfits(obj: Object, where: str) -> None:
    kind = obj["kind"]
    named = f"{kind} `{obj['metadata']['name']}`"
    key, wanted = _shapes.misfit(obj, _shapes.OBJECTS.get(kind, {}))
    if wanted:
        raise AfOtelError(f"`{key}` of {named} is not {wanted}", where=where, hint=_MAKES_ONE)
    spec = obj.get("spec")
    if spec is None and "spec" in _shapes.OBJECTS.get(kind, {}):
        raise AfOtelError(f"{named} has no `spec`", where=where, hint=_MAKES_ONE)
    pod = spec if kind == "Pod" else ((spec or {}).get("template") or {}).get("spec")
    if kind in _WITH_PODS and pod is not None and not pod.get("containers"):
        raise AfOtelError(f"{named} has no containers", where=where, hint=_MAKES_ONE)


_WITH_PODS = {"Deployment", "StatefulSet", "Pod"}


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes and Helm read it: a date, and the `=` that CRDs have, are texts."""


for _tag in ("value", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", lambda _, node: node.value)


def documents(path: Path) -> Iterator[Object]:
    """The YAML documents of a file, all of them mappings.

    Raises
    ------
    AfOtelError
        It cannot be read, or is none.
    """
    try:
        # As bytes: what a Windows shell redirects is UTF-16, which YAML knows by its first two.
        loaded = list(yaml.load_all(path.read_bytes(), _Loader))
    except OSError as error:
        raise AfOtelError(f"`{path}` cannot be read", where=str(error)) from error
    except yaml.reader.ReaderError as error:
        raise AfOtelError(
            f"`{path}` has what is no text",
            where=" ".join(str(error).split()),
            hint="save the file as UTF-8",
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise AfOtelError(
            f"`{path}` is no YAML",
            where=" ".join(str(error).split()),
            hint="a chart's templates have to be rendered first: `helm template`",
        ) from error
    for document in loaded:
        if isinstance(document, dict):
            yield document
        elif document is not None:
            raise AfOtelError(f"`{path}` is no mapping, but a {type(document).__name__}")


def _is_object(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and {"apiVersion", "kind", "metadata"} <= set(document)
        and isinstance(document["kind"], str)
        and isinstance(document["metadata"], dict)
        and "name" in document["metadata"]
    )


def charts_in(values: Mapping[str, Any], where: str, path: str = "") -> Iterator[Chart]:
    """The charts that values are for; a facility's own chart has these as dependencies.

    Raises
    ------
    AfOtelError
        The values are such as no chart takes.
    """
    hub, gateway = values.get("hub"), values.get("gateway")
    if isinstance(values.get("singleuser"), dict) or (
        isinstance(hub, dict) and set(hub) & _OF_A_HUB
    ):
        yield _chart("jupyterhub", values, where, path)
    elif isinstance(gateway, dict) and set(gateway) & _OF_A_GATEWAY:
        yield _chart("dask-gateway", values, where, path)
    elif path.count(".") < _DEPTH:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from charts_in(value, where, f"{path}{key}.")


def _chart(name: ChartName, values: Mapping[str, Any], where: str, path: str) -> Chart:
    chart = Chart(name, values, where, path)
    key, wanted = _shapes.misfit(values, _shapes.CHARTS[name])
    if wanted:
        raise AfOtelError(
            f"`{path}{key}` is not {wanted}", where=where, hint=_AS_CHART.format(name)
        )
    return chart


_AS_CHART = "the `{}` chart would fail on it, too: look at the indentation around it"
_DEPTH = 3
_OF_A_HUB = {"config", "extraConfig", "extraEnv", "image", "db", "networkPolicy", "services"}
_OF_A_GATEWAY = {"backend", "extraConfig", "auth", "prefix"}


def contents(obj: Mapping[str, Any]) -> dict[str, str]:
    """The texts in a ConfigMap or a Secret; what is no text is left out."""
    given = obj.get("data" if obj["kind"] == "ConfigMap" else "stringData") or {}
    texts = {key: text for key, text in given.items() if isinstance(text, str)}
    for key, value in (obj.get("data") or {}).items() if obj["kind"] == "Secret" else ():
        with contextlib.suppress(ValueError, TypeError):
            texts[key] = base64.b64decode(value).decode()
    return texts
