# shellcheck shell=sh
# What tests/run.sh and examples/run.sh share. Sourced by a script in a folder of the checkout.

set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
jobs=$(getconf _NPROCESSORS_ONLN)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# The thread sanitizer's memory layout allows for 28 random bits of the addresses that mmap gives.
no_aslr=
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch "$(uname -m)" -R true 2>/dev/null; then
    no_aslr="setarch $(uname -m) -R"
fi

say() {
    printf '== %s\n' "$*"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# compiles COMPILER [FLAG...]: true where that makes a program.
compiles() {
    printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' >"$scratch/probe.c"
    "$@" "$scratch/probe.c" -o "$scratch/probe" >/dev/null 2>&1
}

# need PACKAGE TEST...: the package is missing where the test fails.
missing=
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# install PACKAGE...: from the distribution. Standard input stays the caller's.
install() {
    say "installing from the distribution: $*"
    if ! command -v apt-get >/dev/null; then
        say "no apt-get here: please install these, or what they are called on this system"
        return 1
    fi
    as_root apt-get -q update </dev/null || say "the package lists could not be renewed; trying with what is there"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" </dev/null
}

# Installs what the calls of need() found missing.
install_missing() {
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || install $missing
    missing=
}

need_build_tools() {
    need gcc compiles gcc
    need libc6-dev compiles gcc
    need make command -v make
    need cmake command -v cmake
}

# What examples/server is made of.
need_server() {
    need_build_tools
    need pkg-config command -v pkg-config
    need libwebsockets-dev pkg-config --exists 'libwebsockets >= 4.1'
    need libjansson-dev pkg-config --exists jansson
}

# build DIR [CMAKE-OPTION...]: configures and builds, all of it or what $targets names; what it printed is shown where
# it fails.
targets=
build() {
    build_dir=$1
    shift
    mkdir -p "$build_dir"
    # shellcheck disable=SC2086 # a list of words
    if { configure "$@" && cmake --build "$build_dir" --parallel "$jobs" ${targets:+--target $targets}; } >"$build_dir/build.log" 2>&1 </dev/null; then
        return 0
    fi
    cat "$build_dir/build.log"
    return 1
}

# build_server DIR [CMAKE-OPTION...]: examples/server and the library, no more.
build_server() {
    server_dir=$1
    shift
    build "$server_dir" -DPUSH_BUILD_TESTS=OFF -DPUSH_BUILD_EXAMPLES=OFF -DPUSH_BUILD_SERVER=ON "$@"
}

# A cache of another place (the checkout was moved or copied) cannot be used.
configure() {
    cache=$build_dir/CMakeCache.txt
    if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
        rm -rf "$cache" "$build_dir/CMakeFiles"
    fi
    cmake -S "$root" -B "$build_dir" "$@"
}
