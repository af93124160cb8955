#!/bin/sh
# sh tests/browser/run.sh [--all]: the pages of the notification server in headless Chromium, driven by playwright-core:
# devices in tabs of their own, pushes by curl, cut links and killed servers. Screenshots go to build/browser/screenshots.
# --all says and does some of it more often.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
dir=$root/build/browser
here=$root/tests/browser

has_node() {
    node -e 'process.exit(process.versions.node.split(".")[0] < 18 ? 1 : 0)' 2>/dev/null
}

find_chromium() {
    for CHROMIUM in "${CHROMIUM-}" /usr/bin/chromium /usr/bin/chromium-browser; do
        [ ! -x "$CHROMIUM" ] || return 0
    done
    return 1
}

# The packages that package-lock.json names, once.
install_packages() {
    if cmp -s "$here/package-lock.json" "$dir/package-lock.json" && [ -d "$dir/node_modules" ]; then
        return
    fi
    say "installing the packages of tests/browser/package-lock.json"
    cp "$here/package.json" "$dir" && (cd "$dir" && cp "$here/package-lock.json" . && npm ci --no-audit --no-fund) \
        >"$dir/npm.log" 2>&1 </dev/null && return
    cat "$dir/npm.log"
    rm -f "$dir/package-lock.json"
    return 1
}

# count WORD: of node's summary.
count() {
    sed -n "s/^# $1 \([0-9]*\)$/\1/p" "$dir/tap.log"
}

need_server
need curl command -v curl
need chromium find_chromium
need nodejs has_node
need npm command -v npm
install_missing || true
if ! pkg-config --exists libwebsockets jansson || ! has_node || ! command -v npm >/dev/null || ! find_chromium; then
    skip "this system has no libwebsockets, jansson, Chromium, or Node.js from version 18 on"
    finish
fi
mkdir -p "$dir"
if ! install_packages; then
    skip "playwright-core is not to be had here"
    finish
fi
say "building the server"
if ! build_server "$dir/server" -DCMAKE_C_COMPILER=gcc -DPUSH_WERROR=ON; then
    fail "the build"
    finish
fi

say "testing"
export PUSH_SERVER="$dir/server/examples/server/push-server" BROWSER_BUILD="$dir" CHROMIUM
# shellcheck disable=SC2086 # --all, or nothing
{ node --test-reporter=tap "$here/main.js" $extent </dev/null 2>&1 || true; } | tee "$dir/tap.log" | grep -v '^ *\(---\|\.\.\.\|duration_ms\|type:\)' || true
if [ -z "$(count pass)" ] || [ "$(count tests)" -eq 0 ]; then
    fail "no result from node"
    finish
fi
passed=$((passed + $(count pass)))
failed=$((failed + $(count fail) + $(count cancelled)))
skipped=$((skipped + $(count skipped)))
echo "figure: tests in Chromium: $(count tests)"
echo "figure: screenshots: $(find "$dir/screenshots" -name '*.png' | wc -l)"
finish
