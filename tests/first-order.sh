#!/usr/bin/env bash
# Measures what a newcomer waits for, from `git clone` to the first order that is counted, and
# prints the seconds of each stage.
# Usage: first-order.sh up|compose [--goal SECONDS]
#
# The clone, cargo's home, the target folder and the data are new. PostgreSQL and RabbitMQ are
# installed if they are missing, and stay. For `compose` the builder's caches are removed first;
# the public images stay. Run nothing else meanwhile.
#
# With --goal the exit status is 1 when it takes longer.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '4p' "$0" | cut -c 3- >&2; exit 64; }
case ${1:-} in up | compose) command=$1 ;; *) usage ;; esac
goal=
case ${2:-} in --goal) goal=${3:?--goal takes seconds} ;; '') ;; *) usage ;; esac

from=$PWD
folder=$(mktemp -d "${TMPDIR:-/tmp}/first-order.XXXXXX")
customer=11111111-1111-1111-1111-111111111111
order='{"order":{"customer_public_id":"'$customer'","product_name":"Laptop","quantity":1,"price":"1200.00","delivery_address":"Cali"}}'
stop() { :; }
engine_stop() { :; }
began=$EPOCHREALTIME
last=$began

# Prints the seconds of the stage that ends here, and those since the beginning.
stage() {
    local now=$EPOCHREALTIME
    awk -v from="$last" -v began="$began" -v now="$now" -v name="$*" 'BEGIN { printf "%7.1f s  %7.1f s  %s\n", now - from, now - began, name }'
    last=$now
}

# Runs a command, whose output goes to the log, and prints the stages that its lines end.
follow() {
    local line running finished=0 seen=
    exec 3< <("$@" 2>&1)
    running=$!
    while IFS= read -r line <&3; do
        printf '%s\n' "$line" >>"$folder/log"
        case $line in
        *' Compiling '*) [[ $seen == *crates* ]] || { seen+=crates; stage 'crates downloaded'; } ;;
        *' Finished `'*)
            finished=$((finished + 1))
            [ "$command$finished" != up1 ] || stage 'xtask compiled'
            [ "$command$finished" != compose1 ] || stage 'programs compiled'
            ;;
        *'Starting the services'*) stage 'services compiled; meanwhile servers installed and started' ;;
        *'exporting to image'*) [[ $seen == *images* ]] || { seen+=images; stage 'images written'; } ;;
        esac
    done
    exec 3<&-
    wait "$running"
}

clean_up() {
    local status=$?
    [ "$status" = 0 ] || tail -n 40 "$folder/log" >&2 || true
    stop >>"$folder/log" 2>&1 || true
    [ "$command" != compose ] || engine_stop
    rm -rf "$folder"
    exit "$status"
}
trap clean_up EXIT

if [ "$command" = compose ]; then
    mkdir -p target
    . tests/compose/engine.sh
    engine_start >>"$folder/log"
    engine_images >>"$folder/log"
    docker builder prune --all --force >>"$folder/log"
    began=$EPOCHREALTIME
    last=$began
fi
git clone --quiet "$from" "$folder/checkout"
cd "$folder/checkout"
printf '%9s  %9s  %s\n' 'it took' 'since' 'stage'
stage cloned

if [ "$command" = up ]; then
    # The settings there may be needed to reach the registry; nothing that was downloaded is used.
    mkdir "$folder/cargo"
    cp "${CARGO_HOME:-$HOME/.cargo}"/config.toml "$folder/cargo/" 2>/dev/null || true
    RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
    export RUSTUP_HOME CARGO_HOME=$folder/cargo
    unset CARGO_TARGET_DIR STACK_DIR
    stop() { cargo xtask down --wipe; }
    follow cargo xtask up --detach --port-base 33000
    # shellcheck source=/dev/null
    . .stack/env
    stage 'all are ready'
else
    export ORDER_SERVICE_PORT=0 CUSTOMER_SERVICE_PORT=0 RABBITMQ_MANAGEMENT_PORT=0 IMAGE_PREFIX=first-order
    unset BUILD_PROFILE COMPOSE_PROFILES IMAGE_TAG SECRETS_DIR
    compose() { docker compose --env-file /dev/null --project-name first-order "$@"; }
    stop() { compose down --volumes --timeout 10; docker images --quiet 'first-order/*' | xargs --no-run-if-empty docker image rm --force; }
    follow compose --progress plain up --build --detach --wait
    ORDER_SERVICE_URL=http://$(compose port order-service 3000)
    CUSTOMER_SERVICE_URL=http://$(compose port customer-service 3001)
    stage 'all are healthy'
fi

curl -sS --fail-with-body "$ORDER_SERVICE_URL/api/orders" -H 'content-type: application/json' -d "$order" >>"$folder/log"
until [[ $(curl -sS "$CUSTOMER_SERVICE_URL/api/customers/$customer") == *'"orders_count":1}'* ]]; do sleep 0.05; done
stage 'the order is counted'

seconds=$(awk -v began="$began" -v now="$last" 'BEGIN { printf "%d", now - began + 0.5 }')
echo "$seconds s from clone to count, on $(nproc) processors"
[ -z "$goal" ] || [ "$seconds" -le "$goal" ] || { echo "that is more than $goal s" >&2; exit 1; }
