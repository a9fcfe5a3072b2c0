#!/usr/bin/env bash
# Checks the rules and runs their tests with promtool, the one in PATH or Debian's, unpacked below target/ and not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v promtool >/dev/null; then
    unpacked=target/promtool
    if [ ! -x "$unpacked/usr/bin/promtool" ]; then
        rm -rf "$unpacked" && mkdir -p "$unpacked"
        download() { (cd "$unpacked" && apt-get download -qq prometheus); }
        download || { apt-get update -qq && download; }
        dpkg-deb -x "$unpacked"/prometheus_*.deb "$unpacked"
    fi
    PATH="$PWD/$unpacked/usr/bin:$PATH"
fi
promtool check rules deploy/prometheus/alerts.yml
tests=(deploy/prometheus/tests/*.yml)
# Each begins with the same healthy pipeline: YAML can't share it between files.
healthy() { sed -n '/^tests:$/,/^$/p' "$1"; }
for other in "${tests[@]:1}"; do
    diff --unified --label "${tests[0]}" --label "$other" <(healthy "${tests[0]}") <(healthy "$other")
done
promtool test rules "${tests[@]}"
