"""Start af-otel where it is wanted, then run the environment's own sitecustomize as if it came
first.

Every Python that inherits PYTHONPATH reads this file, Python 2 included: keep its syntax plain.
"""

import sys


def _start():
    """Look at what this process is; whatever goes wrong here is one line on stderr."""
    if sys.version_info < (3, 10):
        return
    try:
        import af_otel_boot

        af_otel_boot.start()
    except Exception as error:
        sys.stderr.write("af-otel: not started: %s: %s\n" % (type(error).__name__, error))


def _run_the_next():
    """Import the sitecustomize that we stand in front of.

    Without our directory on the path this is what `site` would have done, and an exception goes
    where it would have gone. Child processes find us by PYTHONPATH again.
    """
    here = __file__.replace("\\", "/").rpartition("/")[0]
    ours = sys.modules.pop("sitecustomize")
    sys.path[:] = [entry for entry in sys.path if entry.replace("\\", "/").rstrip("/") != here]
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = ours


_start()
_run_the_next()
