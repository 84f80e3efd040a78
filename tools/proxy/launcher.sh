#!/bin/sh
# Runs the proxy beside it, on the Node that it was installed with, or on another if that has gone.
here=$(dirname "$(readlink -f "$0")")
node="@NODE@"
[ -x "$node" ] || node=$(command -v node) || {
	echo "configurable-http-proxy: @NODE@, which it was installed with, is gone: install Node" >&2
	exit 127
}
exec "$node" "$here/node_modules/configurable-http-proxy/bin/configurable-http-proxy" "$@"
