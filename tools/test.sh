#!/bin/sh
# All tests: the fast ones first, then those with real servers. Those on a cluster, which mostly
# wait, run beside both.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
oldest=.venv-oldest/bin/python
log=.make/tests-on-cluster.log
# Many processes on a busy machine: a test that fails is tried once more, and shown all the same;
# a fourth one in a part fails that.
pytest="-m pytest --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks"

$python $pytest tests/cluster >"$log" 2>&1 &
cluster=$!
trap 'kill -INT "$cluster" 2>/dev/null && wait "$cluster" || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo "af-otel: tests on a cluster run beside these; what they say comes last, and is in $log" >&2

$python $pytest tests/unit
# The oldest supported hosts, in one process; below also under the payload.
$oldest $pytest tests/unit/test_jupyterhub_*.py tests/unit/test_jupyter_server_*.py \
	tests/unit/test_ipykernel_*.py tests/unit/test_dask_*.py

failed=0
$python $pytest tests/integration || failed=$?
AF_OTEL_TEST_PYTHON=$oldest $python $pytest \
	tests/integration/test_jupyter.py tests/integration/test_dask.py || failed=$?
wait "$cluster" || failed=$?
cat "$log"
exit "$failed"
