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
quietly with_prometheus up --detach --wait --no-recreate --no-deps prometheus
quietly python3 tests/compose/prometheus.py "http://$(with_prometheus port prometheus 9090)" \
    order-service=3 outbox-relay=3 customer-service=1 customer-consumer=3
step "$(tail -n 1 "$log")"
