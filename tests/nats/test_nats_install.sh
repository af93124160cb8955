#!/bin/sh
# test_nats_install.sh SOURCE-FOLDER BUILD-FOLDER CMAKE PKG-CONFIG CC CXX NM: installs, moves what was installed, and builds a
# program with it by CMake (component nats) and by pkg-config; the header alone as C and C++; what is exported is what the
# header declares.
set -eu
source=$1 build=$2 cmake=$3 pkg_config=$4 cc=$5 cxx=$6 nm=$7
strict='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS DESTDIR CMAKE_PREFIX_PATH LD_LIBRARY_PATH

"$cmake" --install "$build" --prefix "$work/first" >"$work/log" || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/prefix"
lib=$(dirname "$(find "$work/prefix" -name libpush-nats.so)")
PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH

# shellcheck disable=SC2046,SC2086 # lists of words
"$cc" -std=c11 $strict $("$pkg_config" --cflags push-nats) "$source/tests/nats/consumer.c" -o "$work/program" \
    $("$pkg_config" --libs push-nats)
LD_LIBRARY_PATH=$lib "$work/program"

mkdir "$work/project"
cp "$source/tests/nats/consumer.c" "$work/project"
cat >"$work/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(consumer LANGUAGES C)
find_package(push REQUIRED COMPONENTS nats)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE push::push_nats)
END
{
    "$cmake" -S "$work/project" -B "$work/build" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$work/prefix" &&
        "$cmake" --build "$work/build"
} >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/build/consumer"

# shellcheck disable=SC2086 # a list of words
for standard in c++11 c++20; do
    echo '#include <push/nats.h>' | "$cxx" -x c++ -std=$standard $strict -Wold-style-cast -I"$work/prefix/include" -fsyntax-only -
done
# shellcheck disable=SC2086 # a list of words
echo '#include <push/nats.h>' | "$cc" -x c -std=c11 $strict -I"$work/prefix/include" -fsyntax-only -

sed -n 's/^PUSH_API [^(]*[ *]\(push_[a-z0-9_]*\)(.*/\1/p' "$source/include/push/nats.h" | sort >"$work/declared"
"$nm" --dynamic --defined-only --extern-only "$lib/libpush-nats.so" | awk '{ print $NF }' | grep -vx -e _init -e _fini |
    sort >"$work/exported"
diff -u "$work/declared" "$work/exported" || { echo 'the header declares what is marked -, the library exports what is marked +'; exit 1; }
