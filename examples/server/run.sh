#!/bin/sh
# sh examples/server/run.sh [OPTION...]: installs what it misses, builds the notification server, and starts it with these
# options. Ctrl-C ends it. examples/run.sh server does the same.
. "$(dirname -- "$0")/../../tests/lib.sh"

need_server
need curl command -v curl
install_missing

say "building the server in $root/build/server"
build_server "$root/build/server" -DCMAKE_C_COMPILER=gcc

# What to try, once it listens. It reads what the server says, so that the server itself can be this process.
mkfifo "$scratch/said"
while read -r line; do
    echo "$line"
    case $line in
    'listening on '*)
        url=${line#listening on }
        cat <<END
two devices of alice:  $url?user=alice&device=phone
                       $url?user=alice&device=laptop
the server at work:    ${url}admin
try:                   curl -d 'hello' '${url}push?user=alice'
END
        ;;
    esac
done <"$scratch/said" &
exec 3>"$scratch/said"
rm -rf "$scratch"
trap - EXIT HUP INT TERM
exec "$root/build/server/examples/server/push-server" "$@" >&3 3>&-
