"""Wrapping the hub's methods, and taking it back."""

from __future__ import annotations

import asyncio
import inspect
import logging

import pytest
from af_otel_instrumentation import jupyterhub
from af_otel_instrumentation.jupyterhub._patch import Patches, quiet
from af_otel_instrumentation.jupyterhub.instrumentor import JupyterHubInstrumentor
from jupyterhub.app import JupyterHub
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner
from jupyterhub.user import User

WRAPPED = [
    (User, "spawn"),
    (User, "stop"),
    (Spawner, "get_env"),
    (Spawner, "start_polling"),
    (Spawner, "poll_and_notify"),
    (Proxy, "add_user"),
    (BaseHandler, "stop_single_user"),
    (JupyterHub, "cleanup"),
    (JupyterHub, "init_tornado_application"),
]


def methods():
    return [vars(owner)[name] for owner, name in WRAPPED]


@pytest.fixture(autouse=True)
def untouched():
    before = methods()
    yield before
    jupyterhub.uninstrument()
    assert methods() == before


def test_instrumenting_twice_wraps_once_and_is_undone_at_once(untouched):
    """Every hook is a method of the host's, and looks like it to whoever inspects it."""
    jupyterhub.instrument()
    wrapped = methods()
    jupyterhub.instrument()
    assert methods() == wrapped
    for new, old in zip(wrapped, untouched, strict=True):
        assert new is not old
        assert new.__wrapped__ is old
        assert inspect.signature(new) == inspect.signature(old)
        assert inspect.iscoroutinefunction(new) == inspect.iscoroutinefunction(old)
    jupyterhub.uninstrument()
    jupyterhub.uninstrument()
    assert methods() == untouched


def test_opentelemetrys_tools_find_and_drive_it(untouched):
    """The instrumentor checks the hub's version itself and hands providers on."""
    instrumentor = JupyterHubInstrumentor()
    assert instrumentor.instrumentation_dependencies() == ("jupyterhub>=5.2.1",)
    instrumentor.instrument()
    assert methods() != untouched
    instrumentor.uninstrument()
    assert methods() == untouched


class Host:
    def sync(self, value):
        return value

    async def slow(self, value):
        return value


def doubled(original, host, value):
    return 2 * original(host, value)


async def slowly_doubled(original, host, value):
    return 2 * await original(host, value)


def wrapped_again(method):
    def wrapper(self, value):
        return method(self, value)

    return wrapper


def test_a_method_that_others_wrapped_since_is_left_in_place_and_passes_through(monkeypatch):
    """What is removed cannot be taken out of the middle, so it does nothing there."""
    monkeypatch.setattr(Host, "sync", Host.sync)
    monkeypatch.setattr(Host, "slow", Host.slow)
    patches = Patches()
    patches.wrap(Host, "sync", doubled)
    patches.wrap(Host, "slow", slowly_doubled)
    assert (Host().sync(1), asyncio.run(Host().slow(value=1))) == (2, 2)
    Host.sync, Host.slow = wrapped_again(Host.sync), wrapped_again(Host.slow)
    patches.remove()
    assert (Host().sync(1), asyncio.run(Host().slow(1))) == (1, 1)


def test_a_method_that_is_gone_costs_its_hook_and_one_line(caplog):
    """A hub of the future is traced as far as it is known."""
    Patches().wrap(Host, "gone", doubled)
    assert caplog.messages == ["Host has no method `gone`; what it does is untraced"]


def test_a_failure_of_ours_is_said_once(caplog):
    """It returns None; a host that calls it all day has one line in its log."""

    @quiet
    def fails(value):
        raise ValueError(value)

    with caplog.at_level(logging.WARNING):
        assert [fails(1), fails(2)] == [None, None]
    assert len(caplog.records) == 1
