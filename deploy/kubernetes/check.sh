#!/usr/bin/env bash
# Builds the example overlay, alone and with the component of the desk, and checks both without a
# cluster. Usage: check.sh [BIN_DIR]. BIN_DIR is the folder of the built programs.
set -euo pipefail
bin=$(realpath "${1:-"$(dirname "$0")/../../target/debug"}")
cd "$(dirname "$0")/../.."
. deploy/check/tools.sh

check() {
    python deploy/kubernetes/check.py "$1" "$bin"
    (cd "$checks" && node ../../deploy/check/operators.mjs "$1")
}
built=$PWD/$checks/built.yaml
kubectl kustomize deploy/kubernetes/example >"$built"
check "$built"

# The same overlay with the line that the README says to add.
with_desk=$PWD/$checks/with-desk
mkdir -p "$with_desk"
cp deploy/kubernetes/example/namespace.yaml "$with_desk"
sed 's|\.\./|../../../deploy/kubernetes/|' deploy/kubernetes/example/kustomization.yaml >"$with_desk/kustomization.yaml"
echo 'components: [../../../deploy/kubernetes/desk]' >>"$with_desk/kustomization.yaml"
kubectl kustomize "$with_desk" >"$checks/built-with-desk.yaml"
check "$PWD/$checks/built-with-desk.yaml"
