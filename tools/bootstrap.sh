#!/bin/sh
# From a bare machine (git, make, Python >= 3.10) to a working .venv; instant when there is nothing to do.
#   bootstrap.sh venv              uv, .venv and what pyproject.toml asks for
#   bootstrap.sh browser [ARGS]    Chromium for the browser tests, unless pytest's ARGS leave them out
set -eu
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/af-otel/toolchains
python=${PYTHON:-python3}

say() { echo "af-otel: $*" >&2; }

fail() { # WHAT WHERE HINT
	printf 'error: %s\n  where: %s\n  hint:  %s\n' "$1" "$2" "$3" >&2
	exit 1
}

# Install Debian packages when root; else ask for them, all in one message.
apt() { # REASON PACKAGE...
	reason=$1
	shift
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		fail "$reason" "this machine, as user \`$(id -un)\`" \
			"run \`sudo apt-get install $*\` (or your system's packages of the same content), then this again"
	fi
	say "installing with apt: $*"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# One at a time in this checkout; the lock ends with its holder.
lock() {
	mkdir -p .make
	exec 9>.make/lock
	if ! flock -n 9; then
		say "waiting for another \`make\` in $(pwd)"
		flock 9
	fi
}

# What decides the content of .venv, and where it is: a moved checkout needs a new one.
fingerprint() {
	{
		pwd
		cat pyproject.toml instrumentations/*/pyproject.toml tools/toolchains.txt tools/bootstrap.sh
	} | sha256sum
}

check_python() {
	command -v "$python" >/dev/null ||
		apt "There is no Python: \`$python\` is not on PATH" python3 python3-venv
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
		fail "Python is $("$python" --version | cut -d' ' -f2); 3.10 is the oldest that works" \
			"\`$(command -v "$python")\`" "install a newer one and run \`make PYTHON=/path/to/python3 ...\`"
}

# Go trusts the system's certificates only.
check_certificates() {
	[ -n "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ] || [ -e /etc/ssl/certs/ca-certificates.crt ] ||
		[ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
		apt 'There are no TLS certificates to trust' ca-certificates
}

# Print the path of a uv: the machine's, or the pinned one from the package index.
find_uv() {
	if uv sync --help 2>/dev/null | grep -q -e --all-packages; then
		command -v uv
		return
	fi
	pin=$(grep '^uv==' tools/toolchains.txt)
	home=$cache/uv-${pin#uv==}
	if [ ! -x "$home/bin/uv" ]; then
		mkdir -p "$cache"
		(
			flock 8
			[ ! -x "$home/bin/uv" ] || exit 0
			new=$(mktemp -d "$cache/.unfinished-uv-XXXXXX")
			trap 'rm -rf "$new"' EXIT
			say "installing $pin into $home"
			install_uv "$new" "$pin"
			rm -rf "$home"
			mv "$new" "$home"
		) 8>"$cache/.uv.lock" >&2
	fi
	echo "$home/bin/uv"
}

install_uv() { # DIRECTORY PIN
	if ! "$python" -m pip --version >/dev/null 2>&1; then
		# Debian keeps pip and ensurepip, without which a venv has none, in packages of their own.
		"$python" -c 'import ensurepip, venv' 2>/dev/null ||
			apt 'Python has neither `pip` nor `ensurepip`, so nothing can be installed' python3-venv
		"$python" -m venv "$1/venv"
		"$1/venv/bin/python" -m pip install -q --disable-pip-version-check "$2"
		mkdir "$1/bin"
		cp "$1/venv/bin/uv" "$1/bin/uv"
		rm -rf "$1/venv"
	else
		"$python" -m pip install -q --disable-pip-version-check --target "$1" "$2"
	fi
}

is_made() { # FINGERPRINT
	[ "$(cat .make/venv 2>/dev/null)" = "$1" ] && [ -x .venv/bin/python ] && [ -x .venv/bin/af-otel ]
}

make_venv() {
	wanted=$(fingerprint)
	! is_made "$wanted" || return 0
	lock
	! is_made "$wanted" || return 0
	check_python
	check_certificates
	uv=$(find_uv)
	ln -sfn "$uv" .make/uv
	say 'installing Python packages into .venv'
	unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
	# Inexact: what a person has added to .venv stays.
	"$uv" sync --quiet --all-packages --inexact --no-python-downloads \
		--python "$(command -v "$python")" ||
		fail 'The Python packages could not be installed' "\`uv sync\` in $(pwd); its words are above" \
			'run it again if it was the network; `make clean` starts from nothing'
	echo "$wanted" >.make/venv
}

check_browser() {
	case " $* " in *"not browser"*) return ;; esac
	for name in chromium chromium-browser google-chrome; do
		command -v "$name" >/dev/null && return
	done
	apt 'The browser tests need Chromium (to do without: make test ARGS="-m '"'not browser'"'")' chromium
}

case ${1:-} in
venv) make_venv ;;
browser)
	shift
	check_browser "$@"
	;;
*)
	sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
