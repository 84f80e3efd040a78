"""Pseudonyms and session ids of the hub."""

from __future__ import annotations

from types import SimpleNamespace

from af_otel_instrumentation.jupyterhub import identity


def user(name="ann", **settings):
    return SimpleNamespace(name=name, settings=settings)


def test_a_user_has_one_pseudonym_and_two_users_have_two():
    """It is 16 hex digits and the same in another process with the same secret."""
    secret = bytes(range(32))
    first = identity.user_hash(user(cookie_secret=secret))
    assert first == identity.user_hash(user(cookie_secret=secret)) == "1f70c83f66d8e510"
    assert identity.user_hash(user("bob", cookie_secret=secret)) != first


def test_another_secret_makes_another_pseudonym():
    """Who does not have the hub's secret cannot tell whose it is."""
    made = {identity.user_hash(user(cookie_secret=bytes([n]) * 32)) for n in range(3)}
    assert len(made) == 3


def test_a_key_of_ones_own_outlives_the_cookie_secret(monkeypatch):
    """With AF_OTEL_USER_HASH_KEY the cookie secret plays no part; an empty one is none."""
    by_cookie = identity.user_hash(user(cookie_secret=b"old"))
    monkeypatch.setenv(identity.ENV_KEY, "")
    assert identity.user_hash(user(cookie_secret=b"old")) == by_cookie
    monkeypatch.setenv(identity.ENV_KEY, "ours")
    by_key = identity.user_hash(user(cookie_secret=b"old"))
    assert by_key == identity.user_hash(user(cookie_secret=b"new")) != by_cookie


def test_without_any_secret_there_is_no_pseudonym():
    """A hash that anybody can make would be a name."""
    assert identity.user_hash(user()) is None


def test_session_ids_are_never_the_same():
    """They are 32 hex digits, as the environment and baggage carry them unescaped."""
    ids = {identity.new_session_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)
