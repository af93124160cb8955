#!/bin/sh
# sh examples/run.sh [FILE | -]: installs what it misses, builds the library and the examples, and runs
# examples/notify.c: threads push the lines of FILE (of standard input for "-", of examples/messages.txt without an
# argument) to a user with several devices, and what each device received is printed.
#
# sh examples/run.sh server [OPTION...]: the notification server instead (examples/server).
# sh examples/run.sh cluster [OPTION...]: two of them, which share their users (examples/cluster).
case ${1-} in
server | cluster)
    example=$1
    shift
    exec sh "$(dirname -- "$0")/$example/run.sh" "$@"
    ;;
esac
. "$(dirname -- "$0")/../tests/lib.sh"

input=${1-$root/examples/messages.txt}
need_build_tools
install_missing

say "building the library and the examples in $root/build/examples"
build "$root/build/examples" -DCMAKE_C_COMPILER=gcc -DPUSH_BUILD_TESTS=OFF

say "pushing the lines of $([ "$input" = - ] && echo 'standard input' || echo "$input") to alice's devices"
"$root/build/examples/examples/notify" "$input"
