"""Runs in a probe pod, by the image's own Python: what is here, and what can be reached from here.

Prints one JSON object, small enough for a termination message (4096 bytes). Python 3.6 must run it.
"""
# ruff: noqa: ANN001, ANN202, ANN204, FURB167, PERF203, PTH110, PTH120, PTH123, PTH208, SIM905
# mypy: ignore-errors

import json
import os
import re
import socket
import sys
import threading
import time

LIBRARIES = "jupyterhub jupyter-server ipykernel distributed dask-gateway".split()
ENTRIES = (
    "jupyterhub-singleuser jupyter-lab dask-scheduler dask-worker dask-gateway-scheduler".split()
)
COMMANDS = 1200  # characters that commands may take of the message


def versions():
    """Name and version of what matters here, as its metadata's directory is called."""
    found = {}
    for entry in sys.path:
        try:
            names = os.listdir(entry or ".")
        except OSError:
            continue
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            package, _, version = name.rpartition(".")[0].partition("-")
            package = package.lower().replace("_", "-").replace(".", "-")
            wanted = package in LIBRARIES or package.startswith(("opentelemetry-", "af-otel"))
            if (wanted or package in ("urllib3", "typing-extensions")) and version:
                found.setdefault(package, version.split("-")[0])
    # The instrumentations of many libraries say nothing that the API's version does not.
    few = [name for name in sorted(found) if "instrumentation" not in name]
    return {name: found[name] for name in few[:40]}


def customizations():
    """The image's own sitecustomize and usercustomize: where they are, what they import."""
    from importlib.machinery import PathFinder

    found = {}
    ours = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if "af-otel" in p]
    path = [entry for entry in sys.path if entry not in ours]
    for name in ("sitecustomize", "usercustomize"):
        spec = PathFinder.find_spec(name, path)
        if spec is None or not spec.origin:
            continue
        imports = []
        try:
            with open(spec.origin) as source:
                text = source.read(20000)
            imports = sorted(set(re.findall(r"^\s*(?:from|import)\s+([A-Za-z_]\w*)", text, re.M)))
        except (OSError, ValueError):
            pass
        found[name] = {"path": spec.origin, "imports": imports[:12]}
    return found


def scripts():
    """Yield the scripts of the image's server and workers, with the command of their first line."""
    import shutil

    for entry in ENTRIES:
        script = shutil.which(entry)
        if script:
            with open(script, "rb") as text:
                first = text.readline(500).decode("utf-8", "replace")
            yield script, first[2:].split() if first.startswith("#!") else []


def interpreter():
    """The Python behind the image's server or worker, if that is another one than this."""
    import shutil

    for _, command in scripts():
        python = command[0] if command else ""
        if python.endswith("/env"):
            names = [word for word in command[1:] if not word.startswith("-")]
            python = shutil.which(names[0]) or "" if names else ""
        # Not resolved: a virtual environment's Python is a link to the one it was made of.
        same = os.path.dirname(python) == os.path.dirname(sys.executable)
        return None if same or not os.path.exists(python) else python
    return None


def kernels():
    """Yield the files of the kernel specs that Jupyter finds here, with their `argv`."""
    from pathlib import Path

    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return
    ipython = os.environ.get("IPYTHONDIR") or Path.home() / ".ipython"
    seen = set()
    for directory in [*map(Path, jupyter_path("kernels")), Path(ipython, "kernels")]:
        for spec in sorted(directory.glob("*/kernel.json")):
            name = spec.parent.name.lower()
            if name in seen:  # Jupyter takes the first of a name
                continue
            seen.add(name)
            try:
                argv = json.loads(spec.read_text(encoding="utf-8"))["argv"]
                yield str(spec), [str(word) for word in argv]
            except (OSError, ValueError, KeyError, TypeError):
                pass


def commands():
    """Commands that may start a Python without its environment or site, by the file they are in."""
    found, more, size = {}, 0, 0
    for source in (kernels, scripts):
        for path, command in source():
            if re.search(r"\s-[A-Za-z]*[ISE]", " ".join(command)):
                size += len(json.dumps([path, command]))
                if size <= COMMANDS:
                    found[path] = command
                else:
                    more += 1
    return {"found": found, "more": more}


class Name(threading.Thread):
    """A name being looked up: a resolver waits longer for an answer than we have time."""

    def __init__(self, host, port):
        super().__init__(daemon=True)
        self.host, self.port = host, port
        self.address, self.error = None, "no answer"

    def run(self):
        """Until it is known."""
        while self.address is None:
            try:
                found = socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM)
                self.address = found[0][4][:2]
            except (OSError, ValueError) as problem:
                self.error = str(problem)
                time.sleep(0.3)


def reach(target, address, patience):
    """Connect until it works or patience ends, then offer an empty request."""
    host, _, port = target.rpartition(":")
    name = Name(host, int(port))
    name.start()
    name.join(2)
    began = time.time()
    error, attempts = "", 0
    while True:
        known = name.address or (address and (address, int(port)))
        if known:
            attempts += 1
            try:
                connection = socket.create_connection(known, timeout=2)
                try:
                    seconds = time.time() - began
                    said = offer(connection, target)
                finally:
                    connection.close()
                name.join(max(0.1, patience - seconds))
                done = {"ok": True, "seconds": round(seconds, 2), "said": said}
                break
            except OSError as problem:
                error = f"{type(problem).__name__}: {problem}"
        if time.time() - began > patience:
            done = {"ok": False, "error": error}
            break
        time.sleep(0.3)
    done["attempts"] = attempts
    if name.address is None:
        done["dns"] = name.error
    return done


def offer(connection, target):
    """What it answers to an empty request."""
    request = (
        f"POST /v1/traces HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    connection.settimeout(4)
    connection.sendall(request.encode())
    return connection.recv(200).decode("latin-1").split("\r\n")[0]


def hub_metrics(url):
    """The status that the hub's own metrics answer with."""
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, build_opener

    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            return answer.getcode()
    except HTTPError as refusal:
        return refusal.code
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"


def look():
    """All of it; a part that fails says so and leaves the others."""
    result = {"python": list(sys.version_info[:3]), "executable": sys.executable}
    result["pythonpath"] = os.environ.get("PYTHONPATH", "")
    parts = (("versions", versions), ("custom", customizations), ("commands", commands))
    for name, function in parts:
        try:
            result[name] = function()
        except Exception as problem:
            result[name] = {}
            result.setdefault("errors", []).append(f"{name}: {problem}")
    return result


def main():
    """Look here; at the server's own Python, if it is another one; and at the Collector."""
    if os.environ.get("AF_OTEL_PROBE_INNER"):
        print(json.dumps(look()))
        return
    result = look()
    try:
        other = interpreter()
        if other:
            import subprocess

            del result["commands"]  # they are the other Python's to say
            inner = dict(os.environ, AF_OTEL_PROBE_INNER="1")
            script = os.environ["AF_OTEL_PROBE"]
            said = subprocess.check_output([other, "-c", script], env=inner, timeout=20)
            result["server"] = json.loads(said.decode().strip().splitlines()[-1])
    except Exception as problem:
        result.setdefault("errors", []).append(f"server: {problem}")
    metrics = os.environ.get("AF_OTEL_PROBE_METRICS")
    if metrics:
        result["metrics"] = hub_metrics(metrics)
    target = os.environ.get("AF_OTEL_PROBE_TARGET")
    if target:
        patience = float(os.environ.get("AF_OTEL_PROBE_PATIENCE", "12"))
        result["reach"] = reach(target, os.environ.get("AF_OTEL_PROBE_ADDRESS"), patience)
    result["clock"] = time.time()
    text = json.dumps(result, separators=(",", ":"))
    print(text)
    if os.environ.get("AF_OTEL_PROBE_LOG"):
        with open(os.environ["AF_OTEL_PROBE_LOG"], "w") as out:
            out.write(text)


main()
