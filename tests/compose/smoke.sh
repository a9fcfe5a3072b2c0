#!/usr/bin/env bash
# Tests the containers: builds, starts and uses them, kills some, scales to three replicas, and
# checks that taking them down leaves nothing behind. Usage: smoke.sh. Needs a container engine with
# Compose v2; if none answers, installs Debian's.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target
. tests/compose/engine.sh

# Its own project and ports, and none of the settings of the shell.
project=outbox-smoke
export ORDER_SERVICE_PORT=0 CUSTOMER_SERVICE_PORT=0 RABBITMQ_MANAGEMENT_PORT=0 CONSOLE_PORT=0
export IMAGE_PREFIX=$project
unset BUILD_PROFILE IMAGE_TAG SECRETS_DIR COMPOSE_PROFILES COMPOSE_FILE LOG_FORMAT RUST_LOG OTEL_EXPORTER_OTLP_ENDPOINT
compose() { docker compose --env-file /dev/null --project-name "$project" "$@"; }

customer=11111111-1111-1111-1111-111111111111
log=target/compose-smoke.log
orders=0

step() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() { echo "smoke.sh: $*" >&2; exit 1; }

# Runs a command and prints its output only if it fails. Reports every 30 s that it is still
# running.
quietly() {
    "$@" >"$log" 2>&1 &
    local running=$! begun=$SECONDS reports=0
    while kill -0 "$running" 2>/dev/null; do
        sleep 0.2
        if [ $(((SECONDS - begun) / 30)) -gt "$reports" ]; then
            reports=$(((SECONDS - begun) / 30))
            step "… $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-120)"
        fi
    done
    wait "$running" || { tail -n 60 "$log" >&2; fail "failed: $*"; }
}

# Waits until a command succeeds. Usage: wait_until SECONDS DESCRIPTION COMMAND...
wait_until() {
    local timeout=$1 what=$2 begun=$SECONDS
    shift 2
    until "$@"; do
        [ $((SECONDS - begun)) -lt "$timeout" ] || fail "not within $timeout s: $what"
        sleep 0.3
    done
}

address() { compose port "$@"; }

# Posts an order to a replica of the order service, the first by default.
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
    wait_until 90 "a count of $orders" counted
    step "all $orders orders are counted"
}

sql() { compose exec -T postgres-order psql -Atc "$1"; }
answers() { [ "$(sql "$2" 2>/dev/null)" = "$1" ]; }

container() { compose ps --all --quiet "$1" | head -n 1; }
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }
restarted() { [ "$(docker inspect --format '{{.RestartCount}}' "$1")" -gt 0 ]; }

# Kills a container's program from outside of the container, so that the engine restarts it: after
# `docker kill` it would not.
crash() {
    docker run --rm --pid host --network none debian:bookworm-slim sh -c "kill -KILL $(docker inspect --format '{{.State.Pid}}' "$1")"
}

ours() { docker "$@" --quiet --filter "label=com.docker.compose.project=$project"; }

# With the profiles: otherwise their containers would stay.
down() { compose --profile observability --profile desk down --remove-orphans "$@" >"$log" 2>&1; }
images() { docker images --quiet "$IMAGE_PREFIX/*"; }
wipe() {
    down --volumes --timeout 10
    images | xargs --no-run-if-empty docker image rm --force >>"$log" 2>&1
}

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
# A killed run may have left its containers behind.
wipe

step "building and starting"
quietly compose --progress plain build
step "built"
quietly compose up --detach --wait
step "all are healthy"
# Unnamed volumes would be left behind with their container.
unnamed=$(compose ps --all --quiet | xargs docker inspect --format '{{range .Mounts}}{{if eq .Type "volume"}}{{println .Name}}{{end}}{{end}}' | grep --invert-match --extended-regexp "^$|^${project}_") || true
[ -z "$unnamed" ] || fail "unnamed volumes: $unnamed"

. tests/compose/images.sh

order
all_counted
wait_until 30 "the event, published, in the outbox" answers "1|1" "SELECT count(*), count(published_at) FROM outbox"

. tests/compose/console.sh

curl -sS --fail --user guest:guest "http://$(address rabbitmq 15672)/api/whoami" >"$log" || fail "guest may not see the management page"

step "killing the relay"
compose kill outbox-relay >"$log" 2>&1
order
order
answers 2 "SELECT count(*) FROM outbox_pending" || fail "the events do not wait in the outbox"
compose start outbox-relay >"$log" 2>&1
all_counted
wait_until 30 "an empty outbox" answers 0 "SELECT count(*) FROM outbox_pending"

step "killing the broker, which the engine restarts"
broker=$(container rabbitmq)
crash "$broker"
order
wait_until 60 "the broker is started again" restarted "$broker"
wait_until 120 "the broker is healthy" healthy rabbitmq
all_counted

step "scaling to three replicas"
quietly compose up --detach --wait --no-recreate --scale order-service=3 --scale outbox-relay=3 --scale customer-consumer=3
wait_until 30 "64 lanes shared by three relays" answers "3|64|t" "SELECT count(*), sum(lanes), min(lanes) > 0 FROM outbox_relays"
for replica in 1 2 3; do
    for _ in $(seq 5); do order "$replica"; done
done
all_counted

. tests/compose/metrics.sh

step "down with a message in its queue, and up again with the same data"
compose stop customer-consumer >"$log" 2>&1
[ "$(docker inspect --format '{{.State.ExitCode}}' "$(container customer-consumer)")" = 0 ] || fail "a consumer that is stopped does not exit with 0"
order
wait_until 30 "an empty outbox" answers 0 "SELECT count(*) FROM outbox_pending"
down
quietly compose up --detach --wait
order
all_counted

step "down for good"
wipe || { cat "$log" >&2; fail "it can't be taken down"; }
left=$(ours ps --all; ours volume ls; ours network ls; images)
[ -z "$left" ] || fail "left behind: $left"
step "nothing is left behind"
