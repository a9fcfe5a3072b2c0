#!/usr/bin/env bash
# Installs the packages that a machine with only a Rust toolchain lacks, or prints the command that
# does.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v make >/dev/null || missing+=(make)
command -v curl >/dev/null || missing+=(curl ca-certificates)
if command -v dpkg >/dev/null; then command -v dpkg-shlibdeps >/dev/null || missing+=(dpkg-dev); fi
python3 -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} = 0 ]; then
    echo "nothing is missing"
elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    sh stack/src/install.sh "${missing[@]}"
elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n sh stack/src/install.sh "${missing[@]}"
else
    echo "missing: ${missing[*]}; on Debian and Ubuntu type: sudo apt-get update && sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
