#!/bin/sh
# All tests: the fast ones first, then those with real servers. Those on a cluster, which mostly
# wait, run beside both.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
oldest=.venv-oldest/bin/python
log=.make/tests-on-cluster.log
pytest="-m pytest -o cache_dir=.make/tested"
on_cluster="-m pytest -o cache_dir=.make/tested-on-cluster tests/cluster"

# Many processes on a busy machine: what failed is tried once more, where nothing is left of the
# first time, and is shown all the same. The first that fails again ends that.
again() {
	code=$1
	shift
	[ "$code" -eq 1 ] || return "$code"
	echo "af-otel: what failed is tried once more, with servers of its own" >&2
	"$@" --last-failed --last-failed-no-failures none --maxfail 1
}

run() {
	code=0
	"$@" --cache-clear || code=$?
	again "$code" "$@"
}

$python $on_cluster --cache-clear >"$log" 2>&1 &
cluster=$!
trap 'kill -INT "$cluster" 2>/dev/null && wait "$cluster" || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo "af-otel: tests on a cluster run beside these; what they say comes last, and is in $log" >&2

run $python $pytest tests/unit tests/invisible
# The oldest supported hosts, in one process; below also under the payload.
run $oldest $pytest tests/unit/test_jupyterhub_*.py tests/unit/test_jupyter_server_*.py \
	tests/unit/test_ipykernel_*.py tests/unit/test_dask_*.py tests/unit/test_http_*.py

failed=0
run $python $pytest tests/integration || failed=$?
run env AF_OTEL_TEST_PYTHON=$oldest $python $pytest \
	tests/integration/test_jupyter.py tests/integration/test_dask.py || failed=$?
# By itself: its files have names of those above.
run env AF_OTEL_TEST_PYTHON=$oldest $python $pytest tests/invisible/test_tools.py \
	tests/invisible/test_dask.py tests/invisible/test_kernels.py || failed=$?
code=0
wait "$cluster" || code=$?
cat "$log"
again "$code" $python $on_cluster || failed=$?
exit "$failed"
