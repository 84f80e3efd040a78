"""Run in the hub's pod by the hub's own Python: makes, or removes, what lets a verification in.

A service in the hub's database, whose role and token are good for one user alone. The hub reads its
database at each request, so nothing is restarted; and a hub that starts forgets what its
configuration does not name. Standard library and JupyterHub 4 to 6.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from typing import Any

USAGE = "hub_script.py PID (make|remove) USER SECONDS"
# Of the service and its role. Not the user's: nobody may delete who has their own name.
NAME = "af-otel-verifier"


def main(arguments: list[str]) -> None:
    """Print the token, or nothing, as JSON."""
    if len(arguments) != 4:  # noqa: PLR2004
        sys.exit(USAGE)
    pid, action, user, seconds = arguments
    # A configuration prints as it likes: stdout is the answer's alone.
    with contextlib.redirect_stdout(sys.stderr):
        app = hub_of(int(pid))
        app.init_db()
        remove(app.db)
        answer = {}
        if action == "make":
            answer = {"token": make(app.db, user, int(seconds))}
    print(json.dumps(answer), flush=True)
    # What a configuration may have begun, such as a thread, is the hub's and not to be waited for.
    os._exit(0)


def hub_of(pid: int) -> Any:
    """The hub with the environment, the directory, the options and the configuration of `pid`."""
    with open(f"/proc/{pid}/environ", "rb") as environ:  # noqa: PTH123
        for entry in environ.read().decode(errors="surrogateescape").split("\0"):
            key, found, value = entry.partition("=")
            if found:
                os.environ[key] = value
    os.environ["AF_OTEL_DISABLED"] = "true"
    os.chdir(f"/proc/{pid}/cwd")
    with open(f"/proc/{pid}/cmdline", "rb") as cmdline:  # noqa: PTH123
        command = cmdline.read().decode().rstrip("\0").split("\0")
    # `python /usr/local/bin/jupyterhub OPTION ...` or `python -m jupyterhub OPTION ...`
    options = command[3:] if command[1] == "-m" else command[2:]

    from jupyterhub.app import JupyterHub

    app = JupyterHub()
    app.parse_command_line(options)
    app.load_config_file(app.config_file)
    app.upgrade_db = False  # the hub's own business, and done
    return app


def make(db: Any, user: str, seconds: int) -> Any:
    """A token that expires."""
    from jupyterhub import orm

    scopes = [f"{scope}!user={user}" for scope in ("admin:users", "servers", "access:servers")]
    role = orm.Role(id=unused(db, orm.Role), name=NAME, description="af-otel verify", scopes=scopes)
    service = orm.Service(id=unused(db, orm.Service), name=NAME)
    if hasattr(orm.Service, "from_config"):
        # As if a configuration had named it: a hub that starts removes those that none names.
        service.from_config = True
    service.roles.append(role)
    db.add_all([role, service])
    db.commit()
    token = service.new_api_token(note="af-otel verify", expires_in=seconds, scopes=scopes)
    service.api_tokens[0].id = unused(db, orm.APIToken)
    db.commit()
    return token


def unused(db: Any, table: Any) -> int:
    """An id that nothing has, and that nothing of an earlier run had.

    The hub keeps what it has read under its id. Where the database gives a removed row's id to the
    next one, as SQLite does, the hub would take this run's token for the last one's.
    """
    from sqlalchemy import func

    return (db.query(func.max(table.id)).scalar() or 0) + 1_000 + secrets.randbelow(100_000)


def remove(db: Any) -> None:
    """What an earlier run, or this one, has made."""
    from jupyterhub import orm

    role = orm.Role.find(db, NAME)
    if role is not None and (role.users or role.groups):
        sys.exit(f"role {NAME} is given to users: it is not af-otel's")
    for found in (orm.Service.find(db, NAME), role):
        if found is not None:
            db.delete(found)
    db.commit()


if __name__ == "__main__":
    main(sys.argv[1:])
