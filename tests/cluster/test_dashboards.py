"""The panels that only a cluster fills: those of kubelets and of sampling."""

from __future__ import annotations

from panels import ON_A_CLUSTER, empty

from cluster.collecting import collecting

# Scrapes are every 2 s; kubelets measure pods every 10 or 15 s, and a rate needs two values.
WITHIN = 240


def test_every_panel_of_a_cluster_has_data(cluster):
    """A user's pod runs and a trace is sampled; panels without data are reported."""
    with collecting(cluster, "boards") as made:
        made.pod("sender", labels={"component": "singleuser-server"})
        made.send("sender", seconds=8)
        namespace = made.facility.namespace
        with (
            made.jaeger() as jaeger,
            made.api.forward(namespace, "service/af-otel-prometheus", 9090) as prometheus,
        ):
            urls = {"prometheus": prometheus, "jaeger": jaeger.url}
            chosen = {"facility": made.facility.name}
            left = empty(urls, ON_A_CLUSTER.__contains__, WITHIN, **chosen)

    assert not left, "Panels without data:\n" + "\n".join(left)
