#!/usr/bin/env bash
# Checks openapi/asyncapi.yaml with AsyncAPI's own parser.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/check/tools.sh
(cd "$checks" && node ../../deploy/check/asyncapi.mjs ../../openapi/asyncapi.yaml)
