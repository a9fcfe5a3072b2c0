# shellcheck shell=bash
# shellcheck disable=SC2154
# Sourced by smoke.sh while it is scaled to three replicas. Checks alerts and dashboards with the
# Prometheus service of compose.yml, but with Debian's program, which needs no registry.

prometheus=$(command -v prometheus || echo "$PWD/target/promtool/usr/bin/prometheus")
# Unpacks Debian's Prometheus to that path if it is missing.
quietly deploy/prometheus/check.sh
with_prometheus() {
    PROMETHEUS_PROGRAM=$prometheus PROMETHEUS_PORT=0 \
        compose --file compose.yml --file tests/compose/prometheus.yml --profile observability "$@"
}
# A dashboard is about the desk, which has data once it has collected a message.
quietly compose --profile desk up --detach --wait --no-recreate --scale outbox-relay=3 --scale customer-consumer=3 dead-letters
curl -sS --fail-with-body --user guest:guest "http://$(address rabbitmq 15672)/api/exchanges/%2F/amq.default/publish" \
    -d '{"properties":{},"routing_key":"customer.orders_count.dlq","payload":"{}","payload_encoding":"string"}' >"$log" ||
    fail "no dead letter: $(cat "$log")"
quietly with_prometheus up --detach --wait --no-recreate --no-deps prometheus
quietly python3 tests/compose/prometheus.py "http://$(with_prometheus port prometheus 9090)" \
    order-service=3 outbox-relay=3 customer-service=1 customer-consumer=3 console=1 dead-letters=1
step "$(tail -n 1 "$log")"
