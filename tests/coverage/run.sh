#!/bin/sh
# sh tests/coverage/run.sh [--all]: which lines and branches of src/ the tests take, as gcc and gcovr count them, and
# which conditions decide on their own (MC/DC), as clang 19 counts them. Less than all of them fails, and is listed.
# --all runs the tests' long versions.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
definitions=-DSANITIZER_SLOWDOWN=4
[ -z "$extent" ] || definitions=

dir=$root/build/coverage
targets=push_tests
here=$root/tests/coverage

# build_tests NAME COMPILER WRITE-COUNTERS FLAG...: the test programs, with counters, in $dir/NAME. Without optimization,
# so that each branch of the source is one of the program; and no counts are lost between threads.
build_tests() {
    build_dir=$dir/$1
    compiler=$2
    writer=$3
    shift 3
    mkdir -p "$build_dir"
    say "$compiler: building"
    "$compiler" -std=c11 -O1 -fPIC -DWRITE_COUNTERS="$writer" -c "$here/dump.c" -o "$build_dir/dump.o" &&
        build "$build_dir" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=None -DPUSH_BUILD_EXAMPLES=OFF \
            -DPUSH_INSTALL=OFF -DCMAKE_C_FLAGS="-O0 -g $* -fprofile-update=atomic $definitions" \
            -DCMAKE_EXE_LINKER_FLAGS="$build_dir/dump.o" -DCMAKE_SHARED_LINKER_FLAGS="$build_dir/dump.o"
}

run_tests() {
    (cd "$dir/$1" && ctest --output-on-failure --parallel "$jobs" -R '^test_' </dev/null)
}

# ---- Lines and branches ----

# gcovr_json FILE [OPTION...]
gcovr_json() {
    file=$1
    shift
    gcovr --root "$root" --filter "$root/src/" --json "$file" "$@" "$dir/gcc"
}

lines_and_branches() {
    build_tests gcc gcc __gcov_dump --coverage || return 1
    find "$dir/gcc" -name '*.gcda' -delete
    check "the tests with gcc's counters" run_tests gcc
    # The second time without regard to the marks: the difference is what they exclude.
    if ! gcovr_json "$dir/marked.json" || ! gcovr_json "$dir/whole.json" --exclude-pattern-prefix NOTHING; then
        return 1
    fi
    check "all lines and branches" python3 "$here/report.py" gcovr "$root" "$dir/marked.json" "$dir/whole.json"
    check "what nobody takes is found" finds_a_hole
}

# The counters of one program are left out: the branches that it alone takes must be missed.
finds_a_hole() {
    gcovr_json "$dir/hole.json" --exclude-directories '.*/test_alloc\.dir.*' || return 1
    ! python3 "$here/report.py" gcovr "$root" "$dir/hole.json" "$dir/hole.json" >"$dir/hole.log" &&
        grep -q '^not taken: .*: src/alloc.c:' "$dir/hole.log"
}

# ---- MC/DC ----

mcdc() {
    build_tests clang clang-19 __llvm_profile_write_file -fprofile-instr-generate -fcoverage-mapping \
        -fcoverage-mcdc || return 1
    rm -rf "$dir/clang/profile"
    export LLVM_PROFILE_FILE="$dir/clang/profile/%4m.profraw"
    check "the tests with clang's counters" run_tests clang
    llvm-profdata-19 merge -sparse "$dir"/clang/profile/*.profraw -o "$dir/clang/profile.data" || return 1
    set --
    for program in "$dir"/clang/tests/test_*; do
        [ ! -f "$program" ] || [ ! -x "$program" ] || set -- "$@" -object "$program"
    done
    llvm-cov-19 export -instr-profile "$dir/clang/profile.data" "$dir/clang/libpush.so" "$@" "$root"/src/*.[ch] \
        >"$dir/mcdc.json" || return 1
    check "all conditions" python3 "$here/report.py" llvm "$root" "$dir/mcdc.json"
}

need_test_tools
need gcovr command -v gcovr
install_missing
has_clang_19() {
    compiles clang-19 -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc &&
        command -v llvm-cov-19 && command -v llvm-profdata-19
}
if ! has_clang_19 >/dev/null && apt-cache show clang-19 llvm-19 libclang-rt-19-dev >/dev/null 2>&1; then
    install clang-19 llvm-19 libclang-rt-19-dev
fi

mkdir -p "$dir"
lines_and_branches || check "counting lines and branches" false
if has_clang_19 >/dev/null; then
    mcdc || check "counting conditions" false
else
    skip "MC/DC: this system has no clang 19"
fi

finish
