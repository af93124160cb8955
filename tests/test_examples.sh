#!/bin/sh
# test_examples.sh FOLDER EXAMPLE [SOURCE-FOLDER]: runs an example and checks what it prints.
set -eu
bin=$1 example=$2 source=${3-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$example: $*"
    exit 1
}

# Runs the example, by PUSH_TESTS_EMULATOR where the machine cannot; its output goes to $work/out, and nothing may go to standard error.
run() {
    ${PUSH_TESTS_EMULATOR-} "$bin/$example" "$@" >"$work/out" 2>"$work/err" || fail "exit status $?: $(cat "$work/err")"
    [ ! -s "$work/err" ] || fail "$(cat "$work/err")"
}

# The output is what stands on standard input.
expect() {
    diff -u - "$work/out" || fail "printed something else"
}

# expect_lines COUNT PATTERN
expect_lines() {
    [ "$(grep -Ecx "$2" "$work/out")" -eq "$1" ] || fail "not $1 lines '$2' in: $(cat "$work/out")"
}

# check_notify FILE [ARGUMENT...]: every device received the lines of FILE, and all in one order.
check_notify() {
    lines=$1
    shift
    run "$@"
    count=$(awk 'END { print NR }' "$lines")
    sort "$lines" >"$work/sorted"
    for device in phone tablet laptop watch car; do
        awk -v head="^$device [(].*[)] received $count messages:\$" \
            '$0 ~ head { on = 1; next } !/^    / { on = 0 } on { print substr($0, 5) }' "$work/out" >"$work/$device"
        sort "$work/$device" | diff -u "$work/sorted" - || fail "$device received something else"
        cmp "$work/phone" "$work/$device"
    done
    expect_lines 1 'All devices received the same messages in the same order\.'
}

case $example in
hello)
    run
    expect <<'END'
2 devices took the message
phone received: hello
laptop received: hello
END
    ;;
worker_threads)
    run
    expect <<'END'
4 workers did 1000 jobs together
log saw 1000 jobs
END
    ;;
epoll_loop)
    run
    expect_lines 3 '(phone|laptop|watch) received 2000 messages, its socket was full [0-9]+ times'
    expect_lines 1 'watch received 2000 messages, its socket was full [1-9][0-9]* times'
    ;;
poller)
    run
    expect_lines 1 'one thread wrote 200000 messages of 5000 clients'
    expect_lines 1 'the slow client was paused [1-9][0-9]* times and got 40 messages'
    ;;
notify)
    check_notify "$source/messages.txt" "$source/messages.txt"
    awk 'BEGIN { for (i = 0; i < 5000; i++) print "message", i }' >"$work/many"
    check_notify "$work/many" - <"$work/many"
    printf 'no newline at the end' >"$work/short"
    check_notify "$work/short" "$work/short"
    check_notify /dev/null </dev/null

    for bad in "$work/absent" "$work"; do
        if ${PUSH_TESTS_EMULATOR-} "$bin/notify" "$bad" >"$work/out" 2>"$work/err"; then
            fail "took $bad"
        fi
        [ -s "$work/err" ] || fail "no word about $bad"
    done
    if ${PUSH_TESTS_EMULATOR-} "$bin/notify" "$source/messages.txt" >/dev/full 2>/dev/null; then
        fail "did not see that its output was lost"
    fi
    ;;
*)
    fail "has no check here"
    ;;
esac
