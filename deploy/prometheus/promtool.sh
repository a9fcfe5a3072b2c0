# shellcheck shell=bash
# Sourced from the repository's root: puts promtool into PATH, unless one is there: Debian's, unpacked below target/ and not installed.
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
