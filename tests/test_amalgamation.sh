#!/bin/sh
# test_amalgamation.sh SOURCE-FOLDER NM CC [FLAG...]: push.h and push.c as one command writes them: they stand alone, compile
# without a word, bring no outside name but the interface, and a program needs nothing else.
set -eu
source=$1 nm=$2
shift 2
strict='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "amalgamation: $*"
    exit 1
}

# declared: the functions of the interface; outside OBJECT: the names that it defines for others.
declared() {
    sed -n 's/^PUSH_API [^(]*[ *]\(push_[a-z0-9_]*\)(.*/\1/p' "$work/push.h" | sort
}
outside() {
    "$nm" --defined-only --extern-only "$1" | awk 'NF == 3 { print $NF }' | sort
}

(cd "$work" && sh "$source/src/amalgamate.sh" .)
[ "$(cd "$work" && echo ./*)" = './push.c ./push.h' ] || fail "wrote other files: $(ls "$work")"
! grep -n '#include "' "$work/push.c" | grep -v '"push.h"' || fail 'push.c includes other files'
version=$(sed -n 's/^#define PUSH_VERSION_STRING "\(.*\)"$/\1/p' "$source/include/push/push.h")
for file in push.h push.c; do
    head -n 2 "$work/$file" | grep -qF "libpush $version" || fail "$file does not say its version"
    sed 's/^ \* \{0,1\}//' "$work/$file" >"$work/plain"
    grep -qxF "$(sed -n '/^Copyright/p' "$source/LICENSE")" "$work/plain" || fail "$file does not say its licence"
done

# shellcheck disable=SC2086 # a list of words
for flags in -O2 -O0 '-O2 -DPUSH_USE_PIPE' '-O2 -DPUSH_LOCK_RANKS' '-O2 -fPIC -DPUSH_STATIC -fvisibility=hidden' -std=gnu17; do
    "$@" $strict $flags -c "$work/push.c" -o "$work/push.o" || fail "does not compile: $flags"
    declared >"$work/declared"
    outside "$work/push.o" | diff -u "$work/declared" - || fail "defines other names than push.h declares: $flags"
done

# Two files and a program, and no option but -pthread.
sed 's,<push/push.h>,"push.h",' "$source/examples/hello.c" >"$work/hello.c"
(cd "$work" && "$@" hello.c push.c -pthread -o hello) || fail 'cc hello.c push.c -pthread'
${PUSH_TESTS_EMULATOR-} "$work/hello" | grep -qx 'phone received: hello' || fail 'the program does not work'

# Inside of a shared library that is not to show it.
echo '#include "push.h"
int answer(void);
int answer(void) { return push_session_exists(push_id_int(42)); }' >"$work/mine.c"
(cd "$work" && "$@" -shared -fPIC -DPUSH_STATIC -fvisibility=hidden mine.c push.c -pthread -o libmine.so)
! "$nm" --dynamic --defined-only --extern-only "$work/libmine.so" | grep push_ || fail 'a shared library exports it'
