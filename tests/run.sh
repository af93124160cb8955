#!/bin/sh
# sh tests/run.sh [--all]: installs what it misses, builds the library and its tests, and runs them: with gcc and
# clang, under the sanitizers, and the layers of tests/README.md: a share of each, or, with --all, all of it. What they
# counted goes to build/figures.txt. The last line is the total.
. "$(dirname -- "$0")/../tests/lib.sh"

case ${1-} in
'' | --all) extent=${1-} ;;
*)
    echo "usage: sh tests/run.sh [--all]" >&2
    exit 2
    ;;
esac

passed=0
failed=0
skipped=0

# add PASSED FAILED SKIPPED
add() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
}

# run_ctest DIR: adds its result to the total. Without a result, or without a test, it has failed.
run_ctest() {
    (cd "$1" && $no_aslr ctest --output-on-failure --parallel "$jobs" </dev/null 2>&1) | tee "$1/ctest.log"
    summary=$(sed -n 's/.*tests passed, \([0-9]*\) tests* failed out of \([0-9]*\)$/\1 \2/p' "$1/ctest.log")
    if [ -z "$summary" ]; then
        say "no result from ctest"
        add 0 1 0
        return
    fi
    skips=$(grep -c '\*\*\*Skipped' "$1/ctest.log" || true)
    add $((${summary#* } - ${summary% *} - skips)) "${summary% *}" "$skips"
}

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
        say "$name: the build failed"
        add 0 1 0
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
    total=$(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed\(, \([0-9]*\) skipped\)*$/\1 \2 \4/p')
    if [ -z "$total" ]; then
        say "$1: no result"
        add 0 1 0
        return
    fi
    # shellcheck disable=SC2086 # two numbers or three
    set -- "$1" $total
    add "$2" "$3" "${4:-0}"
    [ "$3" -gt 0 ] || [ ! -e "$scratch/failed" ] || add 0 1 0
    sed -n "s/^figure: /$1: /p" "$log" >>"$root/build/figures.txt"
}

# What is measured means nothing in so short a round; but everything must arrive.
smoke() {
    say "bench: a smoke round"
    if sh "$root/tests/bench.sh" --smoke </dev/null; then
        add 1 0 0
    else
        add 0 1 0
    fi
}

# The rules in .clang-format mean what version 14 makes of them; others differ in details.
check_format() {
    say "checking the format of the sources"
    for clang_format in clang-format-14 clang-format; do
        case $("$clang_format" --version 2>/dev/null) in
        *'version 14.'*)
            if find "$root/include" "$root/src" "$root/tests" "$root/examples" -name '*.[ch]' \
                -exec "$clang_format" --dry-run -Werror {} +; then
                add 1 0 0
            else
                add 0 1 0
            fi
            return
            ;;
        esac
    done
    say "skipped: this system has no clang-format 14"
    add 0 0 1
}

need_build_tools
need g++ compiles g++ -x c++
need clang compiles clang
need pkg-config command -v pkg-config
need libcmocka-dev pkg-config --exists cmocka
install_missing
if ! compiles clang -fsanitize=address; then
    install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
fi
if ! command -v clang-format-14 >/dev/null && apt-cache show clang-format-14 >/dev/null 2>&1; then
    install clang-format-14
fi

# The thread sanitizer's memory layout allows for 28 random bits of the addresses that mmap gives.
no_aslr=
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch "$(uname -m)" -R true 2>/dev/null; then
    no_aslr="setarch $(uname -m) -R"
fi

mkdir -p "$root/build"
: >"$root/build/figures.txt"

check_format
suite gcc gcc
suite clang clang
suite gcc-address gcc -DPUSH_SANITIZE=address,undefined
suite gcc-thread gcc -DPUSH_SANITIZE=thread
suite clang-thread clang -DPUSH_SANITIZE=thread

for name in explore coverage fuzz histories storm soak; do
    layer "$name"
done
# Not each of its faults is caught yet: a sample of them would fail now and then.
[ -z "$extent" ] || layer planted
smoke

[ ! -s "$root/build/figures.txt" ] || { say "what was counted" && cat "$root/build/figures.txt"; }
total="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || total="$total, $skipped skipped"
echo "$total"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
