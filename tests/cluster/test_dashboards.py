"""The panels that only a cluster fills: kubelets', and the sampler's."""

from __future__ import annotations

from panels import ON_A_CLUSTER, empty

from cluster.collecting import collecting

# Scrapes every 2 s; kubelets look at their pods every 10 or 15 s, and a rate needs two looks.
WITHIN = 240


def test_every_panel_of_a_cluster_has_data(cluster):
    """A user's pod runs, a trace is decided on; a panel without data is named."""
    with collecting(cluster, "boards") as made:
        made.pod("sender", labels={"component": "singleuser-server"})
        made.send("sender", seconds=8)
        namespace = made.facility.namespace
        with (
            made.tempo() as tempo,
            made.api.forward(namespace, "service/af-otel-prometheus", 9090) as prometheus,
        ):
            urls = {"prometheus": prometheus, "tempo": tempo}
            left = empty(urls, ON_A_CLUSTER.__contains__, WITHIN)

    assert not left, "Panels without data:\n" + "\n".join(left)
