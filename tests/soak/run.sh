#!/bin/sh
# sh tests/soak/run.sh [--all]: twenty million deliveries, or, with --all, a hundred million, each checked: nothing lost,
# doubled or out of order, gaps accounted for, and memory flat. SOAK_SEED is where the seeds begin (the time, unless
# given).
. "$(dirname -- "$0")/../lib.sh"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

case ${1-} in
'') deliveries=20000000 ;;
--all) deliveries=100000000 ;;
*)
    echo "usage: sh tests/soak/run.sh [--all]" >&2
    exit 2
    ;;
esac

need_build_tools
need pkg-config command -v pkg-config
need libcmocka-dev pkg-config --exists cmocka
install_missing

dir=$root/build/soak
seed=${SOAK_SEED:-$(date +%s)}
say "building"
# shellcheck disable=SC2034 # build() reads it
targets=soak
if ! build "$dir" -DCMAKE_C_COMPILER=gcc -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=OFF \
    -DPUSH_INSTALL=OFF -DPUSH_WERROR=ON; then
    echo "0 passed, 1 failed"
    exit 1
fi
say "$dir/tests/soak/soak $deliveries $seed"
rc=0
"$dir/tests/soak/soak" "$deliveries" "$seed" || rc=$?
if [ "$rc" -eq 0 ]; then
    echo "1 passed, 0 failed"
else
    say "failed. Again: $dir/tests/soak/soak $deliveries $seed"
    echo "0 passed, 1 failed"
fi
exit "$rc"
