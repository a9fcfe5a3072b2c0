#!/usr/bin/env bash
# Installs the packages that a machine with nothing but a Rust toolchain lacks, or says what to type.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v make >/dev/null || missing+=(make)
command -v curl >/dev/null || missing+=(curl ca-certificates)
python3 -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} = 0 ]; then
    echo "all are there"
elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    sh stack/src/install.sh "${missing[@]}"
elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n sh stack/src/install.sh "${missing[@]}"
else
    echo "missing: ${missing[*]}; on Debian and Ubuntu type: sudo apt-get update && sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
