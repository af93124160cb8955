#!/bin/sh
# sh tests/run.sh [--all]: installs what it misses, builds the library and its tests, and runs them: with gcc and
# clang, under the sanitizers, and the layers of tests/README.md: a share of each, or, with --all, all of it. What they
# counted goes to build/figures.txt. The last line is the total.
. "$(dirname -- "$0")/../tests/lib.sh"

extent_of "$@"

# suite NAME COMPILER [CMAKE-OPTION...]: a build of its own, and all tests in it.
suite() {
    name=$1
    compiler=$2
    shift 2
    say "$name: building"
    if build "$root/build/$name" -DCMAKE_C_COMPILER="$compiler" -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=ON \
        -DPUSH_INSTALL=ON -DPUSH_WERROR=ON "$@"; then
        say "$name: testing"
        run_ctest "$root/build/$name"
    else
        fail "$name: the build"
    fi
}

# layer NAME: tests/NAME/run.sh, which ends with its total, and prints what it counted in lines that begin with
# "figure: ".
layer() {
    say "$1"
    log=$root/build/$1.log
    rm -f "$scratch/failed"
    # shellcheck disable=SC2086 # --all, or nothing
    { sh "$root/tests/$1/run.sh" $extent </dev/null 2>&1 || : >"$scratch/failed"; } | tee "$log"
    before=$failed
    add_total "$log" || fail "$1: no result"
    [ "$failed" -gt "$before" ] || [ ! -e "$scratch/failed" ] || fail "$1"
    sed -n "s/^figure: /$1: /p" "$log" >>"$root/build/figures.txt"
}

# Once more, where it is found: all that the logs of this run say of failures.
list_failures() {
    say "what failed"
    find "$root/build" -maxdepth 2 -newer "$scratch/begun" \( -name ctest.log -o -path "$root/build/*.log" \) \
        -exec grep -HE "$failure" {} + | sed "s:^$root/build/::" | grep -vE '[0-9]+ passed, 0 failed' | head -n 100
}
failure='^== failed|^not taken|^(fail|FAIL|not ok) |\*\*\*(Failed|Timeout|Exception|Not Run)|^\[  FAILED|[Ee]rror: |ERROR: |WARNING: '
failure="$failure|^SUMMARY: |survives"

# The rules in .clang-format mean what version 14 makes of them; others differ in details.
check_format() {
    say "checking the format of the sources"
    for clang_format in clang-format-14 clang-format; do
        case $("$clang_format" --version 2>/dev/null) in
        *'version 14.'*)
            check "the format" find "$root/include" "$root/src" "$root/tests" "$root/examples" \
                \( -name '*.[ch]' -o -name '*.[ch]pp' \) -exec "$clang_format" --dry-run -Werror {} +
            return
            ;;
        esac
    done
    skip "this system has no clang-format 14"
}

need_test_tools
need g++ compiles g++ -x c++
need clang compiles clang
need libuv1-dev pkg-config --exists libuv
need libmicrohttpd-dev pkg-config --exists libmicrohttpd
need curl command -v curl
need python3 command -v python3
install_missing
sanitizer_of_clang address
if ! command -v clang-format-14 >/dev/null && apt-cache show clang-format-14 >/dev/null 2>&1; then
    install clang-format-14
fi

: >"$scratch/begun"
mkdir -p "$root/build"
: >"$root/build/figures.txt"

check_format
suite gcc gcc
suite clang clang
suite gcc-address gcc -DPUSH_SANITIZE=address,undefined
suite gcc-thread gcc -DPUSH_SANITIZE=thread
suite clang-thread clang -DPUSH_SANITIZE=thread

for name in explore coverage sanitize fuzz histories storm soak elsewhere planted \
    bindings docs abi packages server browser nats cluster; do
    layer "$name"
done
say "bench: a smoke round"
# What is measured means nothing in so short a round; but everything must arrive.
check "a smoke round of the benchmarks" sh "$root/tests/bench.sh" --smoke </dev/null

[ "$failed" -eq 0 ] || list_failures
[ ! -s "$root/build/figures.txt" ] || { say "what was counted" && cat "$root/build/figures.txt"; }
finish
