#!/bin/sh
# From a bare machine (git, make, Python >= 3.10) to a working .venv; instant if nothing is to do.
#   bootstrap.sh venv              uv, .venv and what pyproject.toml asks for
#   bootstrap.sh oldest            .venv-oldest: the oldest supported hosts, for the tests
#   bootstrap.sh tests             libraries that only the tests need
#   bootstrap.sh cluster           what a Kubernetes of one node runs its containers with
set -eu
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/af-otel/toolchains
python=${PYTHON:-python3}
uv_pin=$(grep '^uv==' tools/toolchains.txt)
own_uv=$cache/uv-${uv_pin#uv==}/bin/uv

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

uv_works() { uv sync --help 2>/dev/null | grep -q -e --all-packages; }

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
		say "installing $uv_pin into $cache"
		install_uv "$new"
		mv "$new" "${own_uv%/bin/uv}"
	) 8>"$cache/.uv.lock" >&2
	echo "$own_uv"
}

install_uv() { # DIRECTORY
	if "$python" -m pip --version >/dev/null 2>&1; then
		"$python" -m pip install -q --disable-pip-version-check --target "$1" "$uv_pin"
	else
		"$python" -m venv "$1/venv"
		"$1/venv/bin/python" -m pip install -q --disable-pip-version-check "$uv_pin"
		mkdir "$1/bin"
		cp "$1/venv/bin/uv" "$1/bin/uv"
		rm -rf "$1/venv"
	fi
}

# --- .venv ---

# What decides its content, and where it is: a moved checkout needs a new one.
fingerprint() {
	{
		pwd
		cat pyproject.toml instrumentations/*/pyproject.toml tools/toolchains.txt tools/bootstrap.sh
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
	say 'installing Python packages into .venv'
	unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
	# Inexact: what a person has added to .venv stays. Not told: each of the 200 packages at the end.
	# Its own path, not a version manager's shim: for that uv would make a new .venv each time.
	real=$("$python" -c 'import sys; print(sys.executable)')
	{
		code=0
		"$uv" sync --all-packages --compile-bytecode --inexact --no-python-downloads \
			--python "$real" 2>&1 || code=$?
		echo "$code" >.make/code
	} | grep -v '^ [-+~] ' >&2 || true
	[ "$(cat .make/code)" = 0 ] || fail 'The Python packages could not be installed' \
		"\`uv sync\` in $(pwd); its words are above" \
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
	want=$(cat tests/oldest.txt instrumentations/*/pyproject.toml | sha256sum)
	[ "$(cat .make/oldest 2>/dev/null)" != "$want" ] || [ ! -x .venv-oldest/bin/python ] || return 0
	say 'installing the oldest supported hosts into .venv-oldest'
	uv=$(find_uv)
	rm -rf .venv-oldest
	"$uv" venv -q --no-python-downloads --python "$(oldest_python)" .venv-oldest
	# Without pyproject.toml, whose pins are the newest.
	"$uv" pip install -q --no-config --compile-bytecode --python .venv-oldest/bin/python \
		-r tests/oldest.txt ||
		fail 'The oldest supported hosts could not be installed' '`tests/oldest.txt`' \
			'run it again if it was the network'
	echo "$want" >.make/oldest
}

case ${1:-} in
oldest)
	make_oldest
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
	sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
