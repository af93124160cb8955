#!/bin/sh
# sh tests/bindings/run.sh [--all]: the ways to the library that are not C from the build folder. The amalgamation, with the
# whole suite run against it; pipes in the place of eventfd; C++, where each function of push.hpp is called; Python; and the
# examples that need a library of somebody else's. Without --all: one build for all of it. With --all: the amalgamation and the
# pipes each alone, by gcc or clang, and under a sanitizer.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"

dir=$root/build/bindings

# suite NAME COMPILER [CMAKE-OPTION...]: a build of its own, and all tests in it; what must not be missing is in $present.
suite() {
    name=$1
    compiler=$2
    shift 2
    say "$name: building"
    if ! build "$dir/$name" -DCMAKE_C_COMPILER="$compiler" -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=ON -DPUSH_INSTALL=ON \
        -DPUSH_WERROR=ON "$@"; then
        fail "$name: the build"
        return
    fi
    say "$name: testing"
    run_ctest "$dir/$name"
    log=$dir/$name/ctest.log
    echo "figure: $name: programs run: $ran"
    for test in $present; do
        grep -q " $test \.*" "$log" || fail "$name: $test is not there"
    done
}

# Each function of push.hpp is called by its test.
check_functions() {
    say "push.hpp: which functions its test calls"
    mkdir -p "$dir/functions"
    (
        cd "$dir/functions" && rm -f ./*.gcda &&
            g++ -std=c++17 -O0 --coverage -fkeep-inline-functions -I"$root/include" -c "$root/tests/cpp/test_cpp.cpp" &&
            g++ -std=c++17 -I"$root/include" -c "$root/tests/cpp/check.cpp" &&
            gcc -std=c11 -I. -c "$dir/$1/amalgamation/push.c" &&
            g++ --coverage test_cpp.o check.o push.o -lcmocka -pthread -o test_cpp && ./test_cpp >test.log 2>&1 &&
            gcov --stdout --json-format test_cpp.gcda >functions.json && python3 "$root/tests/cpp/functions.py" <functions.json
    ) && rc=0 || rc=1
    check "push.hpp: functions that are not called" [ "$rc" -eq 0 ]
}

# Every source but the waker, whose pipe2 is in POSIX.1-2024 only, gets on with what POSIX.1-2008 declares. (getrandom, in a
# header of its own, is no part of it.)
check_posix() {
    say "what the sources call beyond POSIX"
    rc=0
    for source in "$root"/src/*.c; do
        [ "${source##*/}" = waker.c ] || gcc -std=c11 -D_POSIX_C_SOURCE=200809L -DPUSH_BUILD -Wall -Wextra -Wpedantic -Werror \
            -I"$root/include" -c "$source" -o "$scratch/posix.o" || rc=1
    done
    check "sources that need more than POSIX.1-2008 declares" [ "$rc" -eq 0 ]
}

# The Python module, on a library that watches its memory. Leaks are seen by the test itself; Python has its own.
check_python_memory() {
    say "Python: under the address sanitizer"
    PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$(gcc -print-file-name=libasan.so) \
        PUSH_LIBRARY=$dir/amalgamation-address/libpush.so PUSH_HEADER=$root/include/push/push.h \
        python3 -B -W error "$root/tests/python/test_push.py" </dev/null && rc=0 || rc=1
    check "Python under the address sanitizer" [ "$rc" -eq 0 ]
}

# The clang sanitizers' runtime comes in a package of its own.
need_clang() {
    need clang compiles clang
    install_missing
    compiles clang -fsanitize=thread || install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
}

need_build_tools
need g++ compiles g++ -x c++
need pkg-config command -v pkg-config
need libcmocka-dev pkg-config --exists cmocka
need libuv1-dev pkg-config --exists libuv
need libmicrohttpd-dev pkg-config --exists libmicrohttpd
need curl command -v curl
need python3 command -v python3
install_missing
[ -z "$extent" ] || need_clang

examples="example_libuv_loop example_libmicrohttpd_sse"
python="python_test_push python_test_example"
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    skip "Python: it is older than 3.10"
    python=
fi

if [ -z "$extent" ]; then
    present="amalgamation test_waker test_cpp17 test_cpp20 install_header $python $examples"
    suite amalgamation-pipe gcc -DPUSH_AMALGAMATION=ON -DPUSH_USE_PIPE=ON
    check_functions amalgamation-pipe
else
    present="amalgamation test_waker test_cpp17 test_cpp20 install_header $python $examples"
    suite amalgamation gcc -DPUSH_AMALGAMATION=ON
    check_functions amalgamation
    suite pipe clang -DPUSH_USE_PIPE=ON
    present="test_waker test_cpp17 test_cpp20 $examples"
    suite amalgamation-address gcc -DPUSH_AMALGAMATION=ON -DPUSH_SANITIZE=address,undefined
    suite pipe-thread clang -DPUSH_USE_PIPE=ON -DPUSH_SANITIZE=thread
    [ -z "$python" ] || check_python_memory
fi
check_posix
skip "the amalgamation: test_alloc, test_waker_pipe: each brings a file of src/ in the place of the library's, which is one file"
skip "the amalgamation, and pipes: the explorer: it compiles src/ itself, on a model of eventfd"

finish
