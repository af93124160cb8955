#!/bin/sh
# sh tests/planted/run.sh [--all | --only NAME...]: plants the faults of mutations.txt in copies of the sources, and sees
# that each is caught; without --all a sample, the seed of which is printed and can be given as PUSH_PLANTED_SEED.
# See planted.py.
. "$(dirname -- "$0")/../lib.sh"

case ${1-} in
'') set -- --sample 12 ;;
--all) [ $# -eq 1 ] || set -- ;;
--only) [ $# -ge 2 ] || set -- ;;
*) set -- ;;
esac
if [ $# -eq 0 ]; then
    echo "usage: sh tests/planted/run.sh [--all | --only NAME...]" >&2
    exit 2
fi

need_test_tools
need python3 command -v python3
install_missing

python3 "$root/tests/planted/planted.py" "$root/build/planted" "$@"
