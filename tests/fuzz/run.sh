#!/bin/sh
# sh tests/fuzz/run.sh [--all]: random sequences of API calls, compared with a model. Replays the corpus, then lets
# libFuzzer look for more, under the address and undefined-behaviour sanitizers; without libFuzzer, random inputs.
# --all looks longer. An input that fails is left in build/fuzz; its calls are printed.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
runs=100000
[ -z "$extent" ] || runs=350000

corpus=$root/tests/fuzz/corpus
dir=$root/build/fuzz
programs=$dir/tests/fuzz

has_libfuzzer() {
    printf '#include <stddef.h>\nint LLVMFuzzerTestOneInput(const char *p, size_t n) { return !p && n; }\n' \
        >"$scratch/fuzzer.c"
    clang -fsanitize=fuzzer,address "$scratch/fuzzer.c" -o "$scratch/fuzzer" >/dev/null 2>&1
}

need_test_tools
need clang compiles clang
install_missing
sanitizer_of_clang fuzzer

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
    fail "the build"
    finish
fi
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

say "replaying the corpus"
rc=0
"$programs/fuzz_replay" "$corpus" >"$dir/replay.log" 2>&1 || rc=$?
cat "$dir/replay.log"
[ "$rc" -eq 0 ] || say "again: for each file in tests/fuzz/corpus, $programs/fuzz_replay -v FILE"
check "the corpus" [ "$rc" -eq 0 ]
echo "figure: inputs in the corpus: $(find "$corpus" -type f | wc -l)"
echo "figure: bytes in the corpus: $(cat "$corpus"/* | wc -c)"

if [ $compiler = gcc ]; then
    skip "no libFuzzer here. Random inputs instead"
    seed=$(date +%s)
    say "$programs/fuzz_replay -r $((runs / 4)) $seed"
    rc=0
    "$programs/fuzz_replay" -r $((runs / 4)) "$seed" || rc=$?
    check "random inputs" [ "$rc" -eq 0 ]
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
    check "fuzzing" [ "$rc" -eq 0 ]
    last=$(grep '^#[0-9].*DONE' "$dir/fuzz.log" || true)
    field() { echo "$last" | sed -n "s/.* $1: \([0-9]*\).*/\1/p"; }
    echo "figure: sequences: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/fuzz.log")"
    echo "figure: sequences a second: $(sed -n 's/^stat::average_exec_per_sec: *//p' "$dir/fuzz.log")"
    echo "figure: edges of the library covered: $(field cov)"
    echo "figure: edges there are, the sanitizers' checks included: $(sed -n 's/^INFO: Loaded 1 PC tables (\([0-9]*\) PCs).*/\1/p' "$dir/fuzz.log")"
    echo "figure: features: $(field ft)"
fi

finish
