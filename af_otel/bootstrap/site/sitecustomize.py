"""Start af-otel where it is wanted, then run the environment's own sitecustomize as if it came
first.

Every Python that inherits PYTHONPATH reads this file, Python 2 included: keep its syntax plain.
Without `af_otel_boot` beside it, as the init step leaves it where it failed, it starts nothing. No
curly braces: it is also carried in commands that are format strings to KubeSpawner.
"""

import sys


def _start():
    """Look at what this process is; what goes wrong here is one line in the log file."""
    if sys.version_info < (3, 10):
        return
    try:
        boot = _boot()
        if boot is not None:
            boot.start()
    except Exception as error:
        try:
            _log("not started: %s: %s" % (type(error).__name__, error))
        except Exception:  # no home, or a full disk
            pass


def _boot():
    """Return `af_otel_boot`; None where the init step has not left it, or another payload that
    comes first has started.

    Tools that show or measure users' code take it for a frozen module, as its file name says so.
    """
    from _imp import _fix_co_filename

    path = _here + "/af_otel_boot.py"
    name = "_af_otel_boot"
    if name in sys.modules:
        return None
    try:
        if hasattr(__loader__, "archive"):
            code = __loader__.get_code("af_otel_boot")
        else:
            code = type(__loader__)(name, path).get_code(name)
    except (ImportError, OSError):
        return None
    boot = sys.modules[name] = type(sys)(name)
    boot.__file__ = path
    _fix_co_filename(code, "<frozen %s>" % name)
    exec(code, boot.__dict__)  # noqa: S102 - as an import does
    return boot


def _log(line):
    """Append a line to the log file that `af_otel_boot.log` names, in so far as it is short."""
    import os

    path = os.environ.get("AF_OTEL_LOG") or ""
    if path == "stderr":
        sys.stderr.write("af-otel: %s\n" % line)
        return
    if not path.startswith("/"):
        state = os.environ.get("XDG_STATE_HOME") or os.environ["HOME"] + "/.local/state"
        path = state + "/af-otel/log"
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path), 0o700)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(file).st_size < 16384:  # noqa: PLR2004 - every Python writes it
            os.write(file, ("pid %d %s\n" % (os.getpid(), line)).encode("utf-8", "replace"))
    finally:
        os.close(file)


def _put_back(here):
    """Put the image's own PYTHONPATH where it would be, if a variable of the pod's hides it.

    `here/image`, a file that the init step writes, has it; the same words on PYTHONPATH stand for
    it, as does a reference that the kubelet could not resolve.
    """
    import os

    written = os.environ.get("PYTHONPATH", "")
    hidden = here + "/image"
    unresolved = "$" + "(PYTHONPATH)"
    if written == here + os.pathsep and sys.version_info[0] > 2:
        # The pod's own is empty, which is none; its end would be the working directory.
        os.environ["PYTHONPATH"] = here
        at = sys.path.index(here) + 1
        if sys.path[at] == os.getcwd():
            del sys.path[at]
    if hidden not in written and unresolved not in written:
        return
    try:
        with open(hidden, "rb") as record:
            own = record.read()
        own = os.fsdecode(own) if hasattr(os, "fsdecode") else own
    except Exception:
        own = ""
    stand_ins = (hidden, unresolved)
    found = [own if entry in stand_ins else entry for entry in written.split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join([entry for entry in found if entry])
    path = []
    for entry in sys.path:
        # The interpreter has made relative entries absolute.
        if not entry.endswith(stand_ins):
            path.append(entry)
        elif own:
            path.extend([os.path.abspath(part) for part in own.split(os.pathsep)])
    sys.path[:] = [entry for at, entry in enumerate(path) if entry not in path[:at]]


def _run_the_next(here):
    """Import the sitecustomize that we stand in front of.

    Without our directory on the path this is what `site` would have done, and an exception goes
    where it would have gone. Child processes find us by PYTHONPATH again.
    """
    ours = sys.modules.pop("sitecustomize")
    sys.path[:] = [entry for entry in sys.path if entry.replace("\\", "/").rstrip("/") != here]
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = ours


_here = __file__.replace("\\", "/").rpartition("/")[0]
_start()
try:
    _put_back(_here)
except Exception:  # a working directory that is gone
    pass
_run_the_next(_here)
