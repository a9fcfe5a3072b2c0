#!/usr/bin/env bash
# Checks the rules and runs their tests with promtool.
set -euo pipefail
cd "$(dirname "$0")/../.."

. deploy/prometheus/promtool.sh
promtool check rules deploy/prometheus/alerts.yml
tests=(deploy/prometheus/tests/*.yml)
# Each file begins with the same healthy pipeline, as YAML can't share it between files.
healthy() { sed -n '/^tests:$/,/^$/p' "$1"; }
for other in "${tests[@]:1}"; do
    diff --unified --label "${tests[0]}" --label "$other" <(healthy "${tests[0]}") <(healthy "$other")
done
promtool test rules "${tests[@]}"
