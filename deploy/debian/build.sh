#!/usr/bin/env bash
# Makes the Debian package of a relay that is built. Usage: build.sh PROGRAM DIR
# [CARGO_DEB_OPTION…]: the built relay, and where the package goes, whose path is printed. cargo-deb
# is installed below target/ when it is missing, which takes a minute.
set -euo pipefail
program=$(realpath "$1")
mkdir -p "$2"
to=$(realpath "$2")
shift 2
cd "$(dirname "$0")/../.."
target=$(realpath "${CARGO_TARGET_DIR:-target}")

version=3.8.0
if ! command -v cargo-deb >/dev/null; then
    tool=$target/cargo-deb
    # Without its default features it needs no liblzma: xz compresses the package, so that a debug
    # build is as fast, and there in half the time.
    [ "$("$tool/bin/cargo-deb" --version 2>/dev/null)" = "$version" ] ||
        CARGO_TARGET_DIR=$tool/build cargo install --quiet --locked --debug --no-default-features --root "$tool" "cargo-deb@$version"
    rm -rf "$tool/build"
    PATH="$PATH:$tool/bin"
fi

# cargo-deb takes this for a target folder, in which everything has been built.
staged=$target/debian-package
files=$staged/release
rm -rf "$staged"
mkdir -p "$files/man" "$files/completions"
install -m 755 "$program" "$files/outbox-relay"
relay() { env -i "$files/outbox-relay" "$@"; }

relay man >"$files/man/outbox-relay.1"
mapfile -t commands < <(sed -n 's/^outbox\\-relay\\-\([a-z\\-]*\)(1)$/\1/p' "$files/man/outbox-relay.1" | tr -d '\\')
[ ${#commands[@]} -gt 10 ]
for command in "${commands[@]}"; do relay man "$command" >"$files/man/outbox-relay-$command.1"; done
gzip --no-name --best "$files"/man/*.1
relay completions bash >"$files/completions/outbox-relay"
relay completions zsh >"$files/completions/_outbox-relay"
relay completions fish >"$files/completions/outbox-relay.fish"

built=$(relay --version)
{
    printf '%s (%s-1) unstable; urgency=medium\n\n' "${built% *}" "$(tr - '~' <<<"${built#* }")"
    printf '  * See changelog.gz for what is new in this version.\n\n'
    printf ' -- %s  %s\n' "$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' outbox-relay/Cargo.toml)" "$(date --utc --rfc-email --date "@${SOURCE_DATE_EPOCH:-$(date +%s)}")"
} | gzip --no-name --best >"$files/changelog.Debian.gz"

CARGO_TARGET_DIR=$staged cargo deb --quiet --no-build --no-strip --locked --package outbox-relay --output "$to/" "$@"
