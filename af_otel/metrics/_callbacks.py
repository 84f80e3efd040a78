"""A training's callbacks, each in the interface of the library that calls it.

Each can be pickled, as a model that is saved, or sent to the processes of a search, may hold it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from af_otel.metrics._warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from af_otel.metrics._training import Training

    Function = TypeVar("Function", bound=Callable[..., Any])

_VALIDATION = "val_"


def _harmless(function: Function) -> Function:
    """No mistake of ours, and no surprise of a library's version, ends a training."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            warn("training", f"a callback failed: {type(error).__name__}: {error}")
        return False  # where an answer is asked for, it is whether to stop

    return guarded  # type: ignore[return-value]


def xgboost(run: Training) -> Any:
    """Return an `xgboost.callback.TrainingCallback`: every metric of every `evals` data set."""
    from xgboost.callback import TrainingCallback

    class AfOtelCallback(TrainingCallback):  # type: ignore[misc]
        @_harmless
        def after_iteration(self, _model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
            for dataset, metrics in evals_log.items():
                # With `xgboost.cv` a value is a mean and its deviation.
                last = {name: _first(values[-1]) for name, values in metrics.items()}
                run.log(last, dataset=dataset, epoch=epoch)
            return False

        def __reduce__(self) -> tuple[Any, ...]:
            return xgboost, (run,)

    return AfOtelCallback()


def lightgbm(run: Training) -> Callable[[Any], None]:
    """Return a LightGBM callback: every metric of every `valid_sets` entry."""
    return _LightgbmCallback(run)


class _LightgbmCallback:
    def __init__(self, run: Training) -> None:
        self._run = run
        # After LightGBM's own, which compute nothing but may stop the training.
        self.order = 30

    @_harmless
    def __call__(self, environment: Any) -> None:
        by_dataset: dict[str, dict[str, float]] = {}
        # With `lightgbm.cv` an entry has a deviation, too.
        for dataset, name, value, *_ in environment.evaluation_result_list or ():
            by_dataset.setdefault(dataset, {})[name] = value
        for dataset, values in by_dataset.items():
            self._run.log(values, dataset=dataset, epoch=environment.iteration)


def keras(run: Training) -> Any:
    """Return a `keras.callbacks.Callback`: an epoch's logs, `val_` as the data set `validation`."""
    from keras.callbacks import Callback

    class AfOtelCallback(Callback):  # type: ignore[misc]
        @_harmless
        def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            logs = dict(logs or {})
            rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
            if rate is not None:
                logs["learning_rate"] = float(rate)
            _train_and_validation(run, logs, epoch)

        def __reduce__(self) -> tuple[Any, ...]:
            return keras, (run,)

    return AfOtelCallback()


def lightning(run: Training) -> Any:
    """Return a `lightning.pytorch` callback: `trainer.callback_metrics` after each epoch."""
    try:
        from lightning.pytorch.callbacks import Callback
    except ImportError:
        from pytorch_lightning.callbacks import Callback

    class AfOtelCallback(Callback):  # type: ignore[misc]
        @_harmless
        def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
            if not trainer.is_global_zero:  # one of several processes of one training speaks
                return
            logs = {name: value.item() for name, value in trainer.callback_metrics.items()}
            for optimizer in trainer.optimizers[:1]:
                logs["learning_rate"] = optimizer.param_groups[0]["lr"]
            _train_and_validation(run, {**logs, "step": trainer.global_step}, trainer.current_epoch)

        def __reduce__(self) -> tuple[Any, ...]:
            return lightning, (run,)

    return AfOtelCallback()


def sklearn(run: Training, scoring: Any = None) -> Any:
    """Return a `sklearn.callback` for estimators that take one, from scikit-learn 1.9 on."""
    return _SklearnCallback(run, scoring)


class _SklearnCallback:
    def __init__(self, run: Training, scoring: Any) -> None:
        self._run = run
        self._scoring = scoring

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to prepare."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to clean up."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """An iteration begins."""

    @_harmless
    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any,  # noqa: N803 - asked for by its name
        y: Any,
        fitted_estimator: Any,
    ) -> None:
        """Score what is fitted so far, where the estimator can tell."""
        from sklearn.metrics import check_scoring

        if fitted_estimator is None or X is None or y is None:
            return
        score = check_scoring(estimator, self._scoring)(fitted_estimator, X, y)
        name = self._scoring if isinstance(self._scoring, str) else "score"
        scores = score if isinstance(score, dict) else {name: score}
        self._run.log(scores, epoch=context.task_id)


def sklearn_monitor(run: Training) -> Callable[..., bool]:
    """Return the `monitor` of scikit-learn's gradient boosting, for its `fit`."""
    return _SklearnMonitor(run)


class _SklearnMonitor:
    def __init__(self, run: Training) -> None:
        self._run = run

    @_harmless
    def __call__(self, epoch: int, estimator: Any, _locals: Mapping[str, Any]) -> bool:
        values = {"loss": estimator.train_score_[epoch]}
        if estimator.subsample < 1:
            values["oob_score"] = estimator.oob_scores_[epoch]
        self._run.log(values, epoch=epoch, learning_rate=estimator.learning_rate)
        return False


def _train_and_validation(run: Training, logs: Mapping[str, Any], epoch: int) -> None:
    train = {name: value for name, value in logs.items() if not name.startswith(_VALIDATION)}
    rest = {name.removeprefix(_VALIDATION): logs[name] for name in logs if name not in train}
    run.log(train, epoch=epoch)
    if rest:
        run.log(rest, dataset="validation")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value
