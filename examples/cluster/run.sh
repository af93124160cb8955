#!/bin/sh
# sh examples/cluster/run.sh [OPTION...]: installs what it misses, builds the notification server of examples/server with
# NATS, and starts a nats-server and two notification servers, with these options, that share their users. Ctrl-C ends
# them all. examples/run.sh cluster does the same.
. "$(dirname -- "$0")/../../tests/lib.sh"

need_server
need_nats
need curl command -v curl
install_missing
find_nats_server

say "building the server in $root/build/cluster"
build_server "$root/build/cluster" -DCMAKE_C_COMPILER=gcc -DPUSH_BUILD_NATS=ON
program=$root/build/cluster/examples/server/push-server

nats='' servers=''
# end PROCESS...
end() {
    for process in "$@"; do
        kill "$process" 2>/dev/null || true
        wait "$process" || true
    done
}
# The servers first: they may have something to publish.
end_all() {
    trap '' HUP INT TERM
    # shellcheck disable=SC2086 # a list of words
    end $servers $nats
    rm -rf "$scratch"
}
trap end_all EXIT
trap 'exit 0' HUP INT TERM

# start_server NAME OPTION...: one that is connected. Sets $server, its process, and $url.
start_server() {
    said=$scratch/$1
    shift
    : >"$said"
    "$program" "$@" --port 0 --nats "$nats_url" >"$said" &
    server=$!
    servers="$servers $server"
    for _ in $(seq 100); do
        url=$(sed -n 's/^listening on //p' "$said")
        [ -z "$url" ] || ! curl -s "${url}stats" | grep -q '"ready":true' || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    return 1
}

start_nats "$scratch/nats"
start_server a "$@"
a=$server a_url=$url
start_server b "$@"
b=$server b_url=$url

cat <<END
NATS:     $nats_url
server A: $a_url (process $a)
server B: $b_url (process $b)
alice's phone on A:   ${a_url}?user=alice&device=phone
alice's laptop on B:  ${b_url}?user=alice&device=laptop
the servers at work:  ${a_url}admin
                      ${b_url}admin
try:                  curl -d 'hello from A' '${a_url}push?user=alice'
                      curl -d 'hello from B' '${b_url}push?user=alice'
without the phone:    curl -d 'not for the phone' '${b_url}push?user=alice&except=phone'
NATS gone:            kill $nats
and back:             $NATS_SERVER --addr 127.0.0.1 --port ${nats_url##*:} --jetstream --store_dir $scratch/nats
one more server:      $program --port 0 --nats $nats_url
END
wait "$a" "$b"
