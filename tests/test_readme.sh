#!/bin/sh
# test_readme.sh SOURCE-FOLDER LIBRARY-FOLDER CC [FLAG...]: the README's first C block compiles as printed and
# works, and is examples/hello.c. PUSH_TESTS_EMULATOR runs it where the machine cannot. Where it can, the commands after
# each "<!-- run -->" are run as printed, one block after the other, in a copy of the source.
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
[ -z "${PUSH_TESTS_EMULATOR-}" ] || exit 0

mkdir "$work/clone" "$work/home"
cp -R "$source/CMakeLists.txt" "$source/LICENSE" "$source/README.md" "$source/include" "$source/src" "$source/examples" "$work/clone"
awk '/^<!-- run -->$/ { runs = 1; next } /^```/ { on = runs && !on; runs = on; next } on' "$source/README.md" >"$work/commands"
grep -q . "$work/commands"
cd "$work/clone"
HOME=$work/home sh -eux "$work/commands" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}
