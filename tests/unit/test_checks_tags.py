"""Images of an install by tag and by digest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import yaml

from af_otel.checks import run
from af_otel.checks._sources import Files
from af_otel.checks.context import Context
from af_otel.checks.tags import is_moving
from af_otel.facility import parse_text
from af_otel.facility.collector import IMAGE
from af_otel.kubernetes.errors import Forbidden
from tests.written import LEAST

DIGEST = "sha256:" + "3" * 64
REPOSITORY, _, VERSION = IMAGE.rpartition(":")


def facility(images):
    """A facility with images by field: `collector`, or a backend, which is then deployed."""
    images = dict(images)
    collector = {"image": images.pop("collector")} if "collector" in images else {}
    backends = dict.fromkeys(images, True) | {"images": images}
    written = yaml.safe_load(LEAST) | {"collector": collector, "backends": backends}
    for backend, destination in (("jaeger", "traces"), ("prometheus", "metrics")):
        if backend in images:
            del written["destinations"][destination]
    return parse_text(yaml.safe_dump(written), "facility.yaml")


def findings(images, *objects, reads=None):
    """What the check finds; on a cluster if there are objects, or `reads` that lists them."""
    files = Files(objects)
    live = SimpleNamespace(host="", version=(1, 37), list=reads or files.list)
    context = Context(facility(images), live, cluster=live if objects or reads else None)
    report = run.run(context, run.chosen(["images-are-pinned"]))
    assert not report.unchecked
    return report.findings


def pod(image, image_id):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": "af-otel"},
        "spec": {"containers": [{"name": "other", "image": "a:1"}, {"name": "it", "image": image}]},
        "status": {
            "containerStatuses": [
                {"name": "other", "imageID": "a@sha256:" + "4" * 64},
                {"name": "it", "imageID": image_id},
            ]
        },
    }


@pytest.mark.parametrize("tag", ["latest", "stable", "main", "nightly", "v3", "16", "2.1-latest"])
def test_a_tag_without_a_version_moves(tag):
    """Also a major version alone, which each release of it gets."""
    assert is_moving(tag)
    assert len(findings({"collector": f"r.example/collector:{tag}"})) == 1


@pytest.mark.parametrize(
    "tag",
    [
        "0.159.0",
        "v3.16",
        "1.2-alpine",
        "1f2e3d4c",
        "2026-11-30",
        "20261130",
        "build-1024",
        "sha-1f2e3d4",
    ],
)
def test_a_tag_with_a_version_stays(tag):
    """A date, the number of a build and a commit count as one."""
    assert not is_moving(tag)
    assert findings({"collector": f"r.example/collector:{tag}"}) == []


@pytest.mark.parametrize("image", [f"r.example/c@{DIGEST}", f"r.example:5000/c:latest@{DIGEST}"])
def test_a_digest_pins(image):
    """With a tag, too, which is then for people."""
    assert findings({"collector": image, "jaeger": image}) == []


def test_the_defaults_stay():
    """Also those of the backends."""
    assert findings({}) == []


@pytest.mark.parametrize(
    ("field", "image", "fixed"),
    [
        ("collector", f"{REPOSITORY}:latest", f"{REPOSITORY}:{VERSION}"),
        ("collector", "m.example:5000/opentelemetry-collector-contrib:main", f":{VERSION}"),
        ("jaeger", "mirror.example/jaeger:latest", "mirror.example/jaeger:2.13.0"),
    ],
)
def test_the_yaml_to_write_has_the_tested_version(field, image, fixed):
    """It is a part of facility.yaml that the check then accepts."""
    (finding,) = findings({field: image})
    assert finding.severity == "warns"
    written = yaml.safe_load(finding.mend)
    image = written["collector"]["image"] if field == "collector" else None
    image = image or written["backends"]["images"][field]
    assert image.endswith(fixed)
    assert findings({field: image}) == []


def test_the_yaml_to_write_has_the_digest_that_runs():
    """For any image, as its pod was started with that."""
    image = "r.example/grafana:latest"
    (finding,) = findings({"grafana": image}, pod(image, f"docker-pullable://g@{DIGEST}"))
    assert yaml.safe_load(finding.mend) == {
        "backends": {"images": {"grafana": f"{image}@{DIGEST}"}}
    }
    assert finding.where == "`backends.images.grafana` in facility.yaml"


@pytest.mark.parametrize("image_id", ["", DIGEST])
def test_where_the_digest_is_unknown_the_command_that_shows_it_is_named(image_id):
    """A node that was given the image by hand knows no digest of a registry."""
    image = "r.example/grafana:latest"
    (finding,) = findings({"grafana": image}, pod(image, image_id))
    assert f"imagetools inspect {image}`" in finding.mend
    assert f"{image}@sha256:DIGEST" in finding.mend


def test_pods_that_may_not_be_read_are_done_without():
    """The tag is as bad."""

    def forbidden(*_):
        raise Forbidden("No")

    assert len(findings({"collector": "r.example/c:latest"}, reads=forbidden)) == 1
