# shellcheck shell=sh
# What the scripts of the tests and the examples share. Sourced by a script that lies somewhere in the checkout.

set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
while [ ! -f "$root/include/push/push.h" ]; do
    [ "$root" != / ] || exit 1
    root=$(dirname -- "$root")
done
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
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" </dev/null
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

# What libpush-nats is made of.
need_nats() {
    need_build_tools
    need pkg-config command -v pkg-config
    need libnats-dev pkg-config --exists 'libnats >= 3.4'
    need libssl-dev pkg-config --exists libcrypto
}

# has_nats: libpush-nats can be built.
has_nats() {
    pkg-config --exists 'libnats >= 3.4' libcrypto 2>/dev/null
}

# find_nats_server: sets and exports $NATS_SERVER, or fails. The distribution's package would run it as a service: it is
# only unpacked, into build/nats.
find_nats_server() {
    installed_nats_server || unpack_nats_server && installed_nats_server && export NATS_SERVER
}

installed_nats_server() {
    for NATS_SERVER in "${NATS_SERVER-}" "$(command -v nats-server)" /usr/sbin/nats-server "$root/build/nats/server/usr/sbin/nats-server"; do
        [ ! -x "$NATS_SERVER" ] || return 0
    done
    return 1
}

unpack_nats_server() {
    say "unpacking the distribution's nats-server into build/nats"
    command -v apt-get >/dev/null || return 1
    mkdir -p "$root/build/nats/server"
    (
        cd "$root/build/nats/server" || exit 1
        apt-get -q download nats-server || { as_root apt-get -q update && apt-get -q download nats-server; } || exit 1
        dpkg-deb -x nats-server_*.deb .
    ) >"$root/build/nats/server.log" 2>&1 </dev/null && return 0
    cat "$root/build/nats/server.log"
    return 1
}

# start_nats DIR [OPTION...]: a nats-server with JetStream on a free port of this machine, with all it keeps in DIR. Sets
# $nats, its process, and $nats_url.
start_nats() {
    nats_dir=$1
    shift
    mkdir -p "$nats_dir"
    "$NATS_SERVER" --addr 127.0.0.1 --port -1 --ports_file_dir "$nats_dir" --jetstream --store_dir "$nats_dir" \
        --log "$nats_dir/log" "$@" &
    nats=$!
    for _ in $(seq 100); do
        nats_url=$(sed -n 's,.*"nats": *\["\(nats://[^"]*\)".*,\1,p' "$nats_dir/nats-server_$nats.ports" 2>/dev/null) || true
        [ -z "$nats_url" ] || return 0
        kill -0 "$nats" 2>/dev/null || break
        sleep 0.1
    done
    cat "$nats_dir/log"
    return 1
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

# ---- Results ----

passed=0
failed=0
skipped=0

# pass [NUMBER]
pass() {
    passed=$((passed + ${1:-1}))
}

# fail WHAT...
fail() {
    say "failed: $*"
    failed=$((failed + 1))
}

# skip WHAT AND WHY...
skip() {
    say "skipped: $*"
    skipped=$((skipped + 1))
}

# check WHAT COMMAND...: one that passes or fails.
check() {
    what=$1
    shift
    if "$@"; then
        pass
    else
        fail "$what"
    fi
}

# add_total FILE: what its last line says. False where it says nothing of the kind.
add_total() {
    result=$(tail -n 1 "$1" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed\(, \([0-9]*\) skipped\)*$/\1 \2 \4/p')
    [ -n "$result" ] || return 1
    # shellcheck disable=SC2086 # two numbers or three
    set -- $result
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + ${3:-0}))
}

# run_ctest DIR [OPTION...]: adds its result to the total. Without a result, or without a test, it has failed. The number
# of tests is in $ran.
run_ctest() {
    ctest_dir=$1
    shift
    # shellcheck disable=SC2086 # a list of words
    (cd "$ctest_dir" && $no_aslr ctest --output-on-failure --parallel "$jobs" "$@" </dev/null 2>&1) | tee "$ctest_dir/ctest.log"
    ran=0
    summary=$(sed -n 's/.*tests passed, \([0-9]*\) tests* failed out of \([0-9]*\)$/\1 \2/p' "$ctest_dir/ctest.log")
    if [ -z "$summary" ]; then
        fail "no result from ctest"
        return
    fi
    ran=${summary#* }
    skips=$(grep -c '\*\*\*Skipped' "$ctest_dir/ctest.log" || true)
    passed=$((passed + ran - ${summary% *} - skips))
    failed=$((failed + ${summary% *}))
    skipped=$((skipped + skips))
}

# cmocka_tests DIR: how many tests were in the programs that ctest ran there.
cmocka_tests() {
    sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$1/Testing/Temporary/LastTest.log" | awk '{ n += $1 } END { print n + 0 }'
}

# find_python: $python is one that has websockets. The distribution's is not always the first in the path.
find_python() {
    for python in python3 /usr/bin/python3; do
        ! "$python" -c 'import websockets' 2>/dev/null || return 0
    done
    return 1
}

# The last line of a script, and its exit status: nothing failed, and something passed, or was skipped and counted so.
finish() {
    total="$passed passed, $failed failed"
    [ "$skipped" -eq 0 ] || total="$total, $skipped skipped"
    echo "$total"
    [ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
    exit
}

# ---- What the layers share ----

# extent_of [ARGUMENT...]: nothing, or --all, into $extent.
extent_of() {
    case $#:${1-} in
    0: | 1:--all) extent=${1-} ;;
    *)
        echo "usage: sh $0 [--all]" >&2
        exit 2
        ;;
    esac
}

need_test_tools() {
    need_build_tools
    need pkg-config command -v pkg-config
    need libcmocka-dev pkg-config --exists cmocka
}

# A clang, and its sanitizers: sanitizer_of_clang NAME installs what -fsanitize=NAME needs.
sanitizer_of_clang() {
    compiles clang "-fsanitize=$1" || install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev" || true
}

# fetch_cmocka DIR: the distribution's source of cmocka into DIR, by lists of its own: the system's settings stay as
# they are.
fetch_cmocka() {
    [ ! -f "$1/CMakeLists.txt" ] || return 0
    command -v apt-get >/dev/null || return 1
    rm -rf "$1" "$scratch/cmocka"
    mkdir -p "$1" "$scratch/cmocka/lists/partial"
    apt-get indextargets --format 'deb-src $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        sort -u >"$scratch/cmocka/sources.list" || return 1
    (
        cd "$scratch/cmocka" || exit 1
        set -- -q -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
            -o Dir::State::Lists="$PWD/lists"
        apt-get "$@" update && apt-get "$@" source --download-only cmocka
    ) >"$1/fetch.log" 2>&1 </dev/null && tar -xf "$scratch"/cmocka/cmocka_*.orig.tar.?? -C "$1" --strip-components=1 && return 0
    cat "$1/fetch.log"
    return 1
}
