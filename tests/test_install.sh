#!/bin/sh
# test_install.sh WAY SOURCE-FOLDER BUILD-FOLDER CMAKE CTEST PKG-CONFIG CC CXX: builds a program of somebody else's
# (tests/consumer) with the library got in one of the ways that the README names.
set -eu
way=$1 source=$2 build=$3 cmake=$4 ctest=$5 pkg_config=$6 cc=$7 cxx=$8
version=$(sed -n 's/^#define PUSH_VERSION_STRING "\(.*\)"$/\1/p' "$source/include/push/push.h")
consumer=$source/tests/consumer
strict='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS DESTDIR CMAKE_PREFIX_PATH LD_LIBRARY_PATH

fail() {
    echo "$way: $*"
    exit 1
}

needs_libpush() {
    readelf -d "$1" | grep -q 'NEEDED.*\[libpush\.so\.0\]'
}

# Installs into a prefix, and moves it: nothing in it may know where it was installed.
install_library() {
    "$cmake" --install "$build" --prefix "$work/first" >"$work/install.log" || fail "$(cat "$work/install.log")"
    mv "$work/first" "$work/prefix"
    lib=$(dirname "$(find "$work/prefix" -name libpush.a)")
    [ "$(readlink "$lib/libpush.so")" = libpush.so.0 ] && [ "$(readlink "$lib/libpush.so.0")" = "libpush.so.$version" ] ||
        fail "links of the shared library: $(ls -l "$lib")"
    readelf -d "$lib/libpush.so" | grep -q 'SONAME.*\[libpush\.so\.0\]' || fail 'soname is not libpush.so.0'
    if grep -rl "$work\|$source" "$work/prefix" | grep -v '\.so\|\.a$'; then
        fail 'these know the folder they came from'
    fi
    PKG_CONFIG_PATH=$lib/pkgconfig
    export PKG_CONFIG_PATH
}

# Builds the consumer by CMake, with the library shared and static, and runs it both ways.
cmake_consumer() {
    {
        "$cmake" -S "$consumer" -B "$work/build" -DCMAKE_C_COMPILER="$cc" -DWAY="$way" -DPUSH_SOURCE="$source" \
            -DPUSH_WANT_VERSION="$version" -DCMAKE_PREFIX_PATH="$work/prefix" "$@" &&
            "$cmake" --build "$work/build" && (cd "$work/build" && "$ctest")
    } >"$work/log" 2>&1 || fail "$(cat "$work/log")"
    needs_libpush "$work/build/consumer_shared" || fail 'the shared library was not linked'
}

# As a part of another project, the library brings no tests, no install rules, and builds nothing that is not used.
check_guest() {
    cmake_consumer
    [ -z "$(find "$work/build" -name 'libpush*.a')" ] || fail 'the static library was built, and nobody uses it'
    [ "$(cd "$work/build" && "$ctest" -N | sed -n 's/^Total Tests: //p')" -eq 1 ] || fail 'it brought its tests'
    "$cmake" --install "$work/build" --prefix "$work/installed" >/dev/null
    [ "$(cd "$work/installed" && find . -type f)" = ./bin/consumer_shared ] || fail 'it brought install rules'
    cmake_consumer -DWITH_STATIC=ON
    ! needs_libpush "$work/build/consumer_static" || fail 'the static program needs the shared library'
}

case $way in
find_package)
    install_library
    cmake_consumer -DWITH_STATIC=ON
    ! needs_libpush "$work/build/consumer_static" || fail 'the static program needs the shared library'
    ;;
add_subdirectory | FetchContent)
    check_guest
    ;;
pkg-config-shared)
    install_library
    [ "$("$pkg_config" --modversion push)" = "$version" ] || fail 'wrong version'
    # shellcheck disable=SC2046,SC2086 # lists of words
    "$cc" -std=c11 $strict -DWANT_STATIC=0 $("$pkg_config" --cflags push) "$consumer/consumer.c" \
        -o "$work/program" $("$pkg_config" --libs push)
    needs_libpush "$work/program" || fail 'the shared library was not linked'
    LD_LIBRARY_PATH=$lib "$work/program"
    ;;
pkg-config-static)
    install_library
    # shellcheck disable=SC2046,SC2086 # lists of words
    "$cc" -std=c11 $strict $("$pkg_config" --static --cflags push) "$consumer/consumer.c" \
        -o "$work/program" -static $("$pkg_config" --static --libs push)
    "$work/program"
    ;;
header)
    # From a folder with nothing but the headers: alone, as C and as C++, in the oldest and a newer standard.
    mkdir -p "$work/include/push"
    cp "$source/include/push/push.h" "$work/include/push"
    echo '#include <push/push.h>' >"$work/alone.c"
    # shellcheck disable=SC2086 # lists of words
    for standard in c11 c17 gnu11; do
        "$cc" -std=$standard $strict -I"$work/include" -fsyntax-only "$work/alone.c"
    done
    # shellcheck disable=SC2086 # lists of words
    for standard in c++11 c++17 c++20; do
        "$cxx" -x c++ -std=$standard $strict -Wold-style-cast -I"$work/include" -fsyntax-only "$work/alone.c"
    done
    cp "$source/include/push/push.hpp" "$work/include/push"
    echo '#include <push/push.hpp>' >"$work/alone.cpp"
    # shellcheck disable=SC2086 # lists of words
    for standard in c++17 c++20 'c++17 -fno-exceptions -fno-rtti'; do
        "$cxx" -std=$standard $strict -Wold-style-cast -I"$work/include" -fsyntax-only "$work/alone.cpp"
    done
    # Beside the amalgamation's push.h, in a folder of any name.
    mkdir "$work/flat"
    cp "$work/include/push/push.h" "$work/include/push/push.hpp" "$work/flat"
    echo '#include "push.hpp"' >"$work/flat/program.cpp"
    "$cxx" -std=c++17 -fsyntax-only "$work/flat/program.cpp"
    install_library
    # shellcheck disable=SC2046,SC2086 # lists of words
    "$cxx" -std=c++11 $strict $("$pkg_config" --cflags push) "$consumer/consumer.cpp" \
        -o "$work/program" $("$pkg_config" --libs push)
    LD_LIBRARY_PATH=$lib "$work/program"
    [ -f "$work/prefix/include/push/push.hpp" ] || fail 'push.hpp was not installed'
    ;;
*)
    fail 'unknown way'
    ;;
esac
