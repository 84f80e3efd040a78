#!/bin/sh
# Runs parse.js with the Node that installed it, or with the one on PATH if that is gone.
here=$(dirname "$(readlink -f "$0")")
node="@NODE@"
[ -x "$node" ] || node=$(command -v node) || {
	echo "af-otel-traceql: Node not found, neither at @NODE@ nor on PATH" >&2
	exit 127
}
exec "$node" "$here/parse.js" "$@"
