#!/usr/bin/env bash
# Fetches PgBouncer from Debian 13, which supports prepared statements in transaction mode, with its
# libraries, and prints the path of a program that runs it. Nothing is installed: Debian 12's
# PgBouncer stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$PWD/target/pgbouncer-trixie
program=$dir/pgbouncer
if [ ! -x "$program" ]; then
    rm -rf "$dir"
    mkdir -p "$dir"/{lists/partial,archives/partial,root}
    # The mirror from which this machine gets its packages.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed 's,/*$,,' | sort -u | grep -E '/debian$' | head -n 1)
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$dir/sources.list"
    touch "$dir/status"
    apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$dir/lists" \
            -o Dir::State::status="$dir/status" -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root "$@"
    }
    apt update >&2
    (
        cd "$dir/archives"
        apt download pgbouncer libc6 libevent-2.1-7t64 libcares2 libssl3t64 libpam0g libsystemd0 libcap2 libaudit1 libcap-ng0 libzstd1 \
            zlib1g liblzma5 liblz4-1 libgcrypt20 libgpg-error0 libcrypt1 libldap2 libsasl2-2 >&2
        for package in *.deb; do dpkg -x "$package" "$dir/root"; done
    )
    libraries=$dir/root/usr/lib/$(uname -m)-linux-gnu
    printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$libraries"/ld-linux-*.so.* "$libraries" "$dir/root/usr/sbin/pgbouncer" >"$program"
    chmod +x "$program"
fi
"$program" --version | head -n 1 >&2
echo "$program"
