#!/usr/bin/env bash
# Builds the example overlay and checks it without a cluster. Usage: check.sh [BIN_DIR]. BIN_DIR is
# the folder of the built programs.
set -euo pipefail
bin=$(realpath "${1:-"$(dirname "$0")/../../target/debug"}")
cd "$(dirname "$0")/../.."
. deploy/check/tools.sh

built=$PWD/$checks/built.yaml
kubectl kustomize deploy/kubernetes/example >"$built"
python deploy/kubernetes/check.py "$built" "$bin"
(cd "$checks" && node ../../deploy/check/operators.mjs "$built")
