#!/bin/sh
# sh tests/histories/run.sh [--all]: what real threads saw, checked against a sequential specification: each mailbox's
# calls for linearizability, each session's pushes for one order. The checker is tried on histories made by hand
# first. Plain, and under the thread sanitizer. --all records more. A history that fails is left in build/histories*.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
times=1
[ -z "$extent" ] || times=4

folder=$root/tests/histories

# quietly COMMAND...: what it prints is for figures(), and shown where it fails.
quietly() {
    "$@" >"$scratch/out" 2>&1 && return 0
    tail -n 200 "$scratch/out"
    say "again: $*"
    return 1
}

# figures NAME: of the last check.
figures() {
    sed -n "s/^figure: /figure: $1: /p" "$scratch/out"
}

# layer NAME MAILBOX-HISTORIES SESSION-HISTORIES [CMAKE-OPTION...]
layer() {
    name=$1
    mailboxes=$2
    sessions=$3
    shift 3
    dir=$root/build/histories-$name
    say "$name: building"
    if ! build "$dir" -DCMAKE_C_COMPILER=gcc -DPUSH_WERROR=ON -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=OFF \
        -DPUSH_INSTALL=OFF "$@"; then
        fail "$name: the build"
        return
    fi
    programs=$dir/tests/histories
    seed=$(date +%s)
    cd "$dir"
    say "$name: recording from seed $seed on"
    check "the checker, with good histories" quietly "$programs/history_check" "$folder"/good/*.txt
    check "the checker, with bad histories" quietly "$programs/history_check" -n "$folder"/bad/*.txt
    # shellcheck disable=SC2086 # a list of words
    check "recording of mailboxes" quietly $no_aslr "$programs/histories" mailbox "$mailboxes" "$seed"
    figures "$name"
    # shellcheck disable=SC2086 # a list of words
    check "recording of sessions" quietly $no_aslr "$programs/histories" session "$sessions" "$seed"
    figures "$name"
}

need_test_tools
install_missing

export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

targets="history_check histories"
echo "figure: histories made by hand: $(find "$folder/good" "$folder/bad" -type f | wc -l)"
layer plain $((4000 * times)) $((8000 * times))
layer thread $((2000 * times)) $((3000 * times)) -DPUSH_SANITIZE=thread

finish
