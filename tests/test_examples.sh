#!/bin/sh
# test_examples.sh FOLDER EXAMPLE [SOURCE-FOLDER]: runs an example and checks what it prints.
set -eu
bin=$1 example=$2 source=${3-}
work=$(mktemp -d)
background=
trap 'kill -KILL $background 2>/dev/null || true; rm -rf "$work"' EXIT

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

# Looks again and again, for 20 seconds at most.
await() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 2000 ] || fail "in vain for 20 seconds: $*"
        sleep 0.01
    done
}

# start_server: on a port that is free; descriptor 3 is its input.
start_server() {
    rm -f "$work/input"
    mkfifo "$work/input"
    : >"$work/out"
    ${PUSH_TESTS_EMULATOR-} "$bin/$example" 0 <"$work/input" >"$work/out" 2>"$work/err" &
    server=$!
    background="$background $server"
    exec 3>"$work/input"
    await grep -q '^http' "$work/out"
    url=$(sed -n 's,/phone$,,p' "$work/out")
}

# check_streams: a server of Server-Sent Events with several devices of a user, all of which get what is pushed to him, in
# order, also while it ends; and one that stops reading, which is cut off then, and hinders nobody.
check_streams() {
    start_server
    curl -sN -o /dev/null "$url/stopped" 3>&- &
    stopped=$!
    background="$background $stopped"
    streams=
    for device in 1 2 3; do
        curl -sN -o "$work/stream.$device" "$url/$device" 3>&- &
        streams="$streams $!"
        background="$background $!"
    done
    all_are_there() {
        echo probe >&3
        grep -qx '4 devices' "$work/out"
    }
    await all_are_there
    kill -STOP $stopped
    ! curl -s -o /dev/null "$url/" || fail 'takes a device without a name'
    ! curl -s -o /dev/null -d hello "$url/1" || fail 'takes a POST'

    awk 'BEGIN { for (i = 0; i < 400; i++) printf "message %d %40000d\n", i, i }' >&3
    exec 3>&-
    for stream in $streams; do
        wait "$stream" || fail "a stream did not end well: curl says $?"
    done
    wait $server || fail "exit status $?: $(cat "$work/err")"
    kill -CONT $stopped
    ! wait $stopped || fail 'the device that does not read got everything'
    [ ! -s "$work/err" ] || fail "$(cat "$work/err")"
    awk 'BEGIN { for (i = 0; i < 400; i++) printf "data: message %d %40000d\n\n", i, i }' >"$work/expected"
    for device in 1 2 3; do
        grep -v '^data: probe$' "$work/stream.$device" | sed '/./,$!d' | cat -s | diff -u "$work/expected" - ||
            fail "stream $device received something else"
    done

    start_server
    echo hello >&3
    exec 3>&-
    wait $server || fail "exit status $?: $(cat "$work/err")"
    expect_lines 1 '0 devices'
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
# The consumers of idle_* read only when the loop sleeps; those of the program as it is may keep up.
epoll_loop | idle_epoll_loop)
    run
    for device in phone laptop watch; do
        expect_lines 1 "$device received 2000 messages"
    done
    expect_lines 1 'a socket was full [0-9]+ times'
    [ "$example" = epoll_loop ] || expect_lines 1 'a socket was full [1-9][0-9]* times'
    ;;
poller | idle_poller)
    run
    expect_lines 1 'one thread wrote 200000 messages of 5000 clients'
    expect_lines 1 'the slow client was paused [0-9]+ times and got 40 messages'
    [ "$example" = poller ] || expect_lines 1 'the slow client was paused [1-9][0-9]* times and got 40 messages'
    ;;
notify)
    check_notify "$source/messages.txt" "$source/messages.txt"
    awk 'BEGIN { for (i = 0; i < 4000; i++) print "message", i }' >"$work/many"
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
libuv_loop)
    run
    for device in phone laptop watch; do
        expect_lines 1 "$device received 2000 messages"
    done
    expect_lines 1 'a stream was full [1-9][0-9]* times' # they are served in turn
    ;;
libmicrohttpd_sse)
    command -v curl >/dev/null || fail 'its test needs curl'
    check_streams
    ;;
*)
    fail "has no check here"
    ;;
esac
