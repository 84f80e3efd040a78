"""The init step of an injected pod: unpack a payload and compile it, whole or not at all.

    python3 -I -S unpack.py PAYLOAD.zip DIRECTORY

The image's own Python runs it, whatever that is: keep its syntax plain.
"""

import os
import sys

# What the containers import first moves last: with it there, the rest is.
LAST = "af_otel_boot.py"
# What the shell has written there before.
KEPT = (".tried", "image")
TOO_OLD = 3


def main(payload, target):
    """Unpack, or leave nothing; return the exit code."""
    if sys.version_info < (3, 10):
        say("Python %d.%d is not traced, 3.10 and newer are" % sys.version_info[:2])
        return TOO_OLD
    import shutil

    scratch = os.path.join(target, ".unpacking")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        names = unpack(payload, scratch)
        for name in names:
            os.replace(os.path.join(scratch, name), os.path.join(target, name))
        shutil.rmtree(scratch)
        compiled = compile_all(target)
    except Exception as error:
        for name in os.listdir(target):
            if name not in KEPT:
                remove(os.path.join(target, name))
        say("not unpacked: %s: %s" % (type(error).__name__, error))
        return 1
    say("unpacked, %d modules compiled for %s" % (compiled, sys.implementation.cache_tag))
    return 0


def unpack(payload, scratch):
    """Extract the payload and return what is at its head, in the order in which it moves."""
    from zipfile import ZipFile

    with ZipFile(payload) as package:
        package.extractall(scratch)
    return sorted(os.listdir(scratch), key=lambda name: (name == LAST, name))


def compile_all(target):
    """Write byte code that is believed without a look at its source, which nobody changes."""
    import py_compile

    believed = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compiled = 0
    for folder, _, names in os.walk(target):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                try:
                    py_compile.compile(path, doraise=True, invalidation_mode=believed)
                except py_compile.PyCompileError:
                    continue  # it is imported as source then
                compiled += 1
    return compiled


def remove(path):
    """Remove a file or a directory, as far as that is possible."""
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        os.remove(path)


def say(line):
    """Write a line to the log and, where there is one, to the pod's status."""
    sys.stdout.write("af-otel: %s\n" % line)
    sys.stdout.flush()
    try:
        with open("/dev/termination-log", "w") as status:
            status.write(line)
    except Exception:
        pass


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
