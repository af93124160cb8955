#!/bin/sh
# sh tests/bench.sh [--smoke | --quick] [--rounds N] [--only PATTERN] [--record]: installs the peers that it misses,
# builds them and libpush, measures them side by side, and writes a table and plots into build/bench/results.
# tests/bench/README.md says what is measured, and how.
PATH=/usr/bin:/bin:$PATH # the distribution's compilers, whatever else is installed
. "$(dirname -- "$0")/../tests/lib.sh"

sources=$root/tests/bench
out=$root/build/bench
crates=/usr/share/cargo/registry

has_crate() {
    ls -d "$crates/$1"-* >/dev/null 2>&1
}

need_build_tools
need pkg-config command -v pkg-config
need python3 command -v python3
need golang-go command -v go
need cargo test -x /usr/bin/cargo
need rustc test -x /usr/bin/rustc
need librust-crossbeam-channel-dev has_crate crossbeam-channel
need libglib2.0-dev pkg-config --exists glib-2.0
need libzmq3-dev pkg-config --exists libzmq
need libnng-dev test -f /usr/include/nng/nng.h
need gnuplot-nox command -v gnuplot
need valgrind command -v valgrind
need strace command -v strace
install_missing

# driver NAME [FLAG...]: build/bench/bench_NAME, of NAME.c and the harness.
driver() {
    name=$1
    shift
    # shellcheck disable=SC2086 # a list of words
    gcc $c_flags "$sources/$name.c" "$out/bench.o" -o "$out/bench_$name" "$@"
}

say "building libpush and its peers in $out"
build "$out" -DCMAKE_C_COMPILER=gcc -DPUSH_BUILD_TESTS=OFF -DPUSH_BUILD_EXAMPLES=OFF

c_flags="-std=c11 -D_GNU_SOURCE -O2 -g -pthread -Wall -Wextra -Wpedantic -Wshadow -Wconversion"
# shellcheck disable=SC2086 # a list of words
gcc $c_flags -c "$sources/bench.c" -o "$out/bench.o"
driver push -I"$root/include" -L"$out" -lpush -Wl,-rpath,"$out"
for name in condvar eventfd pipe floor; do
    driver "$name"
done
# shellcheck disable=SC2046
driver glib $(pkg-config --cflags --libs glib-2.0)
# shellcheck disable=SC2046
driver zmq $(pkg-config --cflags --libs libzmq)
driver nng -lnng

(cd "$sources/go" && GOCACHE=$out/go-cache go build -o "$out/bench_go" .)

# Built from a copy, for cargo writes a lock file beside the sources.
mkdir -p "$out/crossbeam"
cp -R "$sources/crossbeam/." "$out/crossbeam"
(cd "$out/crossbeam" && CARGO_HOME=$out/cargo-home RUSTC=/usr/bin/rustc /usr/bin/cargo build --quiet --release --offline \
    --config 'source.crates-io.replace-with="distribution"' \
    --config "source.distribution.directory=\"$crates\"")
cp "$out/crossbeam/target/release/bench_crossbeam" "$out"

python3 "$sources/bench.py" "$out" "$@"
