#!/bin/sh
# Runs the Chromium beside it, with the libraries and the font that came with it.
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/lib"
export FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/headless" "$@"
