#!/bin/sh
# test_readme.sh SOURCE-FOLDER LIBRARY-FOLDER CC [FLAG...]: the README's first C block compiles as printed and
# works, and is examples/hello.c. PUSH_TESTS_EMULATOR runs it where the machine cannot.
set -eu
source=$1 library=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk '/^```/ { if (on) exit; on = $0 == "```c"; next } on' "$source/README.md" >"$work/hello.c"
[ -s "$work/hello.c" ] || { echo 'README.md has no ```c block'; exit 1; }
diff -u "$source/examples/hello.c" "$work/hello.c"
"$@" -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I"$source/include" "$work/hello.c" -o "$work/hello" \
    -L"$library" -Wl,-rpath,"$library" -lpush
${PUSH_TESTS_EMULATOR-} "$work/hello"
