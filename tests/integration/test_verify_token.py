"""A token made beside a running hub: good for one user, good again the next time, and gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hubs import running_hub
from pythons import OLDEST

from af_otel.errors import AfOtelError
from af_otel.verify import hub_script
from af_otel.verify.caller import Caller
from af_otel.verify.hub_token import _FIND, script
from af_otel.verify.kernel import Kernel
from servers import wait_for

USER = "af-otel-verify"
NOBODY = "http://127.0.0.1:1"  # telemetry is not what this is about


@pytest.fixture(scope="module", params=["newest", "oldest"])
def hub(request, tmp_path_factory):
    python = sys.executable
    if request.param == "oldest":
        if not OLDEST.exists():
            pytest.skip(f"`make test` makes `{OLDEST}`, with the oldest JupyterHub")
        python = str(OLDEST)
    with running_hub(tmp_path_factory.mktemp("hub"), NOBODY, python) as running:
        running.settings["python"] = python
        yield running


def beside(hub, action, seconds=900, code=0):
    """Run the script as the hub's pod does: among its processes, with nothing of its own."""
    pid = next(
        process.name
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and is_hub(process, hub.directory)
    )
    done = subprocess.run(
        [hub.settings["python"], "-c", script(), pid, action, USER, str(seconds)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def is_hub(process, directory):
    try:
        here = (process / "cwd").readlink() == directory
        return here and b"jupyterhub\0-f" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def traces(hub):
    """What the hub's API says of users and services that are not the tests' own."""
    services = hub.api("GET", "user").json()
    assert services["name"] == "admin"
    return [user["name"] for user in hub.api("GET", "users").raise_for_status().json()]


def test_a_user_comes_and_goes_and_the_next_time_again(hub):
    """Made, at work in its own server, removed; the hub has read the first token when the second is
    made, and is not taken in by what it remembers.
    """
    for _ in range(2):
        token = beside(hub, "make")["token"]
        with Caller(hub.url, USER, token) as user:
            assert user.who()["name"] == hub_script.NAME
            assert not user.exists()
            user.create()
            user.spawn(120)
            with Kernel(user, "verify.ipynb") as kernel:
                assert kernel.name == "python3"
                assert kernel.run("print(6 * 7)", 60).text == "42\n"
                kernel.shut_down()
            user.stop_server()
            user.remove()
            assert not user.exists()
            assert beside(hub, "remove") == {}
            with pytest.raises(AfOtelError, match="does not know the token"):
                user.who()
    assert traces(hub) == []


def test_the_token_is_good_for_its_user_alone(hub):
    """Other users are not seen, not made, not touched."""
    hub.add_user("alice")
    try:
        token = beside(hub, "make")["token"]
        for method, path in [
            ("GET", "users/alice"),
            ("DELETE", "users/alice"),
            ("POST", "users/alice/server"),
            ("POST", "users/alice/tokens"),
            ("POST", "users/mallory"),
        ]:
            assert hub.api(method, path, token=token).status_code in {403, 404}, path
        assert hub.api("GET", "users", token=token).json() == []
        assert traces(hub) == ["alice"]
    finally:
        beside(hub, "remove")
        hub.api("DELETE", "users/alice")


def test_the_token_ends_by_itself(hub):
    """Nobody has to remove it."""
    token = beside(hub, "make", seconds=1)["token"]

    def refused():
        return hub.api("GET", "user", token=token).status_code == 403

    wait_for(refused, "the end of the token", 30)
    beside(hub, "remove")


def test_a_role_that_others_have_given_stays(hub):
    """A facility may have a role of that name: it is not removed."""

    def change(code):
        python = f"from jupyterhub import orm\ndb = orm.new_session_factory(URL)()\n{code}"
        subprocess.run(
            [hub.settings["python"], "-c", f"URL = 'sqlite:///jupyterhub.sqlite'\n{python}"],
            cwd=hub.directory,
            check=True,
        )

    hub.add_user("alice")
    change(
        f"role = orm.Role(id=900, name={hub_script.NAME!r})\n"
        "alice = orm.User.find(db, 'alice')\nalice.roles.append(role)\ndb.commit()"
    )
    try:
        said = beside(hub, "make", code=1)
        assert f"role {hub_script.NAME} is given to users" in said
    finally:
        hub.api("DELETE", "users/alice")
        change(f"db.delete(orm.Role.find(db, {hub_script.NAME!r}))\ndb.commit()")


def test_a_hub_is_found_among_processes():
    """By its own name and not by that of its helpers; who finds none says so."""
    done = subprocess.run(
        ["sh", "-c", _FIND.replace("/proc/[0-9]*", "/proc/self/none*"), "print()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "no process of this pod is a JupyterHub\n"
