#!/bin/sh
# sh tests/browser/run.sh [--all]: the pages of the notification server in headless Chromium, driven by playwright-core:
# devices in tabs of their own, pushes by curl, cut links and killed servers. Screenshots go to build/browser/screenshots.
# --all says and does some of it more often.
. "$(dirname -- "$0")/../lib.sh"
. "$root/tests/browser/lib.sh"

extent_of "$@"

need_server
need_browser
install_missing || true
if ! pkg-config --exists libwebsockets jansson || ! have_browser; then
    skip "this system has no libwebsockets, jansson, Chromium, or Node.js from version 18 on"
    finish
fi
if ! install_packages; then
    skip "playwright-core is not to be had here"
    finish
fi
say "building the server"
if ! build_server "$browser_build/server" -DCMAKE_C_COMPILER=gcc -DPUSH_WERROR=ON; then
    fail "the build"
    finish
fi

say "testing"
# shellcheck disable=SC2086 # --all, or nothing
run_browser "$browser_build/server/examples/server/push-server" "$root/tests/browser/main.js" $extent
echo "figure: screenshots: $(find "$browser_build/screenshots" -name '*.png' | wc -l)"
finish
