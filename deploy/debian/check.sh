#!/usr/bin/env bash
# Makes the Debian package of the built relay and runs what is in it against real servers: the
# commands of the units, with the settings, the files and the credentials that they name. Usage:
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
running=
clean_up() {
    [ -z "$running" ] || kill "$running" 2>/dev/null || true
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
for file in usr/bin/outbox-relay etc/default/outbox-{relay,console} usr/lib/systemd/system/outbox-{relay,console}.service \
    usr/share/doc/outbox-relay/{copyright,changelog.gz,changelog.Debian.gz} \
    usr/share/man/man1/outbox-relay{,-run,-check,-status,-console}.1.gz usr/share/bash-completion/completions/outbox-relay \
    usr/share/zsh/vendor-completions/_outbox-relay usr/share/fish/vendor_completions.d/outbox-relay.fish; do
    grep --quiet --line-regexp "./$file" "$work/files" || fail "$file is missing"
done
[ "$(dpkg-deb --field "$package" Depends)" ] || fail "it depends on no library"
for service in outbox-relay outbox-console; do
    [ ! -e "$root/etc/systemd/system/multi-user.target.wants/$service.service" ] || fail "the service $service is enabled"
done

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

# The units are ones that systemd takes.
if has systemd-analyze; then
    for service in outbox-relay outbox-console; do
        sed "s|^ExecStart=/|ExecStart=$root/|" "$root/usr/lib/systemd/system/$service.service" >"$work/$service.service"
        systemd-analyze verify --man=no "$work/$service.service" || fail "systemd does not take the unit $service"
    done
fi

# As systemd starts a service: everything is read from its unit.
values() { sed -n "s/^$2=//p" "$root/usr/lib/systemd/system/$1.service"; }
start() {
    local environment=() command assignment file name path credentials=$work/credentials-$1
    rm -rf "$credentials"
    mkdir "$credentials"
    while IFS=: read -r name path; do install -m 400 "$root$path" "$credentials/$name"; done < <(values "$1" LoadCredential)
    while read -r assignment; do environment+=("${assignment//%d/$credentials}"); done < <(values "$1" Environment)
    while read -r file; do
        while read -r assignment; do environment+=("$assignment"); done < <(grep '^[A-Z]' "$root${file#-}")
    done < <(values "$1" EnvironmentFile)
    read -r -a command < <(values "$1" ExecStart)
    exec env --ignore-environment "${environment[@]}" "$root${command[0]}" "${command[@]:1}"
}

# Starts a service, and waits until it is ready. Usage: start_ready SERVICE OPS_ADDR
start_ready() {
    local ready
    sed -i "s/^#OPS_ADDR=.*/OPS_ADDR=$2/" "$root/etc/default/$1"
    (start "$1") 2>"$work/$1.log" &
    running=$!
    for _ in $(seq 300); do
        ready=$(curl --silent --fail "http://$2/readyz") && return
        kill -0 "$running" || { cat "$work/$1.log" >&2; fail "$1 has ended"; }
        sleep 0.1
    done
    cat "$work/$1.log" >&2
    fail "$1 does not get ready: $ready"
}
stop() {
    local status=0
    kill "$running"
    wait "$running" || status=$?
    running=
    [ "$status" = 0 ] || { cat "$work/$1.log" >&2; fail "stopped by SIGTERM, $1 ends with status $status"; }
}

# Without its secrets a service does not start; wrong settings end it with a status after which it
# is not started again.
for service in outbox-relay outbox-console; do
    for path in $(values "$service" LoadCredential | cut -d: -f2); do
        values "$service" AssertPathExists | grep --quiet --line-regexp "$path" || fail "$service starts without $path"
        install -D -m 600 /dev/stdin "$root$path" <<<'no-url'
    done
    echo SHUTDOWN_GRACE=never >>"$root/etc/default/$service"
    status=0
    (start "$service") 2>"$work/refused.log" || status=$?
    sed -i '$d' "$root/etc/default/$service"
    [[ " $(values "$service" RestartPreventExitStatus) " == *" $status "* ]] || fail "systemd would start $service again after status $status"
done

# With them the relay publishes in place of the stack's own.
cargo xtask down --wipe
cargo xtask up --detach --port-base 31100
# shellcheck source=/dev/null
. "$STACK_DIR/env"
kill "$(cat "$STACK_DIR/pids/outbox-relay")"
install -m 600 /dev/stdin "$root/etc/outbox-relay/database-url" <<<"$RELAY_DATABASE_URL"
install -m 600 /dev/stdin "$root/etc/outbox-relay/rabbitmq-url" <<<"$RABBITMQ_URL"
start_ready outbox-relay 127.0.0.1:31109
customer=11111111-1111-1111-1111-111111111111
curl -sS --fail-with-body --output "$work/order.json" "$ORDER_SERVICE_URL/api/orders" -H 'content-type: application/json' -d '{"order":{
    "customer_public_id":"'$customer'","product_name":"Laptop","quantity":1,"price":"1200.00","delivery_address":"Cali"}}'
for _ in $(seq 100); do
    counted=$(curl -sS "$CUSTOMER_SERVICE_URL/api/customers/$customer")
    case $counted in *'"orders_count":1}') break ;; esac
    sleep 0.1
done
[[ $counted == *'"orders_count":1}' ]] || { cat "$work/outbox-relay.log" >&2; fail "the order's event did not arrive"; }
stop outbox-relay

# The console shows its event to who logs in, and to nobody else.
url=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["addresses"]["logins"]["outbox_console"])' <"$STACK_DIR/state.json")
install -m 600 /dev/stdin "$root/etc/outbox-relay/console-database-url" <<<"$url"
install -m 600 /dev/stdin "$root/etc/outbox-relay/console-users" <<<'vera:viewer:the secret of vera'
console=127.0.0.1:31110
sed -i "s/^#CONSOLE_ADDR=.*/CONSOLE_ADDR=$console/" "$root/etc/default/outbox-console"
start_ready outbox-console 127.0.0.1:31111
asked() { curl -sS --output "$work/page" --write-out '%{http_code}' "$@" "http://$console/events?state=published"; }
[ "$(asked)" = 401 ] || fail "the console asks nobody to log in"
[ "$(asked --user 'vera:the secret of vera')" = 200 ] || { cat "$work/page" "$work/outbox-console.log" >&2; fail "the console shows no events"; }
order=$(sed 's/.*"id":"\([^"]*\)".*/\1/;q' "$work/order.json")
grep --quiet --fixed-strings "$order" "$work/page" || { cat "$work/page" >&2; fail "the console does not show the order's event"; }
stop outbox-console
if [ "$how" = installed ]; then
    dpkg --purge outbox-relay
    [ ! -e /usr/bin/outbox-relay ] && [ ! -e /etc/default/outbox-relay ] && [ ! -e /etc/default/outbox-console ] || fail "it leaves files behind"
fi
echo "$(basename "$package"), $how, is complete: its relay and its console start as the units say, work and stop"
