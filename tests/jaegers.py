"""A Jaeger in a cluster, as each operator and chart deploys it, and as people write it by hand."""

from __future__ import annotations

import yaml
from discovered import facility, z2jh

HTTP, GRPC, QUERY = ("otlp-http", 4318), ("otlp-grpc", 4317), ("http-query", 16686)


def manifest(kind, name, spec, labels=None, namespace="mon"):
    head = {"name": name, "namespace": namespace, "labels": labels or {}}
    key = "data" if kind == "ConfigMap" else "spec"
    return yaml.safe_dump({"kind": kind, "metadata": head, key: spec}) + "---\n"


def deployment(name, labels, container, *, mounts="", beside=(), chart=None, **options):
    """A workload whose pods have its labels, and may mount a ConfigMap."""
    volumes = [{"name": "config", "configMap": {"name": mounts}}] if mounts else []
    pods = {"containers": [container, *beside], "volumes": volumes}
    template = {"metadata": {"labels": labels}, "spec": pods}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return manifest("Deployment", name, spec, labels | (chart or {}), **options)


def service(name, selector, *ports, headless=False, **options):
    """A Service; each port is a name, a number and, if it is another one, a target."""
    listed = [
        {"name": port, "port": number, "targetPort": (target or [number])[0], "protocol": "TCP"}
        for port, number, *target in ports
    ]
    spec = {"selector": selector, "ports": listed, "clusterIP": "None" if headless else "10.0.0.1"}
    return manifest("Service", name, spec, **options)


def jaeger(*texts, **options):
    """The Jaeger of the written file, and the whole file."""
    result, text = facility(z2jh(), *texts, **options)
    assert result.backends.jaeger is False
    return result.destinations.traces.jaeger, text


# The OpenTelemetry operator: https://opentelemetry.io/docs/platforms/kubernetes/operator/

V2 = "jaegertracing/jaeger:2.13.0"
KIND = "OpenTelemetryCollector"
STORING = {
    "service": {"extensions": ["jaeger_storage", "jaeger_query"]},
    "extensions": {"jaeger_query": {"storage": {"traces": "some"}}},
    "receivers": {"otlp": {"protocols": {"grpc": {}, "http": {}}}},
}


def with_path(path):
    return STORING | {"extensions": {"jaeger_query": {"base_path": path}}}


def operated(name="jaeger", *, config=STORING, image=V2, ports=(GRPC, HTTP), extension=True):
    """What the OpenTelemetry operator makes of one OpenTelemetryCollector."""
    labels = {
        "app.kubernetes.io/managed-by": "opentelemetry-operator",
        "app.kubernetes.io/instance": f"mon.{name}",
        "app.kubernetes.io/part-of": "opentelemetry",
        "app.kubernetes.io/component": "opentelemetry-collector",
    }
    own, map_name = f"{name}-collector", f"{name}-collector-0a1b2c3d"
    container = {
        "name": "otc-container",
        "image": image,
        "args": ["--config=/conf/collector.yaml"],
    }
    texts = [
        manifest(KIND, name, {"image": image, "config": config}),
        manifest("ConfigMap", map_name, {"collector.yaml": yaml.safe_dump(config)}),
        deployment(own, labels, container, mounts=map_name),
        service(f"{own}-monitoring", labels, ("monitoring", 8888), labels=labels),
    ]
    if ports:
        texts += [
            service(f"{own}-headless", labels, *ports, headless=True, labels=labels),
            service(own, labels, *ports, labels=labels),
        ]
    if extension:
        query = [("jaeger-query", 16686), ("jaeger-query-2", 16685)]
        texts.append(service(f"{own}-extension", labels, *query, labels=labels))
    return "".join(texts)


# The old operator, of Jaeger 1: https://github.com/jaegertracing/jaeger-operator


def operated_v1(name, strategy, *, version="1.65.0", path="", login=False):
    """What the Jaeger operator makes of a Jaeger."""

    def labels(component):
        return {
            "app": "jaeger",
            "app.kubernetes.io/instance": name,
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/part-of": "jaeger",
            "app.kubernetes.io/managed-by": "jaeger-operator",
        }

    args = [f"--query.base-path={path}"] if path else []
    image = f"registry.example.org/jaegertracing/%s:{version}"
    if strategy == "allInOne":
        collector = query = labels("all-in-one")
        workloads = [deployment(name, query, {"image": image % "all-in-one", "args": args})]
    else:
        collector, query = labels("collector"), labels("query")
        workloads = [
            deployment(f"{name}-collector", collector, {"image": image % "jaeger-collector"}),
            deployment(f"{name}-query", query, {"image": image % "jaeger-query", "args": args}),
        ]
    accepts = [("http-zipkin", 9411), ("grpc-jaeger", 14250), ("grpc-otlp", 4317)]
    accepts.append(("http-otlp", 4318))
    answers = ("https-query", 443, 8443) if login else QUERY
    return "".join(
        [
            manifest("Jaeger", name, {"strategy": strategy}),
            *workloads,
            service(f"{name}-collector-headless", collector, *accepts, headless=True),
            service(f"{name}-collector", collector, *accepts),
            service(f"{name}-query", query, answers, ("grpc-query", 16685)),
            service(f"{name}-agent", collector, ("config-rest", 5778), headless=True),
        ]
    )


# The Helm chart, with Jaeger 1 until version 3: https://github.com/jaegertracing/helm-charts


def charted_v3(*, otlp=True, path="", proxied=False, release="tracing", version="1.76.0"):
    """What version 3 of the chart makes."""
    base = {"app.kubernetes.io/name": "jaeger", "app.kubernetes.io/instance": release}
    collector = base | {"app.kubernetes.io/component": "collector"}
    query = base | {"app.kubernetes.io/component": "query"}
    chart = {"helm.sh/chart": "jaeger-3.4.1", "app.kubernetes.io/version": version}
    accepts = [("grpc", 14250, "grpc"), ("http", 14268, "http"), ("admin", 14269, "admin")]
    if otlp:
        accepts += [("otlp-grpc", 14317, "otlp-grpc"), ("otlp-http", 14318, "otlp-http")]
    env = [{"name": "SPAN_STORAGE_TYPE", "value": "cassandra"}]
    env += [{"name": "QUERY_BASE_PATH", "value": path}] if path else []
    ports = [{"name": "query", "containerPort": 16686}, {"name": "grpc", "containerPort": 16685}]
    return "".join(
        [
            deployment(
                f"{release}-jaeger-collector",
                collector,
                {"image": f"registry.example.org/jaegertracing/jaeger-collector:{version}"},
                chart=chart,
            ),
            deployment(
                f"{release}-jaeger-query",
                query,
                {
                    "image": f"registry.example.org/jaegertracing/jaeger-query:{version}",
                    "env": env,
                    "ports": ports,
                },
                chart=chart,
            ),
            service(f"{release}-jaeger-collector", collector, *accepts),
            service(
                f"{release}-jaeger-query",
                query,
                ("query", 80, "oauth-proxy" if proxied else "query"),
                ("grpc", 16685, "grpc"),
                ("admin", 16687, "admin"),
            ),
        ]
    )


def charted_v4(*, path="", image=V2):
    """What version 4 of the chart makes: a single Deployment of Jaeger 2 with one Service."""
    labels = {
        "app.kubernetes.io/name": "jaeger",
        "app.kubernetes.io/instance": "tracing",
        "app.kubernetes.io/component": "all-in-one",
    }
    chart = {"helm.sh/chart": "jaeger-4.11.1", "app.kubernetes.io/version": "2.19.0"}
    container = {"name": "jaeger", "image": image}
    texts = []
    if path:
        container["args"] = ["--config", "/etc/jaeger/user-config.yaml"]
        config = {"user-config.yaml": yaml.safe_dump(with_path(path))}
        texts.append(manifest("ConfigMap", "user-config", config))
    mounts = "user-config" if path else ""
    return "".join(
        [
            *texts,
            deployment("tracing-jaeger", labels, container, mounts=mounts, chart=chart),
            service(
                "tracing-jaeger",
                labels,
                ("config-rest", 5778),
                ("http-zipkin", 9411),
                GRPC,
                HTTP,
                QUERY,
                ("grpc-query", 16685),
            ),
        ]
    )


def plain(name="jaeger", image=V2, ports=(HTTP, QUERY), namespace="mon", **container):
    labels = {"app": name}
    workload = deployment(name, labels, {"image": image, **container}, namespace=namespace)
    return workload + service(name, labels, *ports, namespace=namespace)
