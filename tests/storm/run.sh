#!/bin/sh
# sh tests/storm/run.sh [--all]: threads that make random calls while they are cancelled, signalled and forked, without
# descriptors and with clocks that jump; plain, and under the sanitizers. Ids chosen to fall together. --all runs longer.
# STORM_SEED is where the seeds begin (the time, unless given); a failure prints the command that repeats it.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
rounds=40 sanitized=12
[ -z "$extent" ] || rounds=150 sanitized=50

dir=$root/build/storm
seed=${STORM_SEED:-$(date +%s)}

# run NAME ROUNDS PROGRAM
run() {
    say "$1: STORM_SEED=$seed STORM_ROUNDS=$2 $3"
    if STORM_SEED=$seed STORM_ROUNDS=$2 "$3" >"$dir/$1.log" 2>&1; then
        pass
        sed -n "s/^figure: /figure: $1: /p" "$dir/$1.log"
    else
        cat "$dir/$1.log"
        fail "$1. Again: STORM_SEED=$seed STORM_ROUNDS=$2 $3"
    fi
}

# storm NAME COMPILER [CMAKE-OPTION...]: all of $targets, of a build of their own.
storm() {
    name=$1
    compiler=$2
    shift 2
    say "$name: building"
    if ! build "$dir/$name" -DCMAKE_C_COMPILER="$compiler" -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=OFF \
        -DPUSH_INSTALL=OFF -DPUSH_WERROR=ON "$@"; then
        fail "$name: the build"
        return
    fi
    run "$name" "$rounds" "$dir/$name/tests/storm/storm"
}

need_test_tools
need clang compiles clang
install_missing

# Cancellation leaves frames of which the address sanitizer does not know: its own work at the end of a thread, on a
# stack for signals of its own making, would stumble over them.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:use_sigaltstack=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

# shellcheck disable=SC2034 # build() reads it
targets='storm flood'
storm plain gcc
[ ! -x "$dir/plain/tests/storm/flood" ] || run flood 1 "$dir/plain/tests/storm/flood"
# shellcheck disable=SC2034 # build() reads it
targets=storm
rounds=$sanitized
storm address gcc -DPUSH_SANITIZE=address,undefined
storm thread gcc -DPUSH_SANITIZE=thread
storm clang-thread clang -DPUSH_SANITIZE=thread

finish
