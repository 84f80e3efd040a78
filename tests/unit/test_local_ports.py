"""Ports are free when chosen, and stay ours until they are used."""

from __future__ import annotations

import socket

import pytest

from af_otel.errors import AfOtelError
from af_otel.local.ports import Ports


@pytest.fixture
def taken():
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_replaced_by_a_later_one(taken):
    ports = Ports()
    assert ports.choose("hub", taken) > taken
    ports.release()


def test_a_port_on_all_addresses_is_taken_on_ours():
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
        ports = Ports()
        assert ports.choose("hub", port) != port
        ports.release()


def test_a_port_asked_for_that_is_taken_is_an_error(taken):
    """Whoever names a port has told others of it: another one would not do."""
    with pytest.raises(AfOtelError) as caught:
        Ports({"hub": taken}).choose("hub", 8000)
    assert caught.value.what == f"Port {taken} is taken"
    assert f"hub={taken}" in caught.value.where


def test_two_facilities_that_start_at_once_choose_different_ports(taken):
    """Nobody listens yet on what the first has chosen."""
    first, second = Ports(), Ports()
    chosen = first.choose("hub", taken)
    assert second.choose("hub", taken) != chosen
    first.release()
    third = Ports()
    assert third.choose("hub", taken) == chosen
    second.release()
    third.release()


def test_a_service_does_not_take_what_another_was_promised(taken):
    ports = Ports({"tempo": taken + 1})
    assert ports.choose("hub", taken) != taken + 1
    ports.release()
