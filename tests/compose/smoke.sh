#!/usr/bin/env bash
# The containers as a newcomer starts them: built, started, used, broken, scaled to three and taken down without leftovers.
# Usage: smoke.sh. It needs nothing but a container engine with Compose v2, and gets Debian's where none answers.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target
. tests/compose/engine.sh

# A project and ports of its own, and none of a developer's settings.
project=outbox-smoke
export ORDER_SERVICE_PORT=0 CUSTOMER_SERVICE_PORT=0 RABBITMQ_MANAGEMENT_PORT=0
unset SECRETS_DIR COMPOSE_PROFILES COMPOSE_FILE LOG_FORMAT RUST_LOG OTEL_EXPORTER_OTLP_ENDPOINT
compose() { docker compose --env-file /dev/null --project-name "$project" "$@"; }

customer=11111111-1111-1111-1111-111111111111
log=target/compose-smoke.log
orders=0

step() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() { echo "smoke.sh: $*" >&2; exit 1; }

# Runs a command whose output is of interest only when it fails, and says now and then that it still does.
quietly() {
    "$@" >"$log" 2>&1 &
    local running=$! begun=$SECONDS told=0
    while kill -0 "$running" 2>/dev/null; do
        sleep 0.2
        if [ $(((SECONDS - begun) / 30)) -gt "$told" ]; then
            told=$(((SECONDS - begun) / 30))
            step "… $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-120)"
        fi
    done
    wait "$running" || { tail -n 60 "$log" >&2; fail "failed: $*"; }
}

# Waits until a command succeeds.
until_so() {
    local patience=$1 what=$2 begun=$SECONDS
    shift 2
    until "$@"; do
        [ $((SECONDS - begun)) -lt "$patience" ] || fail "not within $patience s: $what"
        sleep 0.3
    done
}

address() { compose port "$@"; }

# One more order, accepted by a replica of the order service.
order() {
    local answer
    answer=$(curl -sS --max-time 20 --fail-with-body "http://$(address --index "${1:-1}" order-service 3000)/api/orders" -H 'content-type: application/json' \
        -d '{"order":{"customer_public_id":"'$customer'","product_name":"Laptop","quantity":1,"price":"1200.00","delivery_address":"Cali"}}')
    [[ $answer == *'"status":"created"'* ]] || fail "no order: $answer"
    orders=$((orders + 1))
}

counted() {
    local told
    told=$(curl -sS --max-time 20 "http://$(address customer-service 3001)/api/customers/$customer" 2>/dev/null) || return 1
    [[ $told == *"\"orders_count\":$orders}"* ]]
}

all_counted() {
    until_so 90 "a count of $orders" counted
    step "all $orders orders are counted"
}

sql() { compose exec -T postgres-order psql -Atc "$1"; }
answers() { [ "$(sql "$2" 2>/dev/null)" = "$1" ]; }

container() { compose ps --all --quiet "$1" | head -n 1; }
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }
restarted() { [ "$(docker inspect --format '{{.RestartCount}}' "$1")" -gt 0 ]; }

# Ends a container's program as the kernel would, seen from the engine: it must start it again.
crash() {
    docker run --rm --pid host --network none debian:bookworm-slim sh -c "kill -KILL $(docker inspect --format '{{.State.Pid}}' "$1")"
}

ours() { docker "$@" --quiet --filter "label=com.docker.compose.project=$project"; }

# With the profile, or what it has would stay.
down() { compose --profile observability down --remove-orphans "$@" >"$log" 2>&1; }
wipe() { down --volumes --rmi local --timeout 10; }

ended() {
    local status=$?
    if [ "$status" != 0 ] && engine_answers; then
        { compose ps --all; compose logs --no-color --tail 25; } >&2 || true
        wipe || true
    fi
    engine_stop
    exit "$status"
}
trap ended EXIT

engine_start
quietly engine_images
step "$(tail -n 1 "$log"), $(docker version --format 'engine {{.Server.Version}}')"
compose --profile observability config --quiet
# What an earlier run left that was killed.
wipe

step "building and starting"
quietly compose --progress plain build
step "built"
quietly compose up --detach --wait
step "all are healthy"
# Volumes without a name are nobody's when their container is gone.
unnamed=$(compose ps --all --quiet | xargs docker inspect --format '{{range .Mounts}}{{if eq .Type "volume"}}{{println .Name}}{{end}}{{end}}' | grep --invert-match --extended-regexp "^$|^${project}_") || true
[ -z "$unnamed" ] || fail "volumes without a name: $unnamed"

. tests/compose/images.sh

order
all_counted
until_so 30 "the event, published, in the outbox" answers "1|1" "SELECT count(*), count(published_at) FROM outbox"

step "killing the relay"
compose kill outbox-relay >"$log" 2>&1
order
order
answers 2 "SELECT count(*) FROM outbox_pending" || fail "the events do not wait in the outbox"
compose start outbox-relay >"$log" 2>&1
all_counted
until_so 30 "an empty outbox" answers 0 "SELECT count(*) FROM outbox_pending"

step "killing the broker, which has to come back by itself"
broker=$(container rabbitmq)
crash "$broker"
order
until_so 60 "the broker is started again" restarted "$broker"
until_so 120 "the broker is healthy" healthy rabbitmq
all_counted

step "three of each that may be several"
quietly compose up --detach --wait --no-recreate --scale order-service=3 --scale outbox-relay=3 --scale customer-consumer=3
until_so 30 "64 lanes shared by three relays" answers "3|64|t" "SELECT count(*), sum(lanes), min(lanes) > 0 FROM outbox_relays"
for replica in 1 2 3; do
    for _ in $(seq 5); do order "$replica"; done
done
all_counted

. tests/compose/metrics.sh

step "down with a message in its queue, and up again with the same data"
compose stop customer-consumer >"$log" 2>&1
[ "$(docker inspect --format '{{.State.ExitCode}}' "$(container customer-consumer)")" = 0 ] || fail "a consumer does not end well when it is told to"
order
until_so 30 "an empty outbox" answers 0 "SELECT count(*) FROM outbox_pending"
down
quietly compose up --detach --wait
order
all_counted

step "down for good"
wipe || { cat "$log" >&2; fail "it can't be taken down"; }
left=$(ours ps --all; ours volume ls; ours network ls; docker images --quiet "$project-*")
[ -z "$left" ] || fail "left behind: $left"
step "nothing is left behind"
