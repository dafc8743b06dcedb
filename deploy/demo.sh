#!/usr/bin/env bash
# Builds Sluice, starts a cluster of 3 control nodes and 2 data nodes on this machine, and shows what it does.
#   deploy/demo.sh [--once] [--data-dir DIR]
#     --once          run the tour, stop the cluster, exit 0 (1 when a step did not do what it should)
#     --data-dir DIR  keep the cluster's data there (default: a temporary folder, removed at the end)
# Needs Debian or Ubuntu with Rust; installs libclang, g++, make and curl when they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

once=no
data_dir=""
while [ $# -gt 0 ]; do
    case "$1" in
        --once) once=yes ;;
        --data-dir) data_dir=${2:?--data-dir needs a folder}; shift ;;
        -h | --help) sed -n '2,6p' "$0" | cut -c3-; exit 0 ;;
        *) echo "unknown argument $1; see deploy/demo.sh --help" >&2; exit 2 ;;
    esac
    shift
done

. deploy/toolchain.sh
work=$(mktemp -d)
cluster=""
backend=""
failed=0

finish() {
    [ -z "$cluster" ] || { kill "$cluster" 2>/dev/null && wait "$cluster" 2>/dev/null; } || true
    [ -z "$backend" ] || { kill "$backend" 2>/dev/null && wait "$backend" 2>/dev/null; } || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# -- what this machine must have ------------------------------------------------------------------------------------

check_machine() {
    command -v cargo >/dev/null 2>&1 || { echo "cargo is not in PATH: install Rust 1.90 or newer (https://rustup.rs)" >&2; exit 1; }
    local rust free_kb memory_kb port
    rust=$(rustc --version | cut -d' ' -f2)
    printf '%s\n1.90.0\n' "$rust" | sort -V | head -n 1 | grep -qx 1.90.0 || { echo "Rust $rust is too old: 1.90 or newer is needed" >&2; exit 1; }
    mkdir -p "$SLUICE_CACHE"
    free_kb=$(df -Pk "$SLUICE_CACHE" | awk 'NR==2 {print $4}')
    [ "$free_kb" -gt 8000000 ] || { echo "8 GB of disk are needed under $SLUICE_CACHE, $((free_kb / 1000000)) GB are free" >&2; exit 1; }
    memory_kb=$(awk '/^MemAvailable/ {print $2}' /proc/meminfo)
    [ "$memory_kb" -gt 2000000 ] || { echo "2 GB of memory are needed, $((memory_kb / 1000)) MB are available" >&2; exit 1; }
    for port in 7100 7101 7110 7111 7120 7121 7180 7181 7182 7280 7281 8080 8081 9000; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "port $port is taken; stop what listens there and start again" >&2
            exit 1
        fi
    done
    echo "Rust $rust, $((free_kb / 1000000)) GB of disk, $((memory_kb / 1000)) MB of memory, ports are free."
    if [ -x "$bin/sluice" ]; then
        echo "Sluice is built; the cluster starts in a few seconds."
    elif [ -n "$(find "$SLUICE_CACHE" -maxdepth 2 -name librocksdb.a 2>/dev/null)" ]; then
        echo "Building Sluice takes about 8 minutes on two cores, once."
    else
        echo "Building RocksDB and Sluice takes about 22 minutes on two cores, once."
    fi
}

# -- the tour -------------------------------------------------------------------------------------------------------

title() { printf '\n\033[1m%s\033[0m\n' "$1"; }

# Prints a command, then runs it; its output goes to the screen and to $work/out.
show() {
    printf '\033[36m$ %s\033[0m\n' "$1"
    local status=0
    bash -c "$1" >"$work/out" 2>&1 || status=$?
    cut -c1-400 "$work/out" | head -n 24
    [ -z "$(tail -c 1 "$work/out")" ] || echo
    if [ "$status" -ne 0 ]; then
        printf '\033[31mthe command failed with status %s\033[0m\n' "$status"
        failed=1
    fi
}

# Checks what the last command printed.
expect() {
    if ! grep -qE -- "$1" "$work/out"; then
        printf '\033[31mexpected %s\033[0m\n' "$1"
        failed=1
    fi
}

# Asks until the condition holds, 200 times at most.
until_true() {
    local left=200
    until bash -c "$1" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.1
    done
}

field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$work/out" | head -n 1; }

tour() {
    local api plan key value leader pid
    title "1. The cluster: three control nodes agree by Raft, two data nodes follow them"
    show "sluice cluster status"; expect leader
    show "sluice node list"; expect serving

    title "2. An API from its OpenAPI file, deployed to both data nodes"
    cat >"$work/pets.yaml" <<'YAML'
openapi: 3.0.1
info: {title: pets, version: '1'}
paths:
  /pets/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {'200': {description: a pet}}
  /members:
    get:
      security: [{api_key: []}]
      responses: {'200': {description: members only}}
components:
  securitySchemes:
    api_key: {type: apiKey, name: x-api-key, in: header}
YAML
    show "sluice -o json api import $work/pets.yaml --backend http://127.0.0.1:9000"
    api=$(field id)
    [ -n "$api" ] || { echo "the import named no API" >&2; failed=1; return; }
    show "sluice api deploy $api --stage prod"

    title "3. A request through each data node"
    show "curl -sS 'http://127.0.0.1:8080/_aws/execute-api/$api/prod/pets/7?color=red'"; expect '/pets/7'
    show "curl -sS 'http://$api.execute-api.localhost:8081/prod/pets/8' --resolve '$api.execute-api.localhost:8081:127.0.0.1'"; expect '/pets/8'
    show "curl -sS -i http://127.0.0.1:8080/_aws/execute-api/$api/prod/nowhere"; expect 'Missing Authentication Token'

    title "4. An API key: refused without, accepted with"
    show "sluice -o json plan create gold --rate 5/s --burst 10"
    plan=$(field id)
    show "sluice plan attach $plan $api prod"
    show "sluice -o json key create alice"
    key=$(field id)
    value=$(field value)
    show "sluice plan add-key $plan $key"
    show "curl -sS -i http://127.0.0.1:8080/_aws/execute-api/$api/prod/members"; expect Forbidden
    until_true "curl -fsS -H 'x-api-key: $value' http://127.0.0.1:8080/_aws/execute-api/$api/prod/members" || failed=1
    show "curl -sS -o /dev/null -w '%{http_code}\n' -H 'x-api-key: $value' http://127.0.0.1:8080/_aws/execute-api/$api/prod/members"; expect 200

    title "5. A burst beyond the plan is throttled"
    show "for i in \$(seq 40); do curl -sS -o /dev/null -w '%{http_code}\n' -H 'x-api-key: $value' http://127.0.0.1:8080/_aws/execute-api/$api/prod/members; done | sort | uniq -c"
    expect 429
    show "curl -sS -i -H 'x-api-key: $value' http://127.0.0.1:8080/_aws/execute-api/$api/prod/members"

    title "6. The leader is killed; the cluster goes on"
    leader=$(sluice -o json node list | tr -d '\n' | grep -oE '\{[^{}]*"state": *"leader"[^{}]*\}' | sed -n 's/.*"raftId": *\([0-9]*\).*/\1/p')
    pid=$(sed -n "s/.*\"control-$leader\": *\([0-9]*\).*/\1/p" "$work/ready")
    [ -n "$pid" ] || { echo "no process of the leader, control-$leader, is known" >&2; failed=1; return; }
    show "kill -9 $pid   # control-$leader"
    show "curl -sS -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8081/_aws/execute-api/$api/prod/pets/9"; expect 200
    show "sluice --timeout 20s key create bob"; expect bob
    show "sluice cluster status"; expect leader
}

# -- build, start, tour ---------------------------------------------------------------------------------------------

bin="$CARGO_TARGET_DIR/release"
check_machine
sluice_install_packages || exit 1
sluice_rocksdb_archive
echo "building (the first time takes minutes)"
cargo build --locked --release --bins -p sluice-cli -p sluice-control -p sluice-data

export PATH="$bin:$PATH" SLUICE_CONTROL="http://127.0.0.1:7100,http://127.0.0.1:7110,http://127.0.0.1:7120"
if [ -n "$data_dir" ]; then keep=(--data-dir "$data_dir"); else keep=(--data-dir "$work/cluster"); fi
sluice echo --listen 127.0.0.1:9000 >"$work/echo.log" 2>&1 &
backend=$!
printf '\n\033[36m$ sluice dev --control-nodes 3 --data-nodes 2 --processes\033[0m\n'
sluice -o json dev --control-nodes 3 --data-nodes 2 --processes "${keep[@]}" >"$work/ready" 2>"$work/dev.log" &
cluster=$!
until_true "grep -q ready $work/ready" || { echo "the cluster did not start:" >&2; tail -n 30 "$work/dev.log" >&2; exit 1; }
cat "$work/ready"
tour

title "That was the tour"
if [ "$failed" -ne 0 ]; then
    echo "a step did not do what it should; the nodes' logs end so:" >&2
    tail -n 20 "$work/dev.log" >&2
fi
[ "$once" = no ] || exit "$failed"
cat <<TEXT
The cluster keeps running until Ctrl-C. In another terminal:

  export PATH="$bin:\$PATH" SLUICE_CONTROL="$SLUICE_CONTROL"

  sluice api list
  sluice stage get pets prod
  sluice -o yaml get RestApi pets
TEXT
wait "$cluster"
