"""The options of `af-otel up`: what may be written, and their way to a detached facility."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from af_otel.cli import app
from af_otel.cli.up import _bytes, _hours
from af_otel.local.options import Options, TraceLimits


@pytest.mark.parametrize(
    ("text", "hours"), [("1h", 1), ("12h", 12), ("30d", 720), ("4w", 672), ("3650d", 87600)]
)
def test_times_are_read_in_their_unit(text, hours):
    """Hours, days and weeks."""
    assert _hours(text) == hours


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100MB", 10**8),
        ("4GB", 4 * 10**9),
        ("4 GB", 4 * 10**9),
        ("1GiB", 2**30),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes_are_read_in_their_unit(text, size):
    """Powers of ten, or of two where the unit says so."""
    assert _bytes(text) == size


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *(("--retention", text) for text in ("30", "d", "0h", "-1d", "1.5d", "30 days", "99999d")),
        *(("--trace-disk", text) for text in ("4", "GB", "0GB", "99MB", "-4GB", "4gb", "1.5GB")),
    ],
)
def test_what_is_no_time_or_size_is_wrong_usage(tmp_path, option, text):
    """The option and an example are named, and nothing is started."""
    result = CliRunner().invoke(app, ["up", "--state", str(tmp_path / "s"), f"{option}={text}"])

    assert result.exit_code == 2
    assert option in result.output
    assert "such as" in result.output
    assert not (tmp_path / "s").exists()


def test_options_reach_a_detached_facility_unchanged():
    """They travel as one argument of its process."""
    options = Options({"hub": 8010}, TraceLimits(hours=12, disk=5 * 10**8))

    assert Options.from_json(options.as_json()) == options
