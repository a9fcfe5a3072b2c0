# shellcheck shell=bash
# If promtool is not in PATH, adds Debian's, unpacked below target/ without installing it. Source it
# in the repository's root.
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
