"""HTTP: what the hub, users' servers and the Dask Gateway answer, and what they ask each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import metrics

from af_otel.grafana import kit, promql
from af_otel.grafana.names import prometheus_name
from af_otel.grafana.variables import choice

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

SERVED = prometheus_name(metrics.HTTP_SERVER_DURATION)
SENT = prometheus_name(metrics.HTTP_CLIENT_DURATION)
# The Collector's own requests have no route.
CHOSEN = 'http_route=~"$route", http_route!=""'
FAILED = 'http_response_status_code=~"5.."'
MESSAGES = f"{prometheus_name(metrics.WEBSOCKET_MESSAGES)}_total"


def http(place: Place) -> Dashboard:
    """Return the dashboard of requests by service, route and peer, and of websockets."""
    return kit.board(
        place,
        "http",
        "HTTP",
        "Requests to the hub, users' servers and the Dask Gateway, and between them: how many, how "
        "long they take, and what fails.",
        {
            "Requests served": [
                kit.lines(
                    "Requests per second",
                    "By service. JupyterLab asks a user's server for its kernels and terminals "
                    "every ten seconds.",
                    "reqps",
                    {"{{job}}": promql.per_second(f"{SERVED}_count", CHOSEN, by="job")},
                    stacked=True,
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Failed requests within five minutes",
                    "Answers with a status of 500 or more, by service and route. Each has a trace.",
                    "short",
                    {
                        "{{job}} {{http_route}}": promql.count(
                            metrics.HTTP_SERVER_DURATION, CHOSEN, FAILED, by="job, http_route"
                        )
                        + " or vector(0)"
                    },
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Requests in progress",
                    "By service. A number that only grows means that handlers never end.",
                    "short",
                    {"{{job}}": promql.total(metrics.HTTP_SERVER_ACTIVE, CHOSEN, by="job")},
                    width=kit.THIRD,
                ),
            ],
            "Duration": [
                kit.lines(
                    "Duration by service: 95th percentile",
                    "All requests but websockets, which are below. If every route of the hub is "
                    "slow, its event loop is busy.",
                    "s",
                    {
                        "{{job}}": promql.quantile(
                            0.95, metrics.HTTP_SERVER_DURATION, CHOSEN, by="job"
                        )
                    },
                    limits=(0.5, 2),
                ),
                kit.lines(
                    "Ten slowest routes: 95th percentile",
                    "`other` is all paths without a handler. Streams of a spawn's progress last as "
                    "long as the spawn.",
                    "s",
                    {
                        "{{job}} {{http_route}}": "topk (10, "
                        + promql.quantile(
                            0.95, metrics.HTTP_SERVER_DURATION, CHOSEN, by="job, http_route"
                        )
                        + ")"
                    },
                ),
                kit.bars(
                    "Busiest routes",
                    "The ten with the most requests within five minutes.",
                    "short",
                    {
                        "{{job}} {{http_request_method}} {{http_route}}": "topk (10, "
                        + promql.count(
                            metrics.HTTP_SERVER_DURATION,
                            CHOSEN,
                            by="job, http_request_method, http_route",
                        )
                        + ")"
                    },
                ),
                kit.heat(
                    "Distribution of durations",
                    "Each column is five minutes; darker means more requests.",
                    "s",
                    promql.grown(f"{SERVED}_bucket", CHOSEN, by="le"),
                ),
            ],
            "Requests sent": [
                kit.lines(
                    "Duration by peer: 95th percentile",
                    "From `jupyterhub` to `proxy`: its API, as servers come and go. To `server`: "
                    "the hub waits for a new server. To `hub`: servers check tokens and report "
                    "activity. `other` is outside the facility.",
                    "s",
                    {
                        "{{job}} to {{service_peer_name}}": promql.quantile(
                            0.95, metrics.HTTP_CLIENT_DURATION, by="job, service_peer_name"
                        )
                    },
                    limits=(0.5, 2),
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Requests per second by peer",
                    "Requests of one service to another.",
                    "reqps",
                    {
                        "{{job}} to {{service_peer_name}}": promql.per_second(
                            f"{SENT}_count", by="job, service_peer_name"
                        )
                    },
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Failed requests by peer",
                    "Within five minutes, by status or error. A new server refuses connections "
                    "until it is up.",
                    "short",
                    {
                        "{{job}} to {{service_peer_name}} {{error_type}}": promql.count(
                            metrics.HTTP_CLIENT_DURATION,
                            'error_type!=""',
                            by="job, service_peer_name, error_type",
                        )
                        + " > 0"
                    },
                    width=kit.THIRD,
                ),
            ],
            "Websockets": [
                kit.lines(
                    "Open websockets",
                    "By route: one for each kernel that a page shows, and for each terminal.",
                    "short",
                    {"{{http_route}}": promql.total(metrics.WEBSOCKET_ACTIVE, by="http_route")},
                    stacked=True,
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Messages per second",
                    "`receive`: from users' browsers. `transmit`: to them. Thousands per second "
                    "are a cell that prints in a loop.",
                    "short",
                    {
                        "{{network_io_direction}}": promql.per_second(
                            MESSAGES, by="network_io_direction"
                        )
                    },
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Duration of websockets: median",
                    "Of those that were closed. Minutes, where people work for hours, mean that a "
                    "proxy or load balancer closes them.",
                    "s",
                    {
                        "{{http_route}}": promql.quantile(
                            0.5, metrics.WEBSOCKET_DURATION, by="http_route"
                        )
                    },
                    width=kit.THIRD,
                ),
            ],
        },
        [choice("route", "Route", f"{SERVED}_count", "http_route", "The pattern of the path")],
    )
