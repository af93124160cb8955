#!/bin/sh
# sh tests/record.sh: puts what the last sh tests/run.sh counted (build/figures.txt) into tests/README.md.
. "$(dirname -- "$0")/../tests/lib.sh"

page=$root/tests/README.md
figures=$root/build/figures.txt
[ -s "$figures" ] || {
    say "run sh tests/run.sh --all first" >&2
    exit 1
}
awk -v figures="$figures" '
    /^<!-- figures -->$/ {
        print
        while ((getline line < figures) > 0) {
            at = index(line, ": ")
            print "- **" substr(line, 1, at - 1) "**" substr(line, at)
        }
        inside = 1
    }
    /^<!-- end of figures -->$/ { inside = 0 }
    !inside { print }' "$page" >"$scratch/page" || exit 1
sed '/^<!-- figures -->$/n' "$scratch/page" >"$page"
