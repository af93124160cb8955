#!/bin/sh
# test_exports.sh NM HEADER SHARED [STATIC]: the shared library exports the functions that the header declares
# PUSH_API, and nothing else; the static one those, and inner ones with the prefix push__.
set -eu
nm=$1 header=$2 shared=$3 static=${4-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n 's/^PUSH_API [^(]*[ *]\(push_[a-z0-9_]*\)(.*/\1/p' "$header" | sort >"$work/declared"
if [ "$(wc -l <"$work/declared")" -ne "$(grep -c '^PUSH_API ' "$header")" ]; then
    echo "a PUSH_API declaration in $header was not understood"
    exit 1
fi

# The last two come with the C library, from crti.o, where they are exported at all.
"$nm" --dynamic --defined-only --extern-only "$shared" | awk '{ print $NF }' | grep -vx -e _init -e _fini | sort \
    >"$work/exported"
if ! diff -u "$work/declared" "$work/exported"; then
    echo "the header declares what is marked -, the library exports what is marked +"
    exit 1
fi

# A part of another project does not build it.
if [ -n "$static" ]; then
    "$nm" --defined-only --extern-only "$static" | awk 'NF == 3 && $NF !~ /^push__/ { print $NF }' | sort >"$work/outside"
    if ! diff -u "$work/declared" "$work/outside"; then
        echo "the header declares what is marked -, the static library has what is marked +, besides push__..."
        exit 1
    fi
fi
echo "$(wc -l <"$work/exported") functions exported"
