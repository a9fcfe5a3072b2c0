#!/usr/bin/env bash
# Fuzzes the targets, each for so many seconds (60): fuzz/run.sh SECONDS [TARGET…]. What it tries
# stays in target/fuzz/corpus; the inputs among it that reach something new are added to the
# committed corpus. An input that fails ends the run, and lies in target/fuzz/failures.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
shift || true
[ $# -gt 0 ] || set -- corpus/*

# Coverage by LLVM's instrumentation, as cargo-fuzz switches it on, but on stable Rust.
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1)
host=$(rustc --print host-tuple)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target/fuzz}
# With a target, build scripts and macros are not instrumented.
RUSTFLAGS="${flags[*]}" cargo build --locked --bins --features libfuzzer --profile fuzz --target "$host"
work=../target/fuzz
for target in "$@"; do
    target=${target##*/}
    program=$CARGO_TARGET_DIR/$host/fuzz/$target
    mkdir -p "corpus/$target" "$work/corpus/$target" "$work/failures"
    printf '\n== %s\n' "$target"
    "$program" "$work/corpus/$target" "corpus/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
        -artifact_prefix="$work/failures/$target-" -print_final_stats=1 >"$work/$target.log" 2>&1 ||
        { grep -v '^#' "$work/$target.log" && exit 1; }
    grep '^stat::' "$work/$target.log"
    "$program" -merge=1 "corpus/$target" "$work/corpus/$target" >"$work/$target.log" 2>&1
done
