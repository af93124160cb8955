# shellcheck shell=sh
# Headless Chromium, driven by playwright-core: for scripts that have sourced ../lib.sh. The packages lie in build/browser.

browser_build=$root/build/browser

has_node() {
    node -e 'process.exit(process.versions.node.split(".")[0] < 18 ? 1 : 0)' 2>/dev/null
}

find_chromium() {
    for CHROMIUM in "${CHROMIUM-}" /usr/bin/chromium /usr/bin/chromium-browser; do
        [ ! -x "$CHROMIUM" ] || return 0
    done
    return 1
}

need_browser() {
    need curl command -v curl
    need chromium find_chromium
    need nodejs has_node
    need npm command -v npm
}

have_browser() {
    has_node && command -v npm >/dev/null && find_chromium
}

# The packages that package-lock.json names, once.
install_packages() {
    mkdir -p "$browser_build"
    if cmp -s "$root/tests/browser/package-lock.json" "$browser_build/package-lock.json" && [ -d "$browser_build/node_modules" ]; then
        return
    fi
    say "installing the packages of tests/browser/package-lock.json"
    (
        cd "$browser_build" && cp "$root/tests/browser/package.json" "$root/tests/browser/package-lock.json" . &&
            npm ci --no-audit --no-fund
    ) >"$browser_build/npm.log" 2>&1 </dev/null && return
    cat "$browser_build/npm.log"
    rm -f "$browser_build/package-lock.json"
    return 1
}

# count_tap WORD: of node's summary.
count_tap() {
    sed -n "s/^# $1 \([0-9]*\)$/\1/p" "$scratch/tap.log"
}

# run_browser SERVER FILE [--all]: adds the result of these tests with this server to the total.
run_browser() {
    export PUSH_SERVER="$1" BROWSER_BUILD="$browser_build" CHROMIUM
    shift
    { node --test-reporter=tap "$@" </dev/null 2>&1 || true; } | tee "$scratch/tap.log" | grep -v '^ *\(---\|\.\.\.\|duration_ms\|type:\)' || true
    if [ -z "$(count_tap pass)" ] || [ "$(count_tap tests)" -eq 0 ]; then
        fail "no result from node"
        return
    fi
    passed=$((passed + $(count_tap pass)))
    failed=$((failed + $(count_tap fail) + $(count_tap cancelled)))
    skipped=$((skipped + $(count_tap skipped)))
    echo "figure: tests in Chromium: $(count_tap tests)"
}
