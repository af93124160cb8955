#!/bin/sh
# sh tests/nats/run.sh [--all]: libpush-nats: its tests, which start nats-servers on loopback, plain and under the thread
# sanitizer, and a round of its benchmark. --all: all of them under both sanitizers, and the benchmark at full length.
# libnats comes from the distribution; so does nats-server, where there is none, but it is only unpacked, not installed:
# installed, it would run as a service.
. "$(dirname -- "$0")/../lib.sh"
dir=$root/build/nats

extent_of "$@"

# The end, where there is no NATS: this layer is skipped, whole.
skip_all() {
    skip "libpush-nats: $*"
    finish
}

# run_suite NAME REGEX [CMAKE-OPTION...]: a build of its own, and those of its tests whose names match.
run_suite() {
    name=$1 regex=$2
    shift 2
    say "$name: building"
    if ! build "$dir/$name" -DPUSH_BUILD_NATS=ON -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=OFF -DPUSH_WERROR=ON "$@"; then
        fail "$name: the build"
        return
    fi
    say "$name: testing"
    run_ctest "$dir/$name" -R "$regex"
    echo "figure: $name: programs run: $ran"
    echo "figure: $name: tests in them: $(cmocka_tests "$dir/$name")"
}

# bench LEVEL SCALE
bench() {
    say "bench: level $1"
    rc=1
    if start_nats "$scratch/$1"; then
        rc=0
        timeout 300 "$dir/plain/tests/nats/nats_bench" "$nats_url" "$nats" "$1" "$2" || rc=$?
        kill "$nats"
        wait "$nats" || true
    fi
    check "bench: level $1" [ $rc -eq 0 ]
}

need_test_tools
need_nats
need g++ compiles g++ -x c++
need clang compiles clang
install_missing || true
pkg-config --exists 'libnats >= 3.4' 2>/dev/null || skip_all "this system has no libnats 3.4"
mkdir -p "$dir"
find_nats_server || skip_all "this system has no nats-server"
say "nats-server: $("$NATS_SERVER" --version), libnats $(pkg-config --modversion libnats)"

# The libraries and the tests of this folder; the core's own tests are tests/run.sh's.
targets="push push_static push_nats nats_tests nats_bench"
run_suite plain '^(test_nats_|install_nats)' -DPUSH_INSTALL=ON
if [ -n "$extent" ]; then
    thread=^test_nats_
else
    thread='^test_nats_(churn|parts)'
fi
targets="nats_tests"
run_suite thread "$thread" -DCMAKE_C_COMPILER=clang -DPUSH_SANITIZE=thread -DPUSH_INSTALL=OFF
if [ -n "$extent" ]; then
    run_suite address ^test_nats_ -DPUSH_SANITIZE=address,undefined -DPUSH_INSTALL=OFF
    bench core 1
    bench stream 10
else
    bench core 20
    bench stream 100
fi

finish
