#!/bin/sh
# sh tests/elsewhere/run.sh [--all] [NAME...]: the suites with another C library and on other machines: musl, and, emulated
# by qemu, armhf (32 bits), aarch64, and s390x (the other end first). Without --all, and without names: musl and armhf. The
# stress tests repeat less often than at home. cmocka is built for each from the distribution's source package.
. "$(dirname -- "$0")/../lib.sh"

slowdown=20
names=
for arg; do
    case $arg in
    --all) slowdown=5 ;;
    musl | armhf | aarch64 | s390x) names="$names $arg" ;;
    *)
        echo "usage: sh tests/elsewhere/run.sh [--all] [musl|armhf|aarch64|s390x...]" >&2
        exit 2
        ;;
    esac
done
if [ -z "$names" ]; then
    names="musl armhf"
    [ $slowdown -eq 20 ] || names="musl armhf aarch64 s390x"
fi

dir=$root/build/elsewhere

# describe NAME: the compiler, its packages, and the emulator and where the machine's C library is.
describe() {
    emulator=
    sysroot=
    flags=
    case $1 in
    musl)
        triplet=
        compiler=musl-gcc
        packages=musl-tools
        return
        ;;
    armhf)
        triplet=arm-linux-gnueabihf
        emulator=qemu-arm
        # The host's folders have offsets of 64 bits.
        flags=-D_FILE_OFFSET_BITS=64
        ;;
    *) triplet=$1-linux-gnu emulator=qemu-$1 ;;
    esac
    case $1 in
    aarch64) libc=libc6-dev-arm64-cross ;;
    *) libc=libc6-dev-$1-cross ;;
    esac
    compiler=$triplet-gcc
    sysroot=/usr/$triplet
    packages="gcc-$triplet $libc qemu-user"
}

# cross_options NAME: what CMake must be told of the machine.
cross_options() {
    set -- "$1" -DCMAKE_C_COMPILER="$compiler"
    [ -z "$emulator" ] || set -- "$@" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$1" \
        -DCMAKE_CROSSCOMPILING_EMULATOR="$(command -v "$emulator")" -DCMAKE_FIND_ROOT_PATH="$sysroot"
    shift
    echo "$@"
}

build_cmocka() {
    [ ! -f "$dir/$1/installed/lib/pkgconfig/cmocka.pc" ] || return 0
    mkdir -p "$dir/$1"
    # shellcheck disable=SC2046 # a list of words
    {
        cmake -S "$dir/cmocka" -B "$dir/$1/cmocka" $(cross_options "$1") -DCMAKE_BUILD_TYPE=Release \
            -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF \
            -DCMAKE_INSTALL_PREFIX="$dir/$1/installed" -DCMAKE_INSTALL_LIBDIR=lib &&
            cmake --build "$dir/$1/cmocka" --parallel "$jobs" && cmake --install "$dir/$1/cmocka"
    } >"$dir/$1/cmocka.log" 2>&1 </dev/null && return 0
    cat "$dir/$1/cmocka.log"
    return 1
}

# run_suite NAME: what ctest says, and how many cmocka tests there were in it.
run_suite() {
    say "$1: testing"
    export EXPLORE_PREEMPTIONS=0
    unset PUSH_TESTS_EMULATOR
    if [ -n "$emulator" ]; then
        PUSH_TESTS_EMULATOR=$(command -v "$emulator")
        export PUSH_TESTS_EMULATOR
    fi
    before=$failed
    run_ctest "$dir/$1/push"
    details=$dir/$1/push/Testing/Temporary/LastTest.log
    echo "figure: $1: programs run: $ran"
    echo "figure: $1: tests in them: $(cmocka_tests "$dir/$1/push")"
    for test in $(sed -n 's/^\[  SKIPPED \] \([a-z_0-9]*[a-z_][a-z_0-9]*\)$/\1/p' "$details" | sort -u); do
        skip "$1: $test: there is nothing to see on this system; the test says why"
    done
    [ "$failed" -eq "$before" ] ||
        say "$1: again: ${sysroot:+QEMU_LD_PREFIX=$sysroot $emulator }$dir/$1/push/tests/NAME"
}

# elsewhere NAME
elsewhere() {
    describe "$1"
    if ! { compiles "$compiler" && { [ -z "$emulator" ] || command -v "$emulator" >/dev/null; }; }; then
        # shellcheck disable=SC2086 # a list of words
        install $packages || true
    fi
    if ! compiles "$compiler" || { [ -n "$emulator" ] && ! command -v "$emulator" >/dev/null; }; then
        skip "$1: this system has no $compiler, or no ${emulator:-musl}"
        return
    fi
    [ -z "$sysroot" ] || export QEMU_LD_PREFIX="$sysroot"
    say "$1: building"
    PKG_CONFIG_LIBDIR=$dir/$1/installed/lib/pkgconfig
    export PKG_CONFIG_LIBDIR
    # shellcheck disable=SC2046 # a list of words
    if build_cmocka "$1" && build "$dir/$1/push" $(cross_options "$1") -DCMAKE_C_FLAGS="-DSANITIZER_SLOWDOWN=$slowdown $flags" \
        -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=ON -DPUSH_INSTALL=OFF -DPUSH_WERROR=ON; then
        run_suite "$1"
    else
        fail "$1: the build"
    fi
    case $1 in
    musl) skip "musl: explore: musl has no makecontext" ;;
    armhf) skip "armhf: explore: it tells states apart by arithmetic that a 32-bit compiler has not" ;;
    esac
    skip "$1: the six ways of installing: they test the build, and need a C++ compiler for the machine"
    skip "$1: the suites under sanitizers: ${emulator:-musl} does not carry them"
}

need_build_tools
need pkg-config command -v pkg-config
need xz-utils command -v xz
install_missing
mkdir -p "$dir"
say "fetching cmocka's source package"
if fetch_cmocka "$dir/cmocka"; then
    for name in $names; do
        elsewhere "$name"
    done
else
    for name in $names; do
        skip "$name: cmocka's source package is not to be had here"
    done
fi

finish
