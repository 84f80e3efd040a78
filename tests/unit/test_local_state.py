"""A state directory is one facility's, and only a facility's."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from af_otel.errors import AfOtelError
from af_otel.local import state as states
from af_otel.local.state import MARKER, State


def test_a_second_claim_is_refused_until_the_first_is_released(tmp_path):
    """One facility at a time; who holds the directory is known to everybody."""
    state = State.at(tmp_path / "s")
    state.prepare()
    assert state.holder() is None
    lock = state.lock()
    assert lock is not None
    assert state.lock() is None
    assert state.holder() is not None
    lock.release()
    assert state.holder() is None
    again = state.lock()
    assert again is not None
    again.release()


def test_a_claim_ends_with_its_process(tmp_path):
    """Whatever kills a supervisor, its directory can be used again."""
    state = State.at(tmp_path / "s")
    state.prepare()
    code = (
        "import os, sys; from pathlib import Path; from af_otel.local.state import State\n"
        "assert State(Path(sys.argv[1])).lock(); print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(state.directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (killed.stdout, killed.returncode) == ("held\n", -9)
    assert state.holder() is None


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path):
    """Neither used nor removed: it holds no marker of ours."""
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(AfOtelError, match="holds something else"):
        State.at(tmp_path).prepare()
    with pytest.raises(AfOtelError, match="no facility's"):
        State.at(tmp_path).purge()
    assert (tmp_path / "thesis.tex").exists()


def test_purge_removes_what_prepare_made(tmp_path):
    """Users' homes, logs and data, too."""
    state = State.at(tmp_path / "s")
    state.prepare()
    (state.home / "physicist").mkdir()
    state.purge()
    assert not state.directory.exists()


def test_a_directory_that_cannot_be_made_is_one_error(tmp_path):
    """With the system's reason, the place, and the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(AfOtelError) as caught:
        State.at(tmp_path / "file" / "s").prepare()
    assert caught.value.what == "The state directory cannot be used: Not a directory"
    assert str(tmp_path / "file" / "s") in caught.value.where
    assert "--state DIR" in caught.value.hint


def test_a_disk_that_takes_nothing_is_one_error(tmp_path):
    """What the first write meets is said, not thrown."""
    code = (
        "import sys; from pathlib import Path; from af_otel.local.state import State\n"
        "from af_otel.errors import AfOtelError\n"
        "try: State(Path(sys.argv[1])).prepare()\n"
        "except AfOtelError as error: print(error)"
    )
    full = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert full.stdout.startswith("The state directory cannot be used: File too large")


def test_a_disk_that_is_almost_full_is_said_before_anything_starts(tmp_path, monkeypatch):
    """A server without space fails in its own words, minutes later."""
    monkeypatch.setattr(states, "ENOUGH", 10**18)
    with pytest.raises(AfOtelError, match="almost full"):
        State.at(tmp_path / "s").prepare()


def test_what_others_could_enter_is_closed_and_named(tmp_path):
    """A directory that somebody made beforehand, and those of an earlier version in it."""
    state = State.at(tmp_path / "s")
    state.directory.mkdir(mode=0o755)
    assert state.prepare() == [str(state.directory)]
    assert state.prepare() == []
    state.logs.chmod(0o750)
    (state.directory / "home").chmod(0o711)
    (state.directory / "link").symlink_to(tmp_path)
    assert set(state.prepare()) == {str(state.logs), str(state.home)}
    assert {path.stat().st_mode & 0o777 for path in (state.logs, state.home)} == {0o700}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path):
    """They could put there what the facility then runs."""
    (tmp_path / "s").mkdir()
    os.chown(tmp_path / "s", 65534, 65534)
    with pytest.raises(AfOtelError, match="belongs to another user"):
        State.at(tmp_path / "s").prepare()


def test_sockets_are_private_and_leave_nothing(tmp_path):
    """Their directory has a short path, is made anew each time, and goes with the facility."""
    state = State.at(tmp_path / ("s" * 100))
    state.prepare()
    first = state.sockets()
    assert len(str(first)) < 25
    assert first.stat().st_mode & 0o777 == 0o700
    (first / "left").touch()
    second = state.sockets()
    assert not first.exists()
    assert list(second.iterdir()) == []
    state.purge()
    assert not second.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_that_another_user_made_under_the_name_is_left_alone(tmp_path):
    """The name of one that is gone is free for all."""
    state = State.at(tmp_path / "s")
    state.prepare()
    foreign = state.sockets()
    os.chown(foreign, 65534, 65534)
    mine = state.sockets()
    assert mine != foreign
    assert foreign.exists()
    foreign.rmdir()
    state.remove_sockets()


def test_secrets_are_readable_by_their_user_only(tmp_path):
    """The password stays the same from one start to the next, and is nobody else's."""
    state = State.at(tmp_path / "s")
    state.prepare()
    assert state.password() == state.password()
    assert state.password_file.stat().st_mode & 0o077 == 0
    assert state.directory.stat().st_mode & 0o077 == 0
    assert (state.directory / MARKER).is_file()


def test_commands_name_a_facility_only_where_it_is_not_the_usual_one(tmp_path, monkeypatch):
    """What a person is told to type works as it is."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert State.at(None).option == ""
    assert State.at(tmp_path / "other").option == f" --state {tmp_path / 'other'}"
    assert State.at(tmp_path / "my own").option == f" --state '{tmp_path / 'my own'}'"
