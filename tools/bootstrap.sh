#!/bin/sh
# From a bare machine (git, make, Python >= 3.10) to a working .venv; instant if nothing is to do.
#   bootstrap.sh venv              uv, .venv and what requirements.lock says
#   bootstrap.sh oldest            .venv-oldest: the oldest supported hosts, for the tests
#   bootstrap.sh locks             what each environment installs, from what it asks for
#   bootstrap.sh tests             libraries that only the tests need
#   bootstrap.sh cluster           what a Kubernetes of one node runs its containers with
set -eu
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/af-otel/toolchains
python=${PYTHON:-python3}
uv_version=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' tools/toolchains.lock)
own_uv=$cache/uv-$uv_version/bin/uv

say() { echo "af-otel: $*" >&2; }

fail() { # WHAT WHERE HINT
	printf 'error: %s\n  where: %s\n  hint:  %s\n' "$1" "$2" "$3" >&2
	exit 1
}

# --- Debian packages: all that are missing in one go, installed by root or asked for by name ---

missing_for_venv() {
	if ! command -v "$python" >/dev/null; then
		echo python3 python3-venv
	elif ! uv_works && [ ! -x "$own_uv" ] && ! "$python" -m pip --version >/dev/null 2>&1 &&
		! "$python" -c 'import ensurepip' 2>/dev/null; then
		# Debian keeps both ways to install anything in packages of their own.
		echo python3-venv
	fi
	# Go trusts the system's certificates only.
	[ -n "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ] || [ -e /etc/ssl/certs/ca-certificates.crt ] ||
		[ -e /etc/pki/tls/certs/ca-bundle.crt ] || echo ca-certificates
}

has_library() { /sbin/ldconfig -p 2>/dev/null | grep -q -F "$1"; }

missing_for_tests() {
	has_library libgomp.so.1 || echo libgomp1 # LightGBM's
	# What drives the browser is a Node of its own, built against it.
	has_library libatomic.so.1 || echo libatomic1
}

missing_for_cluster() {
	for package in containerd runc iptables conntrack debootstrap; do
		command -v "$package" >/dev/null || [ -x "/usr/sbin/$package" ] || echo "$package"
	done
	[ -x /sbin/ip ] || [ -x /usr/bin/ip ] || echo iproute2
	# Images are made of Debian, and signed by it.
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
	[ -e /usr/lib/cni/bridge ] || [ -e /opt/cni/bin/bridge ] || echo containernetworking-plugins
}

need() { # PACKAGE...
	[ $# != 0 ] || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		fail "This machine lacks $(echo "$*" | sed 's/[^ ]*/`&`/g; s/ /, /g')" \
			"Debian's names of the packages; user \`$(id -un)\` may not install them" \
			"run \`sudo apt-get install $*\`, then this again"
	fi
	say "installing with apt: $*"
	# One of several sources may be out of order, and not needed.
	apt-get update -qq || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
		fail "apt could not install $*" 'its words are above' \
			'mend what they name (often the network or /etc/apt/sources.list), then run this again'
}

# --- uv: the machine's, else the pinned one from the package index ---

uv_works() { uv pip install --help 2>/dev/null | grep -q -e --build-constraints; }

find_uv() {
	if uv_works; then
		command -v uv
		return
	fi
	mkdir -p "$cache"
	(
		flock 8
		[ ! -x "$own_uv" ] || exit 0
		new=$(mktemp -d "$cache/.unfinished-uv-XXXXXX")
		trap 'rm -rf "$new"' EXIT
		say "installing uv $uv_version into $cache"
		install_uv "$new"
		mv "$new" "${own_uv%/bin/uv}"
	) 8>"$cache/.uv.lock" >&2
	echo "$own_uv"
}

install_uv() { # DIRECTORY
	directory=$1
	# The lines of uv alone: each but the last ends with a backslash.
	sed -n '/^uv==/,/[^\\]$/p' tools/toolchains.lock >"$directory/uv.lock"
	set -- install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
		-r "$directory/uv.lock"
	if "$python" -m pip --version >/dev/null 2>&1; then
		"$python" -m pip "$@" --target "$directory"
	else
		"$python" -m venv "$directory/venv"
		"$directory/venv/bin/python" -m pip "$@"
		mkdir "$directory/bin"
		cp "$directory/venv/bin/uv" "$directory/bin/uv"
		rm -rf "$directory/venv"
	fi
}

# --- virtual environments ---

# What a person has added stays. Not told: each of the 200 packages at the end.
install_locked() { # VENV LOCK PROJECT...
	venv=$PWD/$1
	locked=$PWD/$2
	shift 2
	for project in "$@"; do
		shift
		set -- "$@" --editable "$PWD/$project"
	done
	{
		code=0
		uv_install --compile-bytecode --require-hashes --only-binary :all: -r "$locked" &&
			uv_install --no-deps --build-constraints "$PWD/tools/build.lock" "$@" || code=$?
		echo "$code" >.make/code
	} 2>&1 | grep -v '^ [-+~] ' >&2 || true
	return "$(cat .make/code)"
}

# In another directory: here, uv would add the constraints of pyproject.toml.
uv_install() { "$uv" --directory / pip install --python "$venv/bin/python" "$@"; }

# --- .venv ---

# What decides its content, and where it is: a moved checkout needs a new one.
fingerprint() {
	{
		pwd
		cat pyproject.toml instrumentations/*/pyproject.toml requirements.lock tools/build.lock \
			tools/toolchains.lock tools/bootstrap.sh
	} | sha256sum
}

is_made() {
	# uv lies in the cache, which may have been removed; it fetches Go and Node, too.
	[ -x .make/uv ] && [ -x .venv/bin/python ] && [ -x .venv/bin/af-otel ] &&
		[ "$(cat .make/venv 2>/dev/null)" = "$(fingerprint)" ]
}

check_python() {
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail \
		"Python is $("$python" --version | cut -d' ' -f2); 3.10 is the oldest that works" \
		"\`$(command -v "$python")\`" 'install a newer one and run `make PYTHON=/path/to/it ...`'
}

make_venv() {
	mkdir -p .make
	exec 9>.make/lock # the kernel's: it ends with its holder, however that ends
	if ! flock -n 9; then
		say "waiting for another \`make\` in $(pwd)"
		flock 9
		! is_made || return 0
	fi
	check_python
	uv=$(find_uv)
	ln -sfn "$uv" .make/uv
	"$python" tools/locks.py --check requirements.lock tools/build.lock || exit 1
	# Its own path, not a version manager's shim, which may stand for another Python tomorrow.
	real=$("$python" -c 'import sys; print(sys.executable)')
	unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
	# Scripts name the directory, so a moved checkout needs a new environment.
	if [ "$(cat .make/interpreter 2>/dev/null)" != "$real $(pwd)" ] ||
		! .venv/bin/python -c '' 2>/dev/null; then
		"$uv" venv -q --clear --no-python-downloads --python "$real" .venv
		echo "$real $(pwd)" >.make/interpreter
	fi
	say 'installing Python packages into .venv'
	install_locked .venv requirements.lock . instrumentations/* ||
		fail 'The Python packages could not be installed' \
			"\`uv pip install\` in $(pwd); its words are above" \
			'run it again if it was the network; `make clean` starts from nothing'
	fingerprint >.make/venv
}

# --- .venv-oldest ---

# Python 3.10, if there is one; a version manager's shim may stand for none.
oldest_python() {
	for candidate in python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python "$python"; do
		! "$candidate" -c '' 2>/dev/null || { command -v "$candidate"; return; }
	done
}

make_oldest() {
	mkdir -p .make
	exec 9>.make/lock
	flock 9
	want=$(cat tests/oldest.lock tools/build.lock instrumentations/*/pyproject.toml | sha256sum)
	[ "$(cat .make/oldest 2>/dev/null)" != "$want" ] || [ ! -x .venv-oldest/bin/python ] || return 0
	"$python" tools/locks.py --check tests/oldest.lock || exit 1
	say 'installing the oldest supported hosts into .venv-oldest'
	uv=$(find_uv)
	"$uv" venv -q --clear --no-python-downloads --python "$(oldest_python)" .venv-oldest
	set --
	for name in semconv jupyterhub jupyter-server ipykernel dask http; do
		set -- "$@" "instrumentations/$name"
	done
	install_locked .venv-oldest tests/oldest.lock "$@" ||
		fail 'The oldest supported hosts could not be installed' '`tests/oldest.lock`' \
			'run it again if it was the network'
	echo "$want" >.make/oldest
}

make_locks() {
	mkdir -p .make
	check_python
	uv=$(find_uv)
	ln -sfn "$uv" .make/uv
	"$python" tools/locks.py "$@"
}

case ${1:-} in
oldest)
	make_oldest
	;;
locks)
	shift
	need $(missing_for_venv)
	make_locks "$@"
	;;
venv)
	is_made && exit
	need $(missing_for_venv)
	make_venv
	;;
tests)
	is_made && venv= || venv=$(missing_for_venv)
	need $venv $(missing_for_tests)
	;;
cluster)
	need $(missing_for_cluster)
	;;
*)
	sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
