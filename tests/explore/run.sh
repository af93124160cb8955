#!/bin/sh
# sh tests/explore/run.sh [--all]: every interleaving of the explorer's scenarios with up to 3 preemptions; ctest runs
# those with up to 2. --all: before it, that merging executions (state.h) leaves nothing out; after it, without a
# bound on preemptions, all scenarios that can be exhausted so in some seconds each.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"

need_test_tools
install_missing

explore=$root/build/explore/tests/explore/explore
say "building the explorer"
targets=explore
if ! build "$root/build/explore" -DPUSH_BUILD_TESTS=ON -DPUSH_BUILD_EXAMPLES=OFF -DPUSH_INSTALL=OFF; then
    fail "the build"
    finish
fi
# The one that takes longest first, so that it does not run alone in the end.
longest=shutdown-blocked-push-pull
"$explore" --list | grep -vxF "$longest" | sed "1i $longest" >"$scratch/scenarios"
scenarios=$(grep -c . "$scratch/scenarios")

# each OUTPUT [EXPLORE-OPTION]: all scenarios, some at a time. One that fails has printed its schedule.
each() {
    output=$1
    shift
    # shellcheck disable=SC2016 # the inner shell's
    xargs -P "$jobs" -I '{}' sh -c '"$@" >"$0" 2>&1; rc=$?; cat "$0"; rm -f "$0"; exit $rc' "$scratch/{}" \
        "$explore" "$@" '{}' <"$scratch/scenarios" >"$output" && faults=0 || faults=1
    cat "$output"
}

# sum OUTPUT WORD: of the numbers before that word.
sum() {
    awk -v word="$2" '{ gsub(",", ""); for (i = 2; i <= NF; i++) if ($i == word) n += $(i - 1) } END { print n + 0 }' "$1"
}

# Adds an exhausted scenario as passed, one with a fault as failed. One that is cut off is neither.
count() {
    exhausted=$(grep ' executions' "$1" | grep -vc ', cut off$' || true)
    cut_off=$(grep -c ', cut off$' "$1" || true)
    passed=$((passed + exhausted))
    failed=$((failed + $2 - exhausted - cut_off))
    [ "$faults" -eq 0 ] || [ "$2" -gt $((exhausted + cut_off)) ] || failed=$((failed + 1))
}

if [ -n "$extent" ]; then
    say "up to 2 preemptions, with and without merging executions that come to the same state"
    each "$scratch/check" --check
    count "$scratch/check" $((2 * scenarios))
    echo "figure: $exhausted of $((2 * scenarios)) explorations of $scenarios scenarios, with and without merging, in" \
        "$(sum "$scratch/check" executions) executions; the threads came to $(($(sum "$scratch/check" ends) / 2)) ends"
fi

say "up to 3 preemptions"
export EXPLORE_MERGE=1
EXPLORE_PREEMPTIONS=3 each "$scratch/three"
count "$scratch/three" "$scenarios"
echo "figure: $exhausted of $scenarios scenarios exhausted with up to 3 preemptions, 1 timeout, 1 spurious wake-up:" \
    "$(sum "$scratch/three" states) states in $(sum "$scratch/three" executions) executions"

if [ -n "$extent" ]; then
    say "any number of preemptions"
    EXPLORE_PREEMPTIONS=10000 EXPLORE_SECONDS=8 each "$scratch/any"
    count "$scratch/any" "$scenarios"
    echo "figure: $exhausted of $scenarios scenarios exhausted with any number of preemptions, 1 timeout, 1 spurious" \
        "wake-up; $cut_off cut off after 8 s each: $(sum "$scratch/any" states) states in" \
        "$(sum "$scratch/any" executions) executions"
fi

finish
