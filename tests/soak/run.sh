#!/bin/sh
# sh tests/soak/run.sh [--all]: twenty million deliveries, or, with --all, a hundred million, each checked: nothing lost,
# doubled or out of order, gaps accounted for, and memory flat. SOAK_SEED is where the seeds begin (the time, unless
# given).
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
deliveries=20000000
[ -z "$extent" ] || deliveries=100000000

need_test_tools
install_missing

dir=$root/build/soak
seed=${SOAK_SEED:-$(date +%s)}
say "building"
# shellcheck disable=SC2034 # build() reads it
targets=soak
if ! build "$dir" -DCMAKE_C_COMPILER=gcc -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=OFF \
    -DPUSH_INSTALL=OFF -DPUSH_WERROR=ON; then
    fail "the build"
    finish
fi
say "$dir/tests/soak/soak $deliveries $seed"
check "again: $dir/tests/soak/soak $deliveries $seed" "$dir/tests/soak/soak" "$deliveries" "$seed"
finish
