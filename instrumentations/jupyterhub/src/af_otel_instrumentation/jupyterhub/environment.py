"""A spawn's context as environment variables of the server, whatever spawner starts it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from opentelemetry import propagate
from opentelemetry.propagators.textmap import Setter

from ._patch import Patches, quiet
from .session import Sessions, current


class _Setter(Setter[MutableMapping[str, str]]):
    """OpenTelemetry's names of environment variables: the header's, in capitals."""

    def set(self, carrier: MutableMapping[str, str], key: str, value: str) -> None:
        """Write one variable."""
        carrier[_variable(key)] = value


def _variable(key: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in key).upper()


class Environments:
    """Writes into what `Spawner.get_env` returns, the base that spawners extend."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def install(self, patches: Patches) -> None:
        """Follow `Spawner.get_env`."""
        from jupyterhub.spawner import Spawner

        fill = quiet(self._fill)

        def get_env(original: Any, spawner: Any, *args: Any, **kwargs: Any) -> Any:
            env = original(spawner, *args, **kwargs)
            fill(spawner, env)
            return env

        patches.wrap(Spawner, "get_env", get_env)

    def _fill(self, spawner: Any, env: dict[str, str]) -> None:
        # Some spawners work in threads, where no context is current.
        session = current() or self._sessions.find_for(spawner)
        if session is None or session.context is None:
            return
        propagator = propagate.get_global_textmap()
        # Also those that we do not set again: a stale TRACESTATE is of another trace.
        for field in propagator.fields:
            env.pop(_variable(field), None)
        # Hex digits and percent-encoding only: KubeSpawner puts values through str.format.
        propagator.inject(env, context=session.context, setter=_Setter())
