#!/bin/sh
# sh tests/server/run.sh [--all]: the notification server of examples/server: what it promises, test by test, as it is and
# under the sanitizers; the commands in its README; and a load of WebSocket clients, 2000, or with --all 10 000.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
clients=2000 messages=100
[ -z "$extent" ] || clients=10000

dir=$root/build/server-tests
export PYTHONDONTWRITEBYTECODE=1

# count NAME SCRIPT ARGUMENT...: runs a script that ends with its total.
count() {
    name=$1
    shift
    say "$name"
    { "$python" "$@" 2>&1 </dev/null || true; } | tee "$scratch/log"
    add_total "$scratch/log" || fail "$name: no result"
    echo "figure: $name: $(tail -n 1 "$scratch/log")"
}

# with_build NAME [CMAKE-OPTION...]: true where it builds.
with_build() {
    build=$1
    shift
    say "$build: building"
    build_server "$dir/$build" -DPUSH_WERROR=ON "$@" && return
    fail "$build: the build"
    return 1
}

# Starts the server in the background with these options; sets $server and $port.
start_server() {
    "$dir/gcc/examples/server/push-server" --port 0 "$@" >"$scratch/said" &
    server=$!
    for _ in $(seq 100); do
        port=$(sed -n 's/^listening on .*:\([0-9]*\)\/$/\1/p' "$scratch/said")
        [ -z "$port" ] || return 0
        sleep 0.1
    done
    say "the server does not begin"
    return 1
}

# Small mailboxes and small buffers, so that the client that does not read loses something soon.
load() {
    say "load: $clients clients"
    if ! (ulimit -n $((clients + 200))) 2>/dev/null; then
        skip "load: only $(ulimit -Hn) descriptors are allowed here"
        return
    fi
    if start_server --max-devices $((clients + 1)) --max-connections $((clients + 100)) --max-buffer 32 --send-buffer 4096 &&
        "$dir/gcc/examples/server/load" "$port" "$server" "$clients" "$messages" 400 >"$scratch/load"; then
        pass
    else
        fail "load"
    fi
    sed 's/^/figure: /' "$scratch/load"
    kill "$server"
    wait "$server" || fail "load: the server's exit status is $?"
}

# The command that the READMEs name.
run_by_hand() {
    say "examples/run.sh server"
    sh "$root/examples/run.sh" server --port 0 >"$scratch/hand" 2>&1 &
    hand=$!
    command=
    for _ in $(seq 600); do
        command=$(sed -n 's/^try: *\(curl .*\)/\1 -s/p' "$scratch/hand")
        [ -z "$command" ] || break
        kill -0 "$hand" 2>/dev/null || break
        sleep 0.1
    done
    if sh -c "${command:-false}" | tee "$scratch/answer" && grep -q '"delivered":0' "$scratch/answer" &&
        kill "$hand" && wait "$hand"; then
        pass
    else
        cat "$scratch/hand"
        fail "examples/run.sh server"
    fi
}

need_server
need clang compiles clang
need curl command -v curl
need python3 command -v python3
need python3-websockets find_python
install_missing || true
if ! pkg-config --exists libwebsockets jansson || ! find_python; then
    skip "this system has no libwebsockets, jansson, or websockets for Python"
    finish
fi

if with_build gcc -DCMAKE_C_COMPILER=gcc; then
    server=$dir/gcc/examples/server/push-server
    count "tests" "$root/tests/server/test_server.py" "$server" "$root/examples/server/www"
    count "commands in the README" "$root/tests/server/readme.py" "$server" "$root/examples/server/www" \
        "$root/examples/server/README.md"
    load
fi
if with_build gcc-address -DCMAKE_C_COMPILER=gcc -DPUSH_SANITIZE=address,undefined; then
    count "tests under the address and undefined behaviour sanitizers" "$root/tests/server/test_server.py" \
        "$dir/gcc-address/examples/server/push-server" "$root/examples/server/www"
fi
if with_build clang -DCMAKE_C_COMPILER=clang; then
    pass
fi
run_by_hand
finish
