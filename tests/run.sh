#!/usr/bin/env bash
# Formatting, lints and every test; `--all` adds the slow tier (network namespaces, long runs) and fails on any skip.
#   tests/run.sh [--all]
# Installs the packages it needs; keeps RocksDB's archive and the build in ~/.cache/sluice (SLUICE_CACHE).
set -euo pipefail
cd "$(dirname "$0")/.."

all=no
case "${1:-}" in
    "") ;;
    --all) all=yes ;;
    *)
        echo "usage: tests/run.sh [--all]" >&2
        exit 2
        ;;
esac

. deploy/toolchain.sh
sluice_install_packages iproute2
sluice_rocksdb_archive

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

# A test that lacks a right or a program appends a line here and returns.
SLUICE_SKIPS=$(mktemp)
export SLUICE_SKIPS
trap 'rm -f "$SLUICE_SKIPS"' EXIT

step "formatting"
cargo fmt --all --check

if cargo deny --version >/dev/null 2>&1; then
    # Advisories need the network: `cargo deny check advisories` belongs to a release.
    step "licences, bans and sources of dependencies"
    cargo deny --locked check licenses bans sources
fi

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "programs that the end-to-end tests start"
cargo build --locked --workspace --bins

if [ "$all" = yes ]; then
    # What stands for the release after this one: rolling upgrades go from the one to the other.
    step "programs of the next level"
    target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    cargo build --locked --target-dir "$target/next" -p sluice-control -p sluice-data --bins \
        --features sluice-control/next-level,sluice-data/next-level
    export SLUICE_NEXT="$target/next/debug"
fi

step "tests"
status=0
if cargo nextest --version >/dev/null 2>&1; then
    arguments=(--locked --workspace --no-fail-fast --status-level slow)
    [ "$all" = yes ] && arguments+=(--run-ignored all)
    cargo nextest run "${arguments[@]}" || status=$?
else
    arguments=(--locked --workspace --no-fail-fast)
    if [ "$all" = yes ]; then
        cargo test "${arguments[@]}" -- --include-ignored || status=$?
    else
        cargo test "${arguments[@]}" || status=$?
    fi
fi

if [ -s "$SLUICE_SKIPS" ]; then
    sort -u "$SLUICE_SKIPS"
    if [ "$all" = yes ]; then
        echo "tests/run.sh --all fails on any skip" >&2
        status=1
    fi
fi
step "done"
exit "$status"
