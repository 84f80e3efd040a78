"""Users' metrics: trainings, coffea, `af_otel.metrics`, and what operators collect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import metrics

from af_otel.grafana import kit, promql
from af_otel.grafana.variables import choice

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

TRAINING = 'training=~"$training"'
PROCESSOR = 'coffea_processor=~"$processor"'


def users(place: Place) -> Dashboard:
    """Return the dashboard of trainings by epoch, coffea by run, and other metrics by name."""
    return kit.board(
        place,
        "users",
        "Users' metrics",
        "Metrics that users send with `af_otel.metrics`, that coffea reports, and that the "
        "facility's operators collect.",
        {"Trainings": _trainings(), "coffea": _coffea(), "Any metric": _any()},
        [
            choice(
                "training",
                "Training",
                "user_training_logs_total",
                "training",
                "The name in `metrics.training(name)`",
            ),
            choice(
                "processor",
                "coffea processor",
                "coffea_chunks_total",
                "coffea_processor",
                "The processor's class; `other` beyond the first fifty",
            ),
            choice(
                "metric",
                "Metric",
                '{__name__=~"user_.+"}',
                "__name__",
                "A metric of users; a histogram has three",
                everything="user_.+",
            ),
        ],
    )


def _trainings() -> list[kit.Panel]:
    logged = promql.per_second("user_training_logs_total", TRAINING, by="training")
    return [
        kit.lines(
            "Loss",
            "Each point is one that the training logged, at the time it was logged. A flat line "
            "has converged; one that rises has too high a learning rate.",
            "none",
            {"{{training}} {{model}} {{dataset}}": promql.series("user_training_loss", TRAINING)},
            signed=True,
        ),
        kit.lines(
            "Other logged values",
            "Everything that the training logged besides epoch and loss. If the loss falls while "
            "these do not improve, the model is overfitting.",
            "none",
            {
                "{{__name__}} {{training}} {{model}} {{dataset}}": promql.series(
                    "",
                    '__name__=~"user_training_.+"',
                    '__name__!~"user_training_(loss|epoch|step|logs_total)"',
                    TRAINING,
                )
            },
            signed=True,
        ),
        kit.lines(
            "Epoch",
            "A line that ends is a training that ended; a flat line is one that hangs.",
            "short",
            {"{{training}} {{model}} {{dataset}}": promql.series("user_training_epoch", TRAINING)},
        ),
        kit.lines(
            "Logged per second",
            "How fast epochs pass. Click an exemplar to open the trace of the training's cell.",
            "ops",
            {"{{training}}": logged},
            exemplars=True,
        ),
    ]


def _coffea() -> list[kit.Panel]:
    time = promql.grown("coffea_processtime_seconds_total", PROCESSOR, by="coffea_processor")
    read = promql.grown("coffea_bytesread_bytes_total", PROCESSOR, by="coffea_processor")
    events = promql.grown("coffea_entries_total", PROCESSOR, by="coffea_processor")
    return [
        kit.lines(
            "Bytes read",
            "Bytes that coffea read within five minutes; counted when a run ends.",
            "bytes",
            {"{{coffea_processor}}": read},
            width=kit.THIRD,
        ),
        kit.lines(
            "Events",
            "Events processed within five minutes, as coffea reports them.",
            "short",
            {"{{coffea_processor}}": events},
            width=kit.THIRD,
        ),
        kit.lines(
            "Chunks",
            "Chunks of files within five minutes. Many small chunks are inefficient.",
            "short",
            {
                "{{coffea_processor}}": promql.grown(
                    "coffea_chunks_total", PROCESSOR, by="coffea_processor"
                )
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Events per second of processing",
            "Throughput of one core within `process`. It falls when reading slows down.",
            "ops",
            {"{{coffea_processor}}": f"{events} / ({time} > 0)"},
            width=kit.THIRD,
        ),
        kit.lines(
            "Bytes per second of processing",
            "The same in bytes. If it is close to what storage delivers, storage is the "
            "bottleneck.",
            "Bps",
            {"{{coffea_processor}}": f"{read} / ({time} > 0)"},
            width=kit.THIRD,
        ),
        kit.lines(
            "Duration of runs",
            "From the call of coffea's Runner to its result.",
            "s",
            promql.quantiles(metrics.COFFEA_RUN_DURATION, PROCESSOR),
            width=kit.THIRD,
        ),
    ]


def _any() -> list[kit.Panel]:
    every = promql.series("", '__name__=~"user_.+"')
    return [
        kit.lines(
            "The metric chosen above",
            "As it was sent, with a line for each process and set of labels. A counter only rises.",
            "none",
            {"": promql.series("", '__name__=~"$metric"')},
            signed=True,
        ),
        kit.rows(
            "Metrics by number of series",
            "Every metric that users send, with its current series. Hundreds of series mean that a "
            "label has too many values.",
            "short",
            {"series": f"sort_desc (count by (__name__) ({every}))"},
        ),
        kit.lines(
            "Metrics of operators",
            "From `af-otel collect`: storage, batch queues, licences. A line that ends means that "
            "its collector fails.",
            "short",
            {"": promql.series("", '__name__=~"facility_.+"', '__name__!~"facility_collector_.+"')},
            signed=True,
        ),
        kit.lines(
            "Runs of operators' collectors",
            "Within five minutes, by outcome.",
            "short",
            {
                "{{collector}} {{outcome}}": promql.grown(
                    "facility_collector_runs_total", by="collector, outcome"
                )
            },
        ),
    ]
