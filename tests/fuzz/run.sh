#!/bin/sh
# sh tests/fuzz/run.sh [--all]: random sequences of API calls, compared with a model. Replays the corpus, then lets
# libFuzzer look for more, under the address and undefined-behaviour sanitizers; without libFuzzer, random inputs.
# --all looks longer. An input that fails is left in build/fuzz; its calls are printed.
. "$(dirname -- "$0")/../lib.sh"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

case ${1-} in
'') runs=100000 ;;
--all) runs=1000000 ;;
*)
    echo "usage: sh tests/fuzz/run.sh [--all]" >&2
    exit 2
    ;;
esac

passed=0
failed=0
skipped=0
corpus=$root/tests/fuzz/corpus
dir=$root/build/fuzz
programs=$dir/tests/fuzz

result() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

has_libfuzzer() {
    printf '#include <stddef.h>\nint LLVMFuzzerTestOneInput(const char *p, size_t n) { return !p && n; }\n' \
        >"$scratch/fuzzer.c"
    clang -fsanitize=fuzzer,address "$scratch/fuzzer.c" -o "$scratch/fuzzer" >/dev/null 2>&1
}

need_build_tools
need clang compiles clang
need pkg-config command -v pkg-config
need libcmocka-dev pkg-config --exists cmocka
install_missing
if ! has_libfuzzer; then
    install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev" || true
fi

compiler=gcc
sanitize=address,undefined
targets=fuzz_replay
if has_libfuzzer; then
    compiler=clang
    sanitize=fuzzer-no-link,$sanitize
    targets="fuzz_replay fuzz"
fi
say "building with $compiler"
if ! build "$dir" -DCMAKE_C_COMPILER=$compiler -DPUSH_SANITIZE=$sanitize -DPUSH_WERROR=ON -DPUSH_BUILD_TESTS=ON \
    -DPUSH_BUILD_EXAMPLES=OFF -DPUSH_INSTALL=OFF; then
    echo "0 passed, 1 failed"
    exit 1
fi
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

say "replaying the corpus"
rc=0
"$programs/fuzz_replay" "$corpus" >"$dir/replay.log" 2>&1 || rc=$?
cat "$dir/replay.log"
[ "$rc" -eq 0 ] || say "again: for each file in tests/fuzz/corpus, $programs/fuzz_replay -v FILE"
result "$rc"
echo "figure: inputs in the corpus: $(find "$corpus" -type f | wc -l)"
echo "figure: bytes in the corpus: $(cat "$corpus"/* | wc -c)"

if [ $compiler = gcc ]; then
    say "skipped: no libFuzzer here. Random inputs instead"
    skipped=$((skipped + 1))
    seed=$(date +%s)
    say "$programs/fuzz_replay -r $((runs / 4)) $seed"
    rc=0
    "$programs/fuzz_replay" -r $((runs / 4)) "$seed" || rc=$?
    result "$rc"
    echo "figure: random sequences: $((runs / 4))"
else
    say "fuzzing"
    rm -rf "$dir/found" "$dir"/crash-* "$dir"/leak-* "$dir"/timeout-*
    mkdir -p "$dir/found"
    rc=0
    "$programs/fuzz" -runs="$runs" -max_len=1000 -timeout=30 -print_final_stats=1 -artifact_prefix="$dir/" \
        "$dir/found" "$corpus" >"$dir/fuzz.log" 2>&1 || rc=$?
    if [ "$rc" -ne 0 ]; then
        # libFuzzer's own account begins after the calls.
        grep -v -e '^#[0-9]' -e '^INFO' "$dir/fuzz.log" | tail -n 400
        for input in "$dir"/crash-* "$dir"/leak-* "$dir"/timeout-*; do
            [ -f "$input" ] && say "again: $programs/fuzz_replay -v $input"
        done
    fi
    result "$rc"
    last=$(grep '^#[0-9].*DONE' "$dir/fuzz.log" || true)
    field() { echo "$last" | sed -n "s/.* $1: \([0-9]*\).*/\1/p"; }
    echo "figure: sequences: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/fuzz.log")"
    echo "figure: sequences a second: $(sed -n 's/^stat::average_exec_per_sec: *//p' "$dir/fuzz.log")"
    echo "figure: edges of the library covered: $(field cov)"
    echo "figure: edges there are, the sanitizers' checks included: $(sed -n 's/^INFO: Loaded 1 PC tables (\([0-9]*\) PCs).*/\1/p' "$dir/fuzz.log")"
    echo "figure: features: $(field ft)"
fi

total="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || total="$total, $skipped skipped"
echo "$total"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
