#!/bin/sh
# sh tests/cluster/run.sh [--all]: notification servers that share their users over NATS: what examples/cluster promises, test by
# test, with nats-servers that are killed and started again, as it is and under the sanitizers; tabs on two servers, in Chromium;
# and the command of the README. --all: the tests three times over.
. "$(dirname -- "$0")/../lib.sh"
. "$root/tests/browser/lib.sh"

extent_of "$@"
rounds=1
[ -z "$extent" ] || rounds=3
dir=$root/build/cluster-tests
here=$root/tests/cluster
export PYTHONDONTWRITEBYTECODE=1

# run_tests NAME [CMAKE-OPTION...]: the tests with a build of their own.
run_tests() {
    name=$1
    shift
    say "$name: building"
    if ! build_server "$dir/$name" -DPUSH_BUILD_NATS=ON -DPUSH_INSTALL=OFF -DPUSH_WERROR=ON "$@"; then
        fail "$name: the build"
        return
    fi
    for round in $(seq "$rounds"); do
        run_round
    done
}

run_round() {
    say "$name: testing, round $round"
    # shellcheck disable=SC2086 # a command, or nothing
    { $no_aslr "$python" "$here/test_cluster.py" "$dir/$name/examples/server/push-server" "$root/examples/server/www" 2>&1 </dev/null ||
        true; } | tee "$scratch/log"
    add_total "$scratch/log" || fail "$name: no result"
    [ "$round" -gt 1 ] || echo "figure: $name: $(tail -n 1 "$scratch/log")"
}

tabs() {
    say "tabs on two servers"
    if ! have_browser; then
        skip "this system has no Chromium, or no Node.js from version 18 on"
    elif ! install_packages; then
        skip "playwright-core is not to be had here"
    elif ! start_nats "$scratch/nats"; then
        fail "nats-server does not begin"
    else
        NATS_URL=$nats_url
        export NATS_URL
        run_browser "$dir/gcc/examples/server/push-server" "$here/browser.js"
        kill "$nats"
        wait "$nats" || true
    fi
}

# The command that the README names: what it prints works, and with it end those that it started.
by_hand() {
    say "examples/run.sh cluster"
    sh "$root/examples/run.sh" cluster --jetstream >"$scratch/hand" 2>&1 &
    hand=$!
    for _ in $(seq 1200); do
        ! grep -q '^one more server:' "$scratch/hand" || break
        kill -0 "$hand" 2>/dev/null || break
        sleep 0.1
    done
    processes=$(sed -n 's/.*(process \([0-9]*\))$/\1/p; s/^NATS gone: *kill //p' "$scratch/hand" | tr '\n' ' ')
    sed -n 's/^\(try:\)\{0,1\} *curl/curl/p' "$scratch/hand" >"$scratch/commands"
    if sh "$scratch/commands" 2>/dev/null | tee "$scratch/answers" && [ "$(wc -l <"$scratch/commands")" -eq 2 ] &&
        [ "$(grep -c '"published":true' "$scratch/answers")" -eq 2 ] && kill "$hand" && wait "$hand" &&
        [ "$(echo "$processes" | wc -w)" -eq 3 ] && ! eval "kill -0 $processes" 2>/dev/null; then
        pass
    else
        kill "$hand" 2>/dev/null || true
        cat "$scratch/hand"
        fail "examples/run.sh cluster"
    fi
}

need_server
need_nats
need_browser
need python3 command -v python3
need python3-websockets find_python
install_missing || true
if ! pkg-config --exists libwebsockets jansson || ! has_nats || ! find_python; then
    skip "this system has no libwebsockets, jansson, libnats 3.4, libcrypto, or websockets for Python"
    finish
fi
if ! find_nats_server; then
    skip "this system has no nats-server"
    finish
fi

run_tests gcc -DCMAKE_C_COMPILER=gcc
run_tests gcc-address -DCMAKE_C_COMPILER=gcc -DPUSH_SANITIZE=address,undefined
run_tests gcc-thread -DCMAKE_C_COMPILER=gcc -DPUSH_SANITIZE=thread
tabs
by_hand
finish
