#!/usr/bin/env bash
# Makes the Debian package of the built relay and runs what is in it against real servers: the
# command of the unit, with the settings, the files and the credentials that the unit names. Usage:
# check.sh. Without systemd, and without installing anything; only root in CI installs the package
# and purges it.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
work=$(realpath "$target")/debian-check
export STACK_DIR=target/debian-stack

fail() { printf 'deploy/debian/check.sh: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null; }

# The package of what CI has built; a developer's program without its line tables is packed in
# seconds.
cargo build --quiet --locked -p outbox-relay
rm -rf "$work"
mkdir -p "$work"
strip --strip-debug -o "$work/outbox-relay" "$target/debug/outbox-relay"
deploy/debian/build.sh "$work/outbox-relay" "$work" --fast
package=$(echo "$work"/*.deb)

if [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && ! dpkg --status outbox-relay >/dev/null 2>&1; then
    root='' how=installed
else
    root=$work/root how=unpacked
fi
relay=
clean_up() {
    [ -z "$relay" ] || kill "$relay" 2>/dev/null || true
    cargo xtask down --wipe || true
    if [ "$how" = installed ]; then
        dpkg --purge outbox-relay || true
        rm -rf /etc/outbox-relay
    fi
}
trap clean_up EXIT
if [ "$how" = installed ]; then dpkg --install "$package"; else dpkg-deb --extract "$package" "$root"; fi

# What is in it.
dpkg-deb --fsys-tarfile "$package" | tar --list >"$work/files"
unit=$root/usr/lib/systemd/system/outbox-relay.service
for file in usr/bin/outbox-relay etc/default/outbox-relay usr/share/doc/outbox-relay/{copyright,changelog.gz,changelog.Debian.gz} \
    usr/share/man/man1/outbox-relay{,-run,-check,-status}.1.gz usr/share/bash-completion/completions/outbox-relay \
    usr/share/zsh/vendor-completions/_outbox-relay usr/share/fish/vendor_completions.d/outbox-relay.fish; do
    grep --quiet --line-regexp "./$file" "$work/files" || fail "$file is missing"
done
[ "$(dpkg-deb --field "$package" Depends)" ] || fail "it depends on no library"
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/outbox-relay.service" ] || fail "the service is enabled"

# The pages can be read.
for page in "$root"/usr/share/man/man1/outbox-relay*.1.gz; do
    complaints=
    # A machine may drop all pages when packages are installed.
    [ -e "$page" ] || break
    if has man; then
        complaints=$(LC_ALL=C.UTF-8 man --warnings=mac --local-file "$page" 2>&1 >/dev/null)
    elif has mandoc; then
        complaints=$(mandoc -T lint -W error "$page")
    fi
    [ -z "$complaints" ] || fail "$page: $complaints"
done

# bash completes commands and flags.
completed() {
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _outbox__relay "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}"' - "$root/usr/share/bash-completion/completions/outbox-relay" "$@"
}
[ "$(completed outbox-relay sta)" = status ] || fail "bash does not complete commands"
[ "$(completed outbox-relay events --p)" = '--pending --parked --published' ] || fail "bash does not complete flags"

# The unit is one that systemd takes.
if has systemd-analyze; then
    sed "s|^ExecStart=/|ExecStart=$root/|" "$unit" >"$work/outbox-relay.service"
    systemd-analyze verify --man=no "$work/outbox-relay.service" || fail "systemd does not take the unit"
fi

# As systemd starts it: from here on everything is read from the unit.
values() { sed -n "s/^$1=//p" "$unit"; }
credentials=$work/credentials
start() {
    local environment=() command assignment file name path
    rm -rf "$credentials"
    mkdir "$credentials"
    while IFS=: read -r name path; do install -m 400 "$root$path" "$credentials/$name"; done < <(values LoadCredential)
    while read -r assignment; do environment+=("${assignment//%d/$credentials}"); done < <(values Environment)
    while read -r file; do
        while read -r assignment; do environment+=("$assignment"); done < <(grep '^[A-Z]' "$root${file#-}")
    done < <(values EnvironmentFile)
    read -r -a command < <(values ExecStart)
    exec env --ignore-environment "${environment[@]}" "$root${command[0]}" "${command[@]:1}"
}

# Without the two URLs it does not start; wrong settings end it with a status after which it is not
# started again.
for path in $(values LoadCredential | cut -d: -f2); do
    grep --quiet --line-regexp "AssertPathExists=$path" "$unit" || fail "the unit starts without $path"
    install -D -m 600 /dev/stdin "$root$path" <<<'no-url'
done
status=0
(start) 2>"$work/refused.log" || status=$?
[[ " $(values RestartPreventExitStatus) " == *" $status "* ]] || fail "systemd would start it again after status $status"

# With them it publishes in place of the stack's own relay.
cargo xtask down --wipe
cargo xtask up --detach --port-base 31100
# shellcheck source=/dev/null
. "$STACK_DIR/env"
kill "$(cat "$STACK_DIR/pids/outbox-relay")"
install -m 600 /dev/stdin "$root/etc/outbox-relay/database-url" <<<"$RELAY_DATABASE_URL"
install -m 600 /dev/stdin "$root/etc/outbox-relay/rabbitmq-url" <<<"$RABBITMQ_URL"
ops=127.0.0.1:31109
sed -i "s/^#OPS_ADDR=.*/OPS_ADDR=$ops/" "$root/etc/default/outbox-relay"
(start) 2>"$work/relay.log" &
relay=$!
for _ in $(seq 300); do
    ready=$(curl --silent --fail "http://$ops/readyz") && break
    kill -0 "$relay" || { cat "$work/relay.log" >&2; fail "the relay has ended"; }
    sleep 0.1
done
[ "$ready" ] || { cat "$work/relay.log" >&2; fail "the relay does not get ready"; }
customer=11111111-1111-1111-1111-111111111111
curl -sS --fail-with-body --output "$work/order.json" "$ORDER_SERVICE_URL/api/orders" -H 'content-type: application/json' -d '{"order":{
    "customer_public_id":"'$customer'","product_name":"Laptop","quantity":1,"price":"1200.00","delivery_address":"Cali"}}'
for _ in $(seq 100); do
    counted=$(curl -sS "$CUSTOMER_SERVICE_URL/api/customers/$customer")
    case $counted in *'"orders_count":1}') break ;; esac
    sleep 0.1
done
[[ $counted == *'"orders_count":1}' ]] || { cat "$work/relay.log" >&2; fail "the order's event did not arrive"; }
kill "$relay"
status=0
wait "$relay" || status=$?
relay=
[ "$status" = 0 ] || { cat "$work/relay.log" >&2; fail "stopped by SIGTERM, it ends with status $status"; }
if [ "$how" = installed ]; then
    dpkg --purge outbox-relay
    [ ! -e /usr/bin/outbox-relay ] && [ ! -e /etc/default/outbox-relay ] || fail "it leaves files behind"
fi
echo "$(basename "$package"), $how, is complete: its relay starts as the unit says, publishes and stops"
