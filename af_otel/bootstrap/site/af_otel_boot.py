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
# Never on sys.path: our finder alone looks here.
LIB = HERE + "/af_otel_lib"
# The package that has all that we import.
PRIVATE = "_af_otel"

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
        # Our own command has OpenTelemetry of its own.
        "af-otel": None,
        "af_otel": None,
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
    GATEWAY: ("dask_gateway_server.app",),
    CHILD: ("distributed",),
    # Also a kernel that is started otherwise: `ipython kernel`, or a script of the facility's.
    PYTHON: ("ipykernel.kernelapp", "distributed", "coffea.processor.executor"),
}

# What users import of ours: `from af_otel import metrics`. An environment may have the package too;
# in a traced process `af_otel.metrics` is the payload's, which exports what it is given.
OURS = "af_otel"
METRICS = "af_otel.metrics"

# The user's own OpenTelemetry, whose spans and metrics we export as well.
OTEL = "opentelemetry"
USERS = ("opentelemetry.trace", "opentelemetry.metrics")


# This process', once it is known and unless we are switched off.
role = None


def start():
    """Recognise this process and wait for the libraries that its role may load."""
    global role  # noqa: PLW0603
    if is_set("AF_OTEL_DISABLED") or is_set("OTEL_SDK_DISABLED"):
        return
    role = recognise(sys.orig_argv)
    anchors = ANCHORS.get(role)
    if anchors:
        sys.meta_path.insert(0, AfterImport(role, anchors))


def is_set(name):
    """Return whether a variable of the environment says yes."""
    from os import environ  # in memory since before `site`

    return environ.get(name, "").strip().lower() in ("true", "1", "yes", "on")


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


class AfterImport:
    """A finder of our own modules, which also learns when an anchor has been imported."""

    def __init__(self, role, anchors):
        self.role = role
        self.waiting = {OURS, *USERS, *anchors}
        self.exposes = is_set("AF_OTEL_EXPOSE_OPENTELEMETRY")
        self.starting = True

    def find_spec(self, name, path=None, target=None):
        """Return the spec of a module of ours, or an anchor's own with a loader that tells us."""
        if self.starting and name != "sitecustomize":
            self.starting = False
            forget_sitecustomize()
        if self.exposes and name.partition(".")[0] == OTEL and self._is_free(name, path, target):
            return exposed(name)
        if name in self.waiting:
            return self._awaited(name, path, target)
        if name.startswith((PRIVATE, METRICS)):
            return private(name, path)
        return None

    def _is_free(self, name, path, target):
        """Return whether the environment has no OpenTelemetry of its own."""
        if name == OTEL:
            return self._next(name, path, target) is None
        return getattr(sys.modules.get(OTEL), "__name__", "").startswith(PRIVATE)

    def _awaited(self, name, path, target):
        spec = self._next(name, path, target)
        if spec is None:
            return private(name, path) if name == OURS else None
        if name != OURS and hasattr(spec.loader, "exec_module"):
            # Whoever only asks whether it is there does not import it: we keep waiting.
            spec.loader = Then(spec.loader, self)
        return spec

    def _next(self, name, path, target):
        """Return what the interpreter would find without us."""
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                return spec
        return None


def forget_sitecustomize():
    """Forget our `sitecustomize`, which `site` has imported by now; the user may have another."""
    module = sys.modules.get("sitecustomize")
    if module is not None and getattr(module, "_here", None) == __file__.rpartition("/")[0]:
        del sys.modules["sitecustomize"]


def private(name, path):
    """Return the spec of a module in the payload, as of one that is frozen into the interpreter.

    Debuggers, coverage and profilers leave frozen modules alone, `%autoreload` those without a
    file.
    """
    from importlib.machinery import ModuleSpec, PathFinder

    if name != PRIVATE and name.startswith(PRIVATE + "_"):
        return None
    if name in (OURS, METRICS):
        path = [LIB + "/af_otel"] if name == METRICS else None
    found = PathFinder.find_spec(name, path or [LIB])
    if found is None:
        return None
    is_package = found.submodule_search_locations is not None
    spec = ModuleSpec(name, Frozen(found.loader), origin="frozen", is_package=is_package)
    spec.submodule_search_locations = found.submodule_search_locations
    return spec


class Frozen:
    """A loader that gives a module's code the file name of a frozen module's."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        """Leave it to the import system."""

    def exec_module(self, module):
        """Run the module."""
        from _imp import _fix_co_filename

        name = module.__spec__.name
        code = self.loader.get_code(name)
        _fix_co_filename(code, "<frozen %s>" % name)
        exec(code, module.__dict__)  # noqa: S102 - as every loader does


def exposed(name):
    """Return a spec by which our private OpenTelemetry is imported under its public name."""
    from importlib import import_module
    from importlib.machinery import ModuleSpec

    try:
        module = import_module(PRIVATE + "." + name)
    except ModuleNotFoundError:
        return None
    return ModuleSpec(name, Known(module), is_package=hasattr(module, "__path__"))


class Known:
    """A loader of a module that is there already."""

    def __init__(self, module):
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec):  # noqa: ARG002
        """Return the module."""
        return self.module

    def exec_module(self, module):
        """Restore what the import system has replaced."""
        name = module.__spec__.name
        module.__spec__ = self.spec
        if name == OTEL:
            from importlib import import_module

            # `from opentelemetry import trace` is no import of it: the private one has it already.
            for each in USERS:
                import_module(each)
        elif name in USERS:
            join()


def join():
    """Export what users record with their OpenTelemetry, if this process is traced."""
    activate = sys.modules.get(PRIVATE + ".runtime.activate")
    if activate is not None:
        activate.join_users()


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
            if module.__name__ in USERS:
                join()
            else:
                trace(self.finder.role, module.__name__)


def trace(role, anchor):
    """Instrument a library that was just imported, or log why not."""
    try:
        from _af_otel.runtime._log import one_line_each

        with one_line_each():
            from _af_otel.runtime.activate import activate

            activate(role, anchor)
    except Exception as error:
        say(
            "this process runs untraced: %s: %s; set AF_OTEL_DISABLED=1 to silence this"
            % (type(error).__name__, error)
        )


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
