#!/bin/sh
# try.sh ROOT HELLO-FOLDER: compiles and runs the hello world that libpush-dev brings, in four ways, against the packages
# that are installed under ROOT: '' is the system itself, where nothing tells the tools where they are.
set -eu
root=$1 hello=$2
lib=$(dirname "$(find "$root/usr/lib" -name libpush.a)")
source=$root/usr/share/doc/libpush-dev/examples/hello.c
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "$root" ]; then
    PKG_CONFIG_PATH=$lib/pkgconfig
    LD_LIBRARY_PATH=$lib
    export PKG_CONFIG_PATH LD_LIBRARY_PATH
fi

# runs PROGRAM NEEDED: it works, and needs that many shared libpush.
runs() {
    "$1" >"$work/said" || return 1
    grep -qx 'laptop received: hello' "$work/said"
    [ "$(readelf -d "$1" | grep -c 'NEEDED.*\[libpush\.so\.')" -eq "$2" ]
}

# shellcheck disable=SC2046 # lists of words
cc -std=c11 -Wall -Wextra -Werror "$source" $(pkg-config --cflags --libs push) -o "$work/shared"
runs "$work/shared" 1
# shellcheck disable=SC2046 # lists of words
cc -std=c11 -Wall -Wextra -Werror "$source" -static $(pkg-config --cflags --libs --static push) -DPUSH_STATIC -o "$work/static"
runs "$work/static" 0
cmake -S "$hello" -B "$work/cmake" -DHELLO="$source" ${root:+-DCMAKE_PREFIX_PATH="$root/usr"}
cmake --build "$work/cmake"
runs "$work/cmake/hello_shared" 1
runs "$work/cmake/hello_static" 0
