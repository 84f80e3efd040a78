"""Users' own metrics: trainings, coffea, what `af_otel.metrics` sends and operators collect."""

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
    """Trainings by epoch, coffea by run, and any other number by its name."""
    return kit.board(
        place,
        "users",
        "Users' own metrics",
        "What users measure by `af_otel.metrics`, what coffea reports by itself, and what the "
        "facility's operators collect.",
        {"Trainings": _trainings(), "coffea": _coffea(), "Any": _any()},
        [
            choice(
                "training",
                "Training",
                "user_training_logs_total",
                "training",
                "What its author called it: `metrics.training(name)`",
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
                "One of users' own; a histogram has three",
                everything="user_.+",
            ),
        ],
    )


def _trainings() -> list[kit.Panel]:
    logged = promql.per_second("user_training_logs_total", TRAINING, by="training")
    return [
        kit.lines(
            "Loss",
            "Each point is one that the training logged, at its own time. One that is flat has "
            "converged, one that climbs has a learning rate too high.",
            "none",
            {"{{training}} {{model}} {{dataset}}": promql.series("user_training_loss", TRAINING)},
            signed=True,
        ),
        kit.lines(
            "What else it logs",
            "Resolution, accuracy, learning rate: all that the training logged but its epoch and "
            "loss. A loss that falls while these stay is learning by heart.",
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
            "A line that has ended is a training that has, one that is flat hangs.",
            "short",
            {"{{training}} {{model}} {{dataset}}": promql.series("user_training_epoch", TRAINING)},
        ),
        kit.lines(
            "Logged per second",
            "How fast epochs go by. The exemplars lead to the cell that trains.",
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
            "What coffea asked its sources for, within five minutes: counted when a run ends.",
            "bytes",
            {"{{coffea_processor}}": read},
            width=kit.THIRD,
        ),
        kit.lines(
            "Events",
            "Events processed within five minutes, by coffea's own report.",
            "short",
            {"{{coffea_processor}}": events},
            width=kit.THIRD,
        ),
        kit.lines(
            "Chunks",
            "Chunks of files within five minutes; many small ones cost more than they bring.",
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
            "What one core achieves within `process`. It falls when reading gets slow.",
            "ops",
            {"{{coffea_processor}}": f"{events} / ({time} > 0)"},
            width=kit.THIRD,
        ),
        kit.lines(
            "Bytes per second of processing",
            "The same in bytes: near what storage gives, storage is what limits.",
            "Bps",
            {"{{coffea_processor}}": f"{read} / ({time} > 0)"},
            width=kit.THIRD,
        ),
        kit.lines(
            "A run's duration",
            "From a call of coffea's Runner to its result.",
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
            "As it was sent, a line for each process and set of labels: a counter only climbs.",
            "none",
            {"": promql.series("", '__name__=~"$metric"')},
            signed=True,
        ),
        kit.rows(
            "What there is",
            "Every name that users send, and its series of now. Hundreds are a label that should "
            "not be one.",
            "short",
            {"series": f"sort_desc (count by (__name__) ({every}))"},
        ),
        kit.lines(
            "What operators collect",
            "By `af-otel collect`: storage, batch queues, licences. A line that ends is a "
            "collector that fails.",
            "short",
            {"": promql.series("", '__name__=~"facility_.+"', '__name__!~"facility_collector_.+"')},
            signed=True,
        ),
        kit.lines(
            "Their collectors' calls",
            "Within five minutes, by outcome.",
            "short",
            {
                "{{collector}} {{outcome}}": promql.grown(
                    "facility_collector_runs_total", by="collector, outcome"
                )
            },
        ),
    ]
