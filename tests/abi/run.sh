#!/bin/sh
# sh tests/abi/run.sh [--all | --record]: the shared library's binary interface is the one recorded in push.abi, as
# abidiff sees it in the debug information; and abidiff sees changes that are planted into a copy of the sources, and
# none where only what is inside has changed. --record makes push.abi anew: after an addition, or with a new SONAME.
. "$(dirname -- "$0")/../lib.sh"

case ${1-} in
'' | --all | --record) ;;
*)
    echo "usage: sh tests/abi/run.sh [--all | --record]" >&2
    exit 2
    ;;
esac

dir=$root/build/abi
record=$root/tests/abi/push.abi

build_library() {
    targets=push build "$dir" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPUSH_BUILD_TESTS=OFF -DPUSH_BUILD_EXAMPLES=OFF
}

# interface HEADERS LIBRARY: what a program can see: exported functions, and the types of the public header. Without
# places in sources, so that it changes only when the interface does.
interface() {
    abidw --headers-dir "$1" --drop-private-types --exported-interfaces-only --no-show-locs --no-corpus-path \
        --no-comp-dir-path "$2" | sed "s,path='[^']*/src/,path='src/,"
}

# compare HEADERS LIBRARY: abidiff's report is in $scratch/report, its answer in $answer: bit 1 an error, 4 a change.
compare() {
    answer=0
    { interface "$1" "$2" >"$scratch/now.abi" && abidiff "$record" "$scratch/now.abi"; } >"$scratch/report" 2>&1 || answer=$?
}

check_library() {
    compare "$root/include" "$dir/libpush.so.0"
    if [ "$answer" -eq 0 ]; then
        pass
        return
    fi
    fail "the binary interface is not the one in tests/abi/push.abi"
    cat "$scratch/report"
    if only_additions; then
        say "additions only: raise the minor version, name the new functions in src/cmake/symbols.in, and record it:" \
            "sh tests/abi/run.sh --record"
    else
        say "programs that were linked against the library may break: take it back, or raise the SONAME" \
            "(src/README.md, Binary interface)"
    fi
}

only_additions() {
    [ "$((answer & ~4))" -eq 0 ] &&
        grep -q '^Functions changes summary: 0 Removed, 0 Changed\( ([^)]*)\)*, [1-9][0-9]* Added' "$scratch/report"
}

# ---- What must be seen ----

copy=$scratch/copy

# change FILE SED-SCRIPT: in the copy.
change() {
    sed "$2" "$copy/$1" >"$scratch/changed"
    if cmp -s "$copy/$1" "$scratch/changed"; then
        echo "nothing to change in $1"
        return 1
    fi
    cp "$scratch/changed" "$copy/$1"
}

# planted WHAT EXPECTED FILE SED-SCRIPT...: with the files so changed, abidiff sees a break, an addition, or nothing.
planted() {
    what=$1 expected=$2
    shift 2
    rm -rf "$copy/include" "$copy/src"
    cp -Rp "$root/include" "$root/src" "$copy"
    rm -f "$scratch/report"
    answer=1
    {
        while [ $# -gt 0 ]; do
            change "$1" "$2" || break
            shift 2
        done
        [ $# -eq 0 ] && compile_copy && compare "$copy/include" "$copy/libpush.so"
    } >"$scratch/log" 2>&1 || answer=1
    if [ "$answer" -eq 0 ]; then
        seen=nothing
    elif [ $((answer & 1)) -ne 0 ]; then
        seen=error
    elif only_additions; then
        seen=addition
    else
        seen=break
    fi
    if [ "$seen" = "$expected" ]; then
        pass
    else
        fail "planted: $what: abidiff sees: $seen; it is: $expected"
        cat "$scratch/log"
        [ ! -f "$scratch/report" ] || cat "$scratch/report"
    fi
}

# All in one, and not optimised: what abidiff compares is the same.
compile_copy() {
    # shellcheck disable=SC2046 # the version's first number
    gcc -std=c11 -D_GNU_SOURCE= -DPUSH_BUILD -I"$copy/include" -g -O0 -fPIC -fvisibility=hidden -shared \
        -Wl,-soname,libpush.so.$(sed -n 's/^#define PUSH_VERSION_MAJOR //p' "$copy/include/push/push.h") \
        "$copy"/src/*.c -o "$copy/libpush.so" -pthread
}

plant_all() {
    h=include/push/push.h
    mkdir "$copy"
    planted "nothing, built otherwise" nothing
    planted "a field of a handle's object" nothing src/msg.h 's/^struct push_msg {/&\n    void *planted;/'
    planted "a parameter's type" break $h '/push_client_pull(/s/int timeout_ms/long timeout_ms/' \
        src/api_client.c '/^int push_client_pull(/s/int timeout_ms/long timeout_ms/'
    planted "a parameter more" break $h '/ push_poller_wake(/s/push_poller \*p/&, int times/' \
        src/poller.c '/^void push_poller_wake(/s/push_poller \*p/&, int times/'
    planted "a result's type" break $h 's/bool push_session_exists(/int push_session_exists(/' \
        src/api_session.c 's/^bool push_session_exists(/int push_session_exists(/'
    planted "a field less" break $h '/^    bool closed; /d' src/mailbox.c '/^    out->closed = /d'
    planted "a field more" break $h 's/^    void \*data;  *\/\*\*< what push_poller_add.*/&\n    int planted;/'
    planted "a field's type" break $h 's/^    size_t timed_out;/    uint32_t timed_out;/'
    planted "two fields in the other order" break $h '/^    size_t max_buffer;  *\/\*\*< messages; 0/{h;d};/^    size_t max_bytes;/G'
    planted "an enumerator in between" break $h 's/^    PUSH_DROP_NEWEST,/    PUSH_PLANTED,\n&/'
    planted "a function less" break $h 's/^PUSH_API push_id \*push_sessions(/push_id *push_sessions(/'
    planted "another SONAME" break $h 's/^#define PUSH_VERSION_MAJOR .*/#define PUSH_VERSION_MAJOR 99/'
    planted "a function more" addition $h 's/^PUSH_API void push_shutdown(void);/&\nPUSH_API int push_planted(void);/' \
        src/api_session.c '$s/$/\nint push_planted(void)\n{\n    return 0;\n}/'
}

need_build_tools
need abigail-tools command -v abidiff
install_missing

if [ "$(uname -m)" != x86_64 ] || [ "$(getconf LONG_BIT)" -ne 64 ]; then
    say "skipped: push.abi was recorded on x86_64: sizes and offsets are others on $(uname -m)"
    skipped=1
    finish
fi

say "building the library"
build_library
if [ "${1-}" = --record ]; then
    interface "$root/include" "$dir/libpush.so.0" >"$record"
    say "recorded in $record"
fi
check_library
echo "figure: functions in the recorded interface: $(grep -c '<elf-symbol ' "$record")"
say "planting changes"
before=$((passed + failed))
plant_all
echo "figure: changes planted: $((passed + failed - before))"
finish
