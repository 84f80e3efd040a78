"""Trainings of real libraries: what their callbacks log is what the libraries report."""

from __future__ import annotations

import collections
import copy
import itertools
import os
import pickle
import threading
import warnings

import pytest

from af_otel import metrics
from af_otel.metrics import MetricsWarning, _registry, _warn

numpy = pytest.importorskip("numpy")
RNG = numpy.random.default_rng(7)
X = RNG.normal(size=(120, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + RNG.normal(scale=0.1, size=120)
CLASSES = (Y > 0).astype(int)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics.counter("first").add()
        # What another test was warned of, this one is told again.
        _warn._warned.clear()
        _registry.points.after_fork()
        yield


def logged(name, **labels):
    """The values of one metric of a training, in their order."""
    return [
        point.value
        for point in _registry.points.take()
        if point.name == f"user.training.{name}" and labels.items() <= dict(point.labels).items()
    ]


def test_xgboost_logs_every_metric_of_every_data_set():
    """As `evals_result` has them, to the last digit."""
    xgboost = pytest.importorskip("xgboost")
    run = metrics.training("boost", model="gbt")
    result = {}
    data = xgboost.DMatrix(X, Y)
    xgboost.train(
        {"eval_metric": ["rmse", "mae"], "max_depth": 2, "nthread": 1},
        data, 5, evals=[(data, "train"), (data, "valid")], evals_result=result,
        verbose_eval=False, callbacks=[run.xgboost()],
    )  # fmt: skip
    assert logged("rmse", dataset="train", training="boost", model="gbt") == result["train"]["rmse"]
    assert logged("mae", dataset="valid") == result["valid"]["mae"]
    assert logged("epoch", dataset="train") == [0, 1, 2, 3, 4]


def test_xgboost_cross_validation_logs_the_means():
    """A value is then a mean and its deviation."""
    xgboost = pytest.importorskip("xgboost")
    run = metrics.training("boost.cv")
    result = xgboost.cv(
        {"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, Y), 3, nfold=3, as_pandas=False,
        callbacks=[run.xgboost()],
    )  # fmt: skip
    assert logged("rmse", dataset="test") == result["test-rmse-mean"]


def test_lightgbm_logs_every_metric_of_every_data_set():
    """As `record_evaluation` has them."""
    lightgbm = pytest.importorskip("lightgbm")
    run = metrics.training("light")
    result = {}
    data = lightgbm.Dataset(X, Y)
    lightgbm.train(
        {"metric": ["rmse", "l1"], "verbose": -1, "num_threads": 1, "objective": "regression"},
        data, 5, valid_sets=[data], valid_names=["train"],
        callbacks=[run.lightgbm(), lightgbm.record_evaluation(result)],
    )  # fmt: skip
    assert logged("rmse", dataset="train") == result["train"]["rmse"]
    assert logged("l1", dataset="train") == result["train"]["l1"]


def test_keras_logs_the_epochs_and_their_validation():
    """As its History has them, with the learning rate."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    run = metrics.training("net")
    model = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", metrics=["mae"])
    history = model.fit(
        X, Y, epochs=3, validation_split=0.25, verbose=0, callbacks=[run.keras()]
    ).history
    assert logged("loss")[::2] == history["loss"]
    assert logged("loss", dataset="validation") == history["val_loss"]
    assert logged("mae", dataset="validation") == history["val_mae"]
    assert logged("learning_rate") == pytest.approx([0.01] * 3)


def test_lightning_logs_what_the_module_logs():
    """The trainer's metrics after each epoch, and the optimizer's learning rate."""
    lightning = pytest.importorskip("lightning.pytorch", reason="needs PyTorch, which is 2 GB")
    import torch

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch, _number):
            loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
            self.log("loss", loss, on_epoch=True, on_step=False)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    run = metrics.training("torch")
    tensors = torch.tensor(X).float(), torch.tensor(Y).float().reshape(-1, 1)
    lightning.Trainer(
        max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[run.lightning()],
    ).fit(
        Module(), torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors))
    )  # fmt: skip
    assert len(logged("loss")) == 2
    assert logged("learning_rate") == pytest.approx([0.01, 0.01])


def test_scikit_learns_boosting_has_a_monitor():
    """The losses are the estimator's own."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    run = metrics.training("sk")
    model = ensemble.GradientBoostingRegressor(n_estimators=6, subsample=0.5, random_state=1)
    model.fit(X, Y, monitor=run.sklearn_monitor())
    assert logged("loss") == list(model.train_score_)
    assert logged("oob_score") == list(model.oob_scores_)


def test_scikit_learns_callbacks_score_each_iteration():
    """As its own ScoringMonitor does; estimators with callbacks are there from 1.9 on."""
    callback = pytest.importorskip("sklearn.callback")
    from sklearn.linear_model import LogisticRegression

    run = metrics.training("sk.callback")
    theirs = callback.ScoringMonitor(scoring="neg_log_loss")
    LogisticRegression(max_iter=20).set_callbacks(theirs, run.sklearn("neg_log_loss")).fit(
        X, CLASSES
    )
    expected = [row["neg_log_loss"] for row in theirs.get_logs().data if "neg_log_loss" in row]
    assert len(expected) > 2
    # Its log has the whole fit before the iterations.
    assert sorted(logged("neg_log_loss")) == sorted(expected)


def test_a_callback_that_fails_does_not_end_the_training():
    """The library goes on; a warning tells."""
    xgboost = pytest.importorskip("xgboost")
    run = metrics.training("failing")
    run.log = None
    data = xgboost.DMatrix(X, Y)
    with pytest.warns(MetricsWarning, match="a callback failed"):
        model = xgboost.train({"nthread": 1}, data, 2, evals=[(data, "t")], verbose_eval=False,
                              callbacks=[run.xgboost()])  # fmt: skip
    assert model.num_boosted_rounds() == 2


def test_values_of_a_loop_keep_their_order_and_time():
    """However fast it turns: Prometheus keeps one value a millisecond."""
    run = metrics.training("loop")
    for step in range(300):
        run.log(step=step, loss=1 / (step + 1))
    assert logged("loss") == [1 / (step + 1) for step in range(300)]
    times = [point.time for point in _registry.points.take() if point.name.endswith("loss")]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 1_000_000


def test_odd_values_and_names_are_left_out_alone():
    """What was valid in the same call is kept."""
    run = metrics.training("odd")
    with pytest.warns(MetricsWarning, match="no finite number"):
        run.log(epoch=1, loss=float("nan"))
    with pytest.warns(MetricsWarning, match="is no name"):
        run.log({"precision@5": 0.5, "": 1})
    with pytest.warns(MetricsWarning, match="3: is no name"):
        run.log({3: 1})
    for odd in (0.5, "loss", [("loss", 1)]):
        with pytest.warns(MetricsWarning, match="names with their numbers"):
            run.log(odd, epoch=2)
    with pytest.warns(MetricsWarning, match="label `dataset` is a list"):
        run.log(epoch=3, dataset=["a"])
    assert logged("epoch") == [1, 2, 2, 2, 3]
    assert logged("precision_at_5") == [0.5]


def test_names_that_are_one_in_prometheus_do_not_mix():
    """`val/loss` of one library and `val_loss` of another."""
    run = metrics.training("spelt")
    with pytest.warns(MetricsWarning, match="would be `user_training_val_loss`"):
        run.log({"val/loss": 1, "val_loss": 2})
    with pytest.warns(MetricsWarning, match="which `log\\(\\)` is already"):
        run.log(logs_total=1)
    assert logged("val/loss") == [1]


def test_the_series_of_trainings_have_limits():
    """A scan that names its runs after their parameters: all values are kept, few series."""
    runs = [metrics.training("scan", trial=trial) for trial in range(1000)]
    with pytest.warns(MetricsWarning, match="more than 200 combinations"):
        collections.deque((run.log(loss=trial) for trial, run in enumerate(runs)), maxlen=0)
    points = [point for point in _registry.points.take() if point.name.endswith("loss")]
    assert [point.value for point in points] == list(range(1000))
    assert len({point.labels for point in points}) == 201
    for number in range(2):
        metrics.training("names").log({f"n{number}_{name}": 1 for name in range(100)})
    with pytest.warns(MetricsWarning, match="more than 200 names"):
        metrics.training("names").log(one_more=1)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "keras", "sklearn_monitor", "sklearn"])
def test_a_model_that_holds_a_callback_can_be_saved(library):
    """As XGBoost's estimators keep theirs, and joblib pickles what a search sends about."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    if not library.startswith("sklearn"):
        pytest.importorskip(library)
    callback = getattr(metrics.training("saved"), library)()
    for travelled in (pickle.loads(pickle.dumps(callback)), copy.deepcopy(callback)):
        assert type(travelled).__name__ == type(callback).__name__


def test_a_saved_estimator_goes_on_logging():
    """Its callback is that of the run of the same name."""
    xgboost = pytest.importorskip("xgboost")
    run = metrics.training("kept")
    model = xgboost.XGBRegressor(n_estimators=2, n_jobs=1, callbacks=[run.xgboost()])
    pickle.loads(pickle.dumps(model)).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    assert logged("epoch", training="kept") == [0, 1]


def test_a_run_travels_by_name():
    """As into the processes of a search."""
    with pytest.warns(MetricsWarning, match="label `lock`"):
        sent = metrics.training("pickled", value="m", lock=threading.Lock())
    run = pickle.loads(pickle.dumps(sent))
    run.log(loss=1)
    assert logged("loss", training="pickled", value="m") == [1]
