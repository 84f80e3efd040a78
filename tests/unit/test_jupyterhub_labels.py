"""Attribute values that users choose."""

from __future__ import annotations

import pytest
from af_otel_instrumentation.jupyterhub._labels import Bounded, image, slug


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("GPU (A100), 16 GB", "gpu-a100-16-gb"),
        (["large", "small"], "large"),
        ("-- x --", "x"),
        ("Größe", "gr-e"),
        ("x" * 10_000_000, "x" * 40),
        ("a" * 39 + " b", "a" * 39),
        ("", None),
        ("日本", None),
        ([], None),
        ([{"a": 1}], None),
        (None, None),
        (7, None),
        ({"profile": "x"}, None),
    ],
)
def test_whatever_a_user_sends_becomes_a_short_slug_or_nothing(chosen, told):
    """The body of a request to the hub's API is free."""
    assert slug(chosen) == told


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("quay.io/lab/cc-dask:2026.8", "quay.io/lab/cc-dask:2026.8"),
        (f"host:5000/cc:1@sha256:{64 * 'a'}", "host:5000/cc:1"),
        ("python", "python"),
        ("https://me:s3cret@host/cc", None),
        ("two words", None),
        ("x" * 10_000_000, None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_an_image_is_its_reference_without_a_digest(chosen, told):
    """Where users write it themselves, what is none is left out."""
    assert image(chosen) == told


def test_the_first_values_pass_and_the_rest_are_other():
    """Those that passed once pass again."""
    bounded = Bounded(2)
    assert [bounded(value) for value in "abcab"] == ["a", "b", "other", "a", "b"]
