"""A machine-learning training, value by value: each with the time it was made at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.metrics import _callbacks, _names, _registry
from af_otel.metrics._instruments import Counter, finite
from af_otel.metrics._warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

MOST_METRICS = 100
_LOGS = "user_training_logs_total"


class Training:
    """One run: `log` from a loop of one's own, or a callback of the library that runs the loop.

    In Prometheus `user_training_loss{training="higgs"}` and so on for each name that is logged.
    Every value is a point of its own, however seldom metrics are exported. The calls of `log` are
    counted by `user_training_logs_total`, whose exemplar leads to the trace of the training cell.
    """

    def __init__(self, name: str, labels: Mapping[str, Any]) -> None:
        self._labels = _names.labels("training", {"training": name, **labels})
        self._names: dict[str, str | None] = {}
        self._spelt = {_LOGS: "log()"}
        self._keys: dict[str, tuple[tuple[str, str], ...]] = {}
        self._logs = _registry.instrument(Counter, "training.logs", "{call}", "Calls of log()")

    def log(
        self, values: Mapping[str, Any] | None = None, *, dataset: str = "", **named: Any
    ) -> None:
        """Record values as of now: `log(epoch=3, loss=0.4)`; never raises.

        Parameters
        ----------
        values, **named
            Finite numbers by their names: `epoch`, `step`, `loss`, `learning_rate`, any metric.
        dataset
            What they were computed on, such as `validation`: a label.
        """
        key = self._key(dataset)
        try:
            given = {**({} if values is None else values), **named}
        except Exception:
            warn("training", f"log() takes names with their numbers, not a {type(values).__name__}")
            given = named
        for name, value in given.items():
            full = self._names.get(name, "") if type(name) is str else self._named(name)
            if full == "":
                full = self._named(name)
            if full is None:
                continue
            number = finite(full, value)
            if number is not None:
                _registry.points.add(full, key, number)
        self._logs._add(1, self._labels)  # noqa: SLF001 - a label may be called as its argument

    def xgboost(self) -> Any:
        """Return a callback for `xgboost.train(callbacks=[...])` and the estimators'."""
        return _callbacks.xgboost(self)

    def lightgbm(self) -> Callable[[Any], None]:
        """Return a callback for `lightgbm.train(callbacks=[...])` and `fit(callbacks=[...])`."""
        return _callbacks.lightgbm(self)

    def keras(self) -> Any:
        """Return a callback for Keras' `model.fit(callbacks=[...])`."""
        return _callbacks.keras(self)

    def lightning(self) -> Any:
        """Return a callback for PyTorch Lightning's `Trainer(callbacks=[...])`."""
        return _callbacks.lightning(self)

    def sklearn(self, scoring: Any = None) -> Any:
        """Return a callback for `estimator.set_callbacks(...)`, from scikit-learn 1.9 on.

        `scoring` is as of `sklearn.metrics.check_scoring`, and computed in each iteration.
        """
        return _callbacks.sklearn(self, scoring)

    def sklearn_monitor(self) -> Callable[..., bool]:
        """Return a `monitor` for the `fit` of scikit-learn's `GradientBoosting*`."""
        return _callbacks.sklearn_monitor(self)

    def _key(self, dataset: Any) -> tuple[tuple[str, str], ...]:
        key = self._keys.get(dataset) if type(dataset) is str else None
        if key is None:
            more = {} if dataset is None or dataset == "" else {"dataset": dataset}
            key = tuple(sorted(_names.labels("training", {**self._labels, **more}).items()))
            if type(dataset) is str and len(self._keys) < MOST_METRICS:
                self._keys[dataset] = key
        return key

    def _named(self, name: Any) -> str | None:
        full = None
        if len(self._names) >= MOST_METRICS:
            warn(
                "training",
                f"more than {MOST_METRICS} different names; {_names.shown(name)} and further "
                "ones are left out",
            )
            return None
        cleaned = name
        if isinstance(name, str):
            cleaned = name.replace("@", "_at_").replace(":", "_").replace(" ", "_")
        if _names.metric_name(cleaned) is not None:
            full = f"{_names.PREFIX}training.{cleaned}"
            prometheus = _names.prometheus(full)
            known = self._spelt.setdefault(prometheus, name)
            if known != name:
                warn(
                    "training",
                    f"`{name}` would be `{prometheus}` in Prometheus, which `{known}` is already, "
                    "so it is not recorded; choose another name",
                )
                full = None
        if isinstance(name, str):
            self._names[name] = full
        return full

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process by name: there it is that one's own."""
        labels = dict(self._labels)
        return Training, (labels.pop("training", ""), labels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End of the run; what was logged is sent with the next export."""
