"""Spawn: how servers start, what of it takes how long, and why they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.names import prometheus_name
from af_otel.grafana.variables import choice, text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

CHOSEN = 'jupyterhub_spawn_profile=~"$profile", jupyterhub_spawn_image=~"$image"'
SPAWNS = prometheus_name(metrics.SPAWN_DURATION)
HUBS = "jupyterhub_server_spawn_duration_seconds"
PARTS = f"{spans.SPAWN_SERVER}|{spans.START_SERVER}|{spans.ADD_ROUTE}"


def spawn(place: Place) -> Dashboard:
    """Spawns by outcome, reason and duration, with their parts."""
    return kit.board(
        place,
        "spawn",
        "Spawn",
        "From a user's wish for a server to its answer: how long, which part, and why not.",
        {
            "Spawns": [
                kit.lines(
                    "Outcomes within five minutes",
                    "`timeout` is a server that did not answer in time: an image still being "
                    "pulled, a full cluster. `cancelled` is a user who would not wait.",
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
                    "True quantiles of our histogram, failures included. Dashed are one and three "
                    "minutes. A click on a diamond leads to a spawn's trace.",
                    "s",
                    promql.quantiles(metrics.SPAWN_DURATION, CHOSEN),
                    limits=(60, 180),
                ),
                kit.heat(
                    "All of them",
                    "Each column is five minutes, darker are more spawns. Two bands are two kinds "
                    "of spawns, such as with and without a pull of the image.",
                    "s",
                    promql.grown(f"{SPAWNS}_bucket", CHOSEN, by="le"),
                ),
                kit.lines(
                    "By profile: 95 % are faster",
                    "Profiles as users choose them, `other` beyond the first fifty; a hub without "
                    "profiles has one line.",
                    "s",
                    {
                        "{{jupyterhub_spawn_profile}}": promql.quantile(
                            0.95, metrics.SPAWN_DURATION, CHOSEN, by="jupyterhub_spawn_profile"
                        )
                    },
                ),
                kit.lines(
                    "By image: 95 % are faster",
                    "Images with their tags, `other` beyond the first fifty: a new one is pulled "
                    "to each node once. Servers without containers are one line.",
                    "s",
                    {
                        "{{jupyterhub_spawn_image}}": promql.quantile(
                            0.95, metrics.SPAWN_DURATION, CHOSEN, by="jupyterhub_spawn_image"
                        )
                    },
                    width=kit.FULL,
                ),
            ],
            "Their parts": [
                kit.lines(
                    "Mean duration of each part",
                    f"`{spans.START_SERVER}` is the user's own process until it can serve, "
                    f"`{spans.ADD_ROUTE}` the proxy; what of `{spans.SPAWN_SERVER}` is in neither "
                    "is the wait for a node, the image, the volumes.",
                    "s",
                    {"{{span_name}}": promql.span_mean(f'span_name=~"{PARTS}"', by="span_name")},
                ),
                kit.spans(
                    "Spawns that took longer than chosen",
                    "Their traces have the pod's events: scheduled, pulled, started.",
                    f'{{ resource.service.namespace =~ "$facility" '
                    f"&& {kit.ended(spans.SPAWN_SERVER)} && duration > $slower }}",
                    attributes.SESSION_ID,
                    attributes.SPAWN_PROFILE,
                    attributes.SPAWN_IMAGE,
                    attributes.SPAWN_OUTCOME,
                    session=place.url("sessions", session="${__value.raw}"),
                ),
                kit.lines(
                    "Servers running",
                    "As we count them and as the hub does itself. When it is started anew we count "
                    "them twice for five minutes, as the hub of before is not forgotten yet.",
                    "short",
                    {
                        "traced": promql.total(metrics.SERVER_ACTIVE),
                        "the hub's own": promql.total("jupyterhub_running_servers"),
                    },
                ),
                kit.lines(
                    "How long sessions last: half are shorter",
                    "From spawn to end, by what ended them: `user`, `culled` for being idle, "
                    "`died` and `failed` by themselves, `shutdown` with the hub.",
                    "s",
                    {
                        "{{jupyterhub_session_end_reason}}": promql.quantile(
                            0.5, metrics.SESSION_DURATION, by="jupyterhub_session_end_reason"
                        )
                    },
                ),
            ],
            "What the hub says itself": [
                kit.lines(
                    "Spawns per second, by the hub's status",
                    f"`{HUBS}`, in the words of JupyterHub 6: "
                    "`failure` has a reason. Requests that it refused are counted, too.",
                    "ops",
                    {
                        "{{status}} {{reason}}": promql.rate(
                            promql.series(f"{HUBS}_count"), "status, reason"
                        )
                    },
                ),
                kit.lines(
                    "Requests: 95 % are faster",
                    "Of the hub's own pages and API, by method. Slow for all is a hub that is "
                    "busy; its event loop says the same.",
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
                    "All that the hub knows, and those it saw within a day, a week and a month.",
                    "short",
                    {
                        "known": promql.total("jupyterhub_total_users"),
                        "active within {{period}}": promql.total(
                            "jupyterhub_active_users", by="period"
                        ),
                    },
                ),
                kit.lines(
                    "Other things it does: mean duration",
                    "Routes in the proxy, and stopping servers. What grows here grows before users "
                    "notice.",
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
                "What users chose for their server",
            ),
            choice(
                "image",
                "Image",
                f"{SPAWNS}_count",
                "jupyterhub_spawn_image",
                "The image of the server, where the spawner has one",
            ),
            text("slower", "Slower than", "1s", "Spawns in the table took longer than this"),
        ],
    )
