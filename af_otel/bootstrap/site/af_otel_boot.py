"""Which of a facility's processes is this? Answered in microseconds, for every Python there is.

A process is known by what was executed (`sys.orig_argv`), not by its environment: kernels,
terminals and workers inherit that. Where a library that we trace may be loaded, a finder waits for
it; everything else of ours is imported behind that.
"""

import sys


def _directory():
    """Return the payload's directory; of a link that `af-otel payload` switches, its target."""
    from os import readlink

    here = __file__.replace("\\", "/").rpartition("/")[0]
    try:
        target = readlink(here)
    except (OSError, ValueError):
        return here
    return target if target.startswith("/") else here.rpartition("/")[0] + "/" + target


HERE = _directory()
# Appended to sys.path, never prepended: what the environment brings has precedence.
LIB = HERE + "/af_otel_lib"

HUB = "hub"
SERVER = "server"
KERNEL = "kernel"
SCHEDULER = "dask-scheduler"
WORKER = "dask-worker"
GATEWAY = "dask-gateway"
CHILD = "multiprocessing"
PYTHON = "python"

_SERVERS = (
    "jupyterlab",
    "jupyterlab.labapp",
    "jupyter_server",
    "jupyter_server.serverapp",
    "notebook",
    "nbclassic",
    "jupyterhub.singleuser",
)
# What `python -m NAME` and the script NAME are; `dask` tells by its second word.
ROLES = dict.fromkeys(_SERVERS, SERVER)
ROLES.update(
    {
        "jupyterhub": HUB,
        "jupyterhub-singleuser": SERVER,
        "batchspawner-singleuser": SERVER,  # runs jupyterhub-singleuser within itself
        "jupyter-lab": SERVER,
        "jupyter-server": SERVER,
        "jupyter-notebook": SERVER,
        "jupyter-nbclassic": SERVER,
        "jupyter-labhub": SERVER,
        "jupyterhub.labhub": SERVER,
        "ipykernel_launcher": KERNEL,
        "ipykernel": KERNEL,
        "ipykernel.kernelapp": KERNEL,
        "dask-scheduler": SCHEDULER,
        "dask-worker": WORKER,
        "distributed.cli.dask_scheduler": SCHEDULER,
        "distributed.cli.dask_worker": WORKER,
        "dask-gateway-scheduler": SCHEDULER,
        "dask-gateway-worker": WORKER,
        "dask-gateway-server": GATEWAY,
        "dask_gateway_server": GATEWAY,
    }
)
_DASK = {"scheduler": SCHEDULER, "worker": WORKER}

# Whose stderr is an operator's log. A kernel's is its cells' output, a script's is its user's.
OPERATED = (HUB, SERVER, SCHEDULER, WORKER, GATEWAY)
# Bytes of the log file; when it is full, its older half is dropped.
LOG_LIMIT = 64 * 1024
# Characters of one line in it.
LONGEST = 1000

# Importing one of these is the sign that the library is used. Any process may become a Dask client.
ANCHORS = {
    HUB: ("jupyterhub.app",),
    SERVER: ("jupyter_server.serverapp", "distributed"),
    KERNEL: ("ipykernel.kernelapp", "distributed", "coffea.processor.executor"),
    SCHEDULER: ("distributed",),
    WORKER: ("distributed",),
    CHILD: ("distributed",),
    # Also a kernel that is started otherwise: `ipython kernel`, or a script of the facility's.
    PYTHON: ("ipykernel.kernelapp", "distributed", "coffea.processor.executor"),
}

# What a user imports of ours: `from af_otel import metrics`.
OURS = "af_otel"

# IPython's `%autoreload`, which is to leave our modules alone.
AUTORELOAD = "IPython.extensions.autoreload"

# The versions that the payload works with, [from, to): one that the environment brings instead of
# ours must lie within, or nothing is imported.
FITS = {
    "opentelemetry-api": ((1, 45), (2,)),
    "opentelemetry-sdk": ((1, 45), (2,)),
    "opentelemetry-semantic-conventions": ((0, 66), (1,)),
    "opentelemetry-exporter-http-transport": ((0, 66), (0, 67)),
    "opentelemetry-exporter-otlp-common": ((0, 66), (0, 67)),
    "opentelemetry-exporter-otlp-json-common": ((0, 66), (0, 67)),
    "opentelemetry-exporter-otlp-json-http": ((0, 66), (0, 67)),
    "opentelemetry-proto-json": ((0, 66), (0, 67)),
    "urllib3": ((1, 26), (3,)),
    "typing-extensions": ((4, 5), (5,)),
    "af-otel": ((0, 1), (0, 2)),
    "af-otel-semconv": ((0, 1), (0, 2)),
    "af-otel-instrumentation-jupyterhub": ((0, 1), (0, 2)),
    "af-otel-instrumentation-jupyter-server": ((0, 1), (0, 2)),
    "af-otel-instrumentation-ipykernel": ((0, 1), (0, 2)),
    "af-otel-instrumentation-dask": ((0, 1), (0, 2)),
    "af-otel-instrumentation-coffea": ((0, 1), (0, 2)),
}


# This process', once it is known and unless we are switched off.
role = None


def start():
    """Recognise this process and wait for the libraries that its role may load."""
    global role  # noqa: PLW0603
    if role is not None:
        return  # by another payload that follows on the path: finders of two would ask each other
    from os import environ  # in memory since before `site`

    for name in ("AF_OTEL_DISABLED", "OTEL_SDK_DISABLED"):
        if environ.get(name, "").strip().lower() in ("true", "1", "yes", "on"):
            return
    role = recognise(sys.orig_argv)
    anchors = ANCHORS.get(role)
    if anchors:
        sys.meta_path.insert(0, AfterImport(role, anchors))


def recognise(argv):
    """Return the role of a process with this command line; None for what never loads a host."""
    kind, what, rest = executed(argv)
    if kind == "c":
        if "multiprocessing.spawn" in what:
            return CHILD
        return None if "multiprocessing.resource_tracker" in what else PYTHON
    name = what if kind == "m" else what.replace("\\", "/").rpartition("/")[2]
    if name == "dask":
        return _DASK.get(rest[0] if rest else "", PYTHON)
    return ROLES.get(name, PYTHON)


def executed(argv):
    """Split a command line of the interpreter into how it runs, what it runs, and that one's
    arguments.

    How is "m", "c" or "" for a script or nothing at all. The options are read as getopt does
    (CPython's Python/getopt.c): `-Bm name`, `-mname` and `-W ignore -m name` all run a module.
    """
    index = 1
    while index < len(argv):
        word = argv[index]
        if len(word) < 2 or word[0] != "-":  # noqa: PLR2004
            return "", word, argv[index + 1 :]
        index += 1
        if word == "--":
            break
        if word.startswith("--"):
            index += word == "--check-hash-based-pycs"
            continue
        for at, flag in enumerate(word[1:], 2):
            if flag not in "mcWX":
                continue
            attached = word[at:]
            if not attached:
                index += 1
            if flag in "mc":
                value = attached or (argv[index - 1] if index <= len(argv) else "")
                return flag, value, argv[index:]
            break
    return "", argv[index] if index < len(argv) else "", argv[index + 1 :]


# What is wrong with this environment's packages: None until it was looked at, then "" if nothing
# is.
misfits = None


class AfterImport:
    """A finder that finds nothing itself: it learns when an anchor has been imported."""

    def __init__(self, role, anchors):
        self.role = role
        self.waiting = {OURS, AUTORELOAD, *anchors}

    def find_spec(self, name, path=None, target=None):
        """Return the anchor's own spec with a loader that tells us when it is done."""
        if name not in self.waiting:
            return None
        if name == OURS:
            self.waiting.discard(name)
            # Not before somebody asks: until then nothing of ours is on the path.
            if fits() and LIB not in sys.path:
                sys.path.append(LIB)
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    # Whoever only asks whether it is there does not import it: on we wait.
                    spec.loader = Then(spec.loader, self)
                return spec
        return None


class Then:
    """A module's own loader, and then us."""

    def __init__(self, loader, finder):
        self.loader = loader
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        """Create the module as its own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module):
        """Run the module as its own loader does, leave no trace of us in it, and start tracing."""
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        if module.__name__ in self.finder.waiting:
            self.finder.waiting.discard(module.__name__)
            if module.__name__ == AUTORELOAD:
                exempt(module)
            else:
                trace(self.finder.role, module.__name__)


def exempt(autoreload):
    """Have `%autoreload` take our modules for ones without a file, which it skips.

    A module that is reloaded loses its state: a tracer, the hooks of a running kernel.
    """
    reloader = getattr(autoreload, "ModuleReloader", None)
    original = getattr(reloader, "filename_and_mtime", None)
    if original is None:
        return
    from functools import wraps

    @wraps(original)
    def filename_and_mtime(self, module):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(HERE + "/"):
            return None, None
        return original(self, module)

    reloader.filename_and_mtime = filename_and_mtime


def trace(role, anchor):
    """Instrument a library that was just imported, or log why not."""
    try:
        if fits():
            if LIB not in sys.path:
                sys.path.append(LIB)
            from af_otel.runtime._log import one_line_each

            with one_line_each():
                from af_otel.runtime.activate import activate

                activate(role, anchor)
    except Exception as error:
        say(
            "this process runs untraced: %s: %s; set AF_OTEL_DISABLED=1 to silence this"
            % (type(error).__name__, error)
        )


def fits():
    """Tell whether this environment's packages and ours go together; log it once if not."""
    global misfits  # noqa: PLW0603
    if misfits is None:
        misfits = misfit()
        if misfits:
            say(misfits)
    return not misfits


def misfit():
    """Return what is wrong with the environment's own packages, an empty string if nothing is.

    Versions are read off the names of their metadata's directories, as `importlib.metadata` takes
    half a millisecond for each.
    """
    from os import listdir
    from re import match

    seen = set()
    for entry in sys.path:
        try:
            names = listdir(entry or ".")
        except OSError:  # a zip file, or nothing
            continue
        for found in names:
            if not found.endswith((".dist-info", ".egg-info")):
                continue
            name, _, version = found.rpartition(".")[0].partition("-")
            name = name.lower().replace("_", "-").replace(".", "-")
            numbers = match(r"(\d+)\.(\d+)", version)
            if name not in FITS or name in seen or not numbers:
                continue
            seen.add(name)  # the first on the path is the one that is imported
            first, end = FITS[name]
            if not first <= tuple(map(int, numbers.groups())) < end:
                fits = ">=%s,<%s" % (".".join(map(str, first)), ".".join(map(str, end)))
                return (
                    "this process runs untraced: %s %s of this environment does not fit, af-otel "
                    "needs %s; install that, or set AF_OTEL_DISABLED=1 to silence this"
                    % (name, version, fits)
                )
    return ""


def say(line):
    """Log one line where an operator finds it, never on a stream that a user sees."""
    try:
        target = log()
        if target == "stderr":
            write_stderr("af-otel: %s\n" % line)
        elif target:
            append(target, line.replace("\n", " ")[:LONGEST])
    except (ImportError, OSError, ValueError):  # no such call here, a full disk, or closed
        pass


def log():
    """Return `stderr` or the path of the log file; an empty string if there is no place for it."""
    from os import environ

    home = environ.get("HOME", "")
    chosen = environ.get("AF_OTEL_LOG", "").strip()
    if chosen.startswith("~/"):
        chosen = home + chosen[1:]
    if chosen == "stderr" or chosen.startswith("/"):
        return chosen
    if operated():
        return "stderr"
    state = environ.get("XDG_STATE_HOME") or (home and home + "/.local/state")
    return state and state + "/af-otel/log"


def operated():
    """Return whether this process' stderr is an operator's log.

    A child of multiprocessing has its parent's stderr, and its parent's `sys.argv`: the worker of a
    nanny belongs to whoever ran `dask worker`.
    """
    if role != CHILD:
        return role is None or role in OPERATED
    program, *rest = sys.argv or [""]
    program = program.replace("\\", "/")
    if program.endswith("/dask/__main__.py"):
        program = "dask"
    elif program.endswith("/distributed/cli/dask_worker.py"):
        program = "dask-worker"
    return recognise(["python", program, *rest]) in OPERATED


def write_stderr(text):
    """Write to the process' own stderr."""
    if type(sys.stderr).__module__.startswith("ipykernel."):
        from os import write

        # The descriptor that was 2 before the kernel redirected it into its cells' output.
        write(sys.stderr.fileno(), text.encode("utf-8", "replace"))
    elif sys.__stderr__ is not None:
        sys.__stderr__.write(text)
        sys.__stderr__.flush()


def append(path, line):
    """Append a line to a private file of bounded size, unless it has it from this session."""
    import os
    from re import search
    from time import CLOCK_REALTIME, clock_gettime, gmtime, strftime

    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    try:
        try:
            lock(file)
        except OSError:  # a file system without locks
            pass
        now = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(clock_gettime(CLOCK_REALTIME)))
        session = search(r"session\.id=([\w-]+)", os.environ.get("BAGGAGE", ""))
        # Process ids are reused, so without a session of Jupyter's it is one of today.
        session = session.group(1) if session else "%s/%d" % (now[:10], os.getsid(0))
        entry = (" %s %s\n" % (session, line)).encode("utf-8", "replace")
        present = os.pread(file, 2 * LOG_LIMIT, 0)
        if entry in present:
            return
        entry = ("%s pid %d" % (now, os.getpid())).encode() + entry
        if len(present) + len(entry) > LOG_LIMIT:
            entry = present[-LOG_LIMIT // 2 :].partition(b"\n")[2] + entry
            os.ftruncate(file, 0)
        os.write(file, entry)
    finally:
        os.close(file)


def lock(file):
    """Lock a file that other processes of the session write to at the same time.

    Without it a line is at worst logged twice, so nothing waits for it for long.
    """
    from contextlib import suppress
    from fcntl import LOCK_EX, LOCK_NB, flock
    from time import sleep

    for _ in range(20):
        with suppress(BlockingIOError):
            flock(file, LOCK_EX | LOCK_NB)
            return
        sleep(0.005)
