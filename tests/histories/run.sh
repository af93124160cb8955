#!/bin/sh
# sh tests/histories/run.sh [--all]: what real threads saw, checked against a sequential specification: each mailbox's
# calls for linearizability, each session's pushes for one order. The checker is tried on histories made by hand
# first. Plain, and under the thread sanitizer. --all records more. A history that fails is left in build/histories*.
. "$(dirname -- "$0")/../lib.sh"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

case ${1-} in
'') times=1 ;;
--all) times=8 ;;
*)
    echo "usage: sh tests/histories/run.sh [--all]" >&2
    exit 2
    ;;
esac

passed=0
failed=0
folder=$root/tests/histories

# check WHAT COMMAND...: one that passes or fails.
check() {
    what=$1
    shift
    rc=0
    "$@" >"$scratch/out" 2>&1 || rc=$?
    if [ "$rc" -eq 0 ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    tail -n 200 "$scratch/out"
    say "$what failed: $*"
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
        failed=$((failed + 1))
        return
    fi
    programs=$dir/tests/histories
    seed=$(date +%s)
    cd "$dir"
    say "$name: recording from seed $seed on"
    check "the checker, with good histories," "$programs/history_check" "$folder"/good/*.txt
    check "the checker, with bad histories," "$programs/history_check" -n "$folder"/bad/*.txt
    # shellcheck disable=SC2086 # a list of words
    check "recording" $no_aslr "$programs/histories" mailbox "$mailboxes" "$seed"
    figures "$name"
    # shellcheck disable=SC2086 # a list of words
    check "recording" $no_aslr "$programs/histories" session "$sessions" "$seed"
    figures "$name"
}

need_build_tools
need pkg-config command -v pkg-config
need libcmocka-dev pkg-config --exists cmocka
install_missing

# The thread sanitizer's memory layout allows for 28 random bits of the addresses that mmap gives.
no_aslr=
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch "$(uname -m)" -R true 2>/dev/null; then
    no_aslr="setarch $(uname -m) -R"
fi
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

targets="history_check histories"
echo "figure: histories made by hand: $(find "$folder/good" "$folder/bad" -type f | wc -l)"
layer plain $((4000 * times)) $((8000 * times))
layer thread $((2000 * times)) $((3000 * times)) -DPUSH_SANITIZE=thread

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
