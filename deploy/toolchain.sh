#!/usr/bin/env bash
# Prepares this machine for building Sluice; sourced by demo.sh, tests/run.sh and developers:
#   . deploy/toolchain.sh
# Exports CARGO_TARGET_DIR and the variables that link RocksDB from an archive kept in the cache folder
# (SLUICE_CACHE, default ~/.cache/sluice), because compiling RocksDB's 343 C++ files takes 13 minutes on two cores.

sluice_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export SLUICE_CACHE="${SLUICE_CACHE:-$HOME/.cache/sluice}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$SLUICE_CACHE/target}"
mkdir -p "$SLUICE_CACHE" "$CARGO_TARGET_DIR"

# bindgen loads libclang at build time.
sluice_has_libclang() {
    [ -n "$(find /usr/lib -name 'libclang.so*' -o -name 'libclang-[0-9]*.so*' 2>/dev/null | head -n 1)" ]
}

# The packages a bare Debian 12 needs beside Rust. $1...: more packages for the caller's purpose.
sluice_install_packages() {
    local need=() newest
    sluice_has_libclang || need+=(libclang1-14)
    command -v g++ >/dev/null 2>&1 || need+=(g++)
    command -v make >/dev/null 2>&1 || need+=(make)
    command -v curl >/dev/null 2>&1 || need+=(curl)
    local package
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || need+=("$package")
    done
    [ ${#need[@]} -eq 0 ] && return 0
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            sudo=(sudo)
        else
            echo "Some packages are missing and this user may not install them. Run this, then start again:" >&2
            echo "  sudo apt-get install -y --no-install-recommends ${need[*]}" >&2
            return 1
        fi
    fi
    echo "installing ${need[*]}"
    "${sudo[@]}" apt-get update -qq || true
    if [[ " ${need[*]} " == *" libclang1-14 "* ]]; then
        newest=$(apt-cache pkgnames libclang1- 2>/dev/null | grep -E '^libclang1-[0-9]+$' | sort -t- -k2 -n | tail -n 1)
        need=("${need[@]/#libclang1-14/${newest:-libclang1-14}}")
    fi
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
}

# libclang1 comes without clang's own headers; bindgen takes gcc's stdbool.h and stddef.h instead.
sluice_bindgen_include() {
    local header
    header=$(find /usr/lib/gcc -name stdbool.h 2>/dev/null | sort -V | tail -n 1)
    [ -n "$header" ] && dirname "$header"
}

# Makes RocksDB's archive when the cache lacks it, and exports where it is.
sluice_rocksdb_archive() {
    local version folder built
    version=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' "$sluice_root/Cargo.lock")
    folder="$SLUICE_CACHE/rocksdb-$version"
    BINDGEN_EXTRA_CLANG_ARGS="-I$(sluice_bindgen_include)"
    export BINDGEN_EXTRA_CLANG_ARGS
    if [ ! -f "$folder/librocksdb.a" ]; then
        echo "building RocksDB $version once (about 13 minutes on two cores); it is kept in $folder"
        mkdir -p "$folder"
        (
            cd "$sluice_root" || exit 1
            unset ROCKSDB_LIB_DIR ROCKSDB_STATIC ROCKSDB_INCLUDE_DIR
            CARGO_TARGET_DIR="$SLUICE_CACHE/rocksdb-build" cargo build --locked -p librocksdb-sys
        ) || return 1
        built=$(find "$SLUICE_CACHE/rocksdb-build" -name librocksdb.a | head -n 1)
        [ -n "$built" ] || { echo "RocksDB was built, but librocksdb.a is not under $SLUICE_CACHE/rocksdb-build" >&2; return 1; }
        strip --strip-debug "$built" -o "$folder/librocksdb.a.partial" && mv "$folder/librocksdb.a.partial" "$folder/librocksdb.a" || return 1
        rm -rf "$SLUICE_CACHE/rocksdb-build"
    fi
    export ROCKSDB_LIB_DIR="$folder" ROCKSDB_STATIC=1
    unset ROCKSDB_INCLUDE_DIR
}
