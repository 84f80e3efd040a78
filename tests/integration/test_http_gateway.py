"""HTTP of a real Dask Gateway under the payload, as a real Collector received it."""

from __future__ import annotations

import os
import sys

import httpx
import pytest
from af_otel_semconv import attributes, metrics

from af_otel import payload
from servers import Server, free_port, running_collector, wait_for

CONFIG = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.DaskGateway.address = "127.0.0.1:{port}"
c.Proxy.externally_managed = True
c.Proxy.api_token = 64 * "0"
"""
USER = "canary-ada"


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with running_collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, collector):
    pytest.importorskip("dask_gateway_server")
    directory = tmp_path_factory.mktemp("gateway")
    port = free_port()
    (directory / "config.py").write_text(CONFIG.format(port=port))
    env = payload.environment(payload.cached(), os.environ)
    server = Server(
        name="gateway",
        command=[sys.executable, "-m", "dask_gateway_server", "-f", "config.py"],
        env={
            **env,
            "PATH": os.environ["PATH"],
            "AF_OTEL_ENDPOINT": collector.endpoint,
            "AF_OTEL_METRIC_EXPORT_INTERVAL": "500",
        },
        directory=directory,
        ready_url=f"http://127.0.0.1:{port}/api/health",
    )
    try:
        server.start(timeout=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def test_requests_to_a_gateway_are_counted_by_route(gateway, collector):
    """Also those that no handler serves; changes of clusters have spans, heartbeats have none."""
    with httpx.Client(base_url=gateway, auth=(USER, "x")) as client:
        for _ in range(20):
            assert client.get("/api/v1/clusters/").status_code == 200
        assert client.get(f"/{USER}?token={USER}").status_code == 404
        assert client.delete(f"/api/v1/clusters/{USER}").status_code == 204
        client.post(f"/api/v1/clusters/{USER}/heartbeat", json={})
        client.get("/api/health")

    def look():
        found = {
            (
                point["attributes"][attributes.HTTP_METHOD],
                point["attributes"][attributes.HTTP_ROUTE],
                point["attributes"][attributes.HTTP_STATUS],
            ): point["value"]["count"]
            for point in collector.points(metrics.HTTP_SERVER_DURATION.name)
        }
        return found if found.get(("GET", "/api/v1/clusters/", 200)) == 20 else None

    found = wait_for(look, "the requests", 60)
    assert found["GET", attributes.OTHER, 404] == 1
    assert found["DELETE", "/api/v1/clusters/{cluster_name}", 204] == 1
    span = collector.wait_for_span("DELETE /api/v1/clusters/{cluster_name}")
    assert span["resource"]["service.name"] == "dask-gateway"
    assert [span["name"] for span in collector.spans()] == [
        "DELETE /api/v1/clusters/{cluster_name}"
    ]
    active = collector.points(metrics.HTTP_SERVER_ACTIVE.name)
    assert active[-1]["value"] == 0
    assert USER not in str(collector.spans() + collector.points())
