"""Spawn: how servers start, how long each step takes, and why they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.names import prometheus_name
from af_otel.grafana.search import Spans
from af_otel.grafana.variables import choice, slower

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

CHOSEN = 'jupyterhub_spawn_profile=~"$profile", jupyterhub_spawn_image=~"$image"'
SPAWNS = prometheus_name(metrics.SPAWN_DURATION)
HUBS = "jupyterhub_server_spawn_duration_seconds"
PARTS = f"{spans.SPAWN_SERVER}|{spans.START_SERVER}|{spans.ADD_ROUTE}"


def spawn(place: Place) -> Dashboard:
    """Return the dashboard of spawns by outcome, reason and duration, with their steps."""
    return kit.board(
        place,
        "spawn",
        "Spawn",
        "From the request for a server until it is ready: how long each step takes, and why spawns "
        "fail.",
        {
            "Spawns": [
                kit.lines(
                    "Outcomes within five minutes",
                    "`timeout`: the server did not respond in time, as its image was still being "
                    "pulled or the cluster was full. `cancelled`: the user did not wait.",
                    "short",
                    {
                        "{{jupyterhub_spawn_outcome}} {{error_type}}": promql.count(
                            metrics.SPAWN_DURATION,
                            CHOSEN,
                            by="jupyterhub_spawn_outcome, error_type",
                        )
                    },
                    stacked=True,
                ),
                kit.lines(
                    "Duration",
                    "Quantiles over all spawns, including failures. The dashed lines are one and "
                    "three minutes. Click a diamond to open the trace of a spawn.",
                    "s",
                    promql.quantiles(metrics.SPAWN_DURATION, CHOSEN),
                    limits=(60, 180),
                ),
                kit.heat(
                    "Distribution of durations",
                    "Each column is five minutes; darker means more spawns. Two bands are two "
                    "kinds of spawns, such as with and without pulling an image.",
                    "s",
                    promql.grown(f"{SPAWNS}_bucket", CHOSEN, by="le"),
                ),
                kit.lines(
                    "Duration by profile: 95th percentile",
                    "By the profile that the user chose, with `other` beyond the first fifty. A "
                    "hub without profiles has one line.",
                    "s",
                    {
                        "{{jupyterhub_spawn_profile}}": promql.quantile(
                            0.95, metrics.SPAWN_DURATION, CHOSEN, by="jupyterhub_spawn_profile"
                        )
                    },
                ),
                kit.lines(
                    "Duration by image: 95th percentile",
                    "By image and tag, with `other` beyond the first fifty. Each node pulls a new "
                    "image once. Servers without containers are one line.",
                    "s",
                    {
                        "{{jupyterhub_spawn_image}}": promql.quantile(
                            0.95, metrics.SPAWN_DURATION, CHOSEN, by="jupyterhub_spawn_image"
                        )
                    },
                    width=kit.FULL,
                ),
            ],
            "Steps": [
                kit.lines(
                    "Mean duration of each step",
                    f"`{spans.START_SERVER}` is the user's process until it can serve, "
                    f"`{spans.ADD_ROUTE}` the proxy. The rest of `{spans.SPAWN_SERVER}` is waiting "
                    "for a node, the image and volumes.",
                    "s",
                    {"{{span_name}}": promql.span_mean(f'span_name=~"{PARTS}"', by="span_name")},
                ),
                kit.spans(
                    place,
                    "Slow spawns",
                    "Their traces have the pod's events: scheduled, pulled, started.",
                    Spans(spans.SPAWN_SERVER, slower="$slower"),
                    attributes.SESSION_ID,
                    attributes.SPAWN_PROFILE,
                    attributes.SPAWN_IMAGE,
                    attributes.SPAWN_OUTCOME,
                ),
                kit.lines(
                    "Servers running",
                    "As af-otel and as the hub count them. For five minutes after the hub "
                    "restarts, af-otel counts them twice.",
                    "short",
                    {
                        "traced": promql.total(metrics.SERVER_ACTIVE),
                        "the hub's own": promql.total("jupyterhub_running_servers"),
                    },
                ),
                kit.lines(
                    "Median duration of sessions",
                    "By what ended them: `user`, `culled` because idle, `died` or `failed` on "
                    "their own, `shutdown` with the hub.",
                    "s",
                    {
                        "{{jupyterhub_session_end_reason}}": promql.quantile(
                            0.5, metrics.SESSION_DURATION, by="jupyterhub_session_end_reason"
                        )
                    },
                ),
            ],
            "The hub's own metrics": [
                kit.lines(
                    "Spawns per second, by the hub's status",
                    f"`{HUBS}`, with the labels of JupyterHub 6. It also counts requests that the "
                    "hub refused.",
                    "ops",
                    {
                        "{{status}} {{reason}}": promql.rate(
                            promql.series(f"{HUBS}_count"), "status, reason"
                        )
                    },
                ),
                kit.lines(
                    "Request duration: 95th percentile",
                    "Requests to the hub's pages and API, by method. If all are slow, so is the "
                    "event loop: the hub is busy.",
                    "s",
                    {
                        "{{method}}": "histogram_quantile(0.95, "
                        + promql.rate(
                            promql.series("jupyterhub_request_duration_seconds_bucket"),
                            "le, method",
                        )
                        + ")",
                        "event loop": "histogram_quantile(0.95, "
                        + promql.rate(
                            promql.series("jupyterhub_event_loop_interval_seconds_bucket"), "le"
                        )
                        + ")",
                    },
                    limits=(1, 5),
                ),
                kit.lines(
                    "Users",
                    "All users of the hub, and those active within a day, a week and a month.",
                    "short",
                    {
                        "known": promql.total("jupyterhub_total_users"),
                        "active within {{period}}": promql.total(
                            "jupyterhub_active_users", by="period"
                        ),
                    },
                ),
                kit.lines(
                    "Mean duration of other operations",
                    "Adding a route to the proxy, and stopping a server. Both slow down before "
                    "users notice.",
                    "s",
                    {
                        "add route": promql.mean("jupyterhub_proxy_add_duration_seconds"),
                        "stop server": promql.mean("jupyterhub_server_stop_seconds"),
                    },
                ),
            ],
        },
        [
            choice(
                "profile",
                "Profile",
                f"{SPAWNS}_count",
                "jupyterhub_spawn_profile",
                "The profile that users chose for their servers",
            ),
            choice(
                "image",
                "Image",
                f"{SPAWNS}_count",
                "jupyterhub_spawn_image",
                "The image of the server, if the spawner uses images",
            ),
            *slower(place, "1s", "spawns"),
        ],
    )
