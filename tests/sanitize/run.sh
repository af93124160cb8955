#!/bin/sh
# sh tests/sanitize/run.sh [--all]: the suite under the memory sanitizer, with a cmocka that is built under it too; and
# the threaded tests with delays at random places (delay.c) under gcc's and clang's thread sanitizers. Nothing may be
# reported, nothing is suppressed. --all runs more seeds, the tests' long versions, and shows on planted faults that
# the tools see what a plain run does not.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"
seeds=1 definitions=-DSANITIZER_SLOWDOWN=8
[ -z "$extent" ] || seeds=3 definitions=

dir=$root/build/sanitize

# build_target TARGET DIR [CMAKE-OPTION...]
build_target() {
    targets=$1
    shift
    build "$@" -DPUSH_BUILD_EXAMPLES=OFF -DPUSH_INSTALL=OFF -DPUSH_WERROR=ON
}

# ---- The memory sanitizer ----

memory_flags='-fsanitize=memory -fsanitize-memory-track-origins -fno-omit-frame-pointer'

# What is not built under the sanitizer writes memory behind its back; so cmocka is, without its own tests.
build_cmocka() {
    [ ! -f "$dir/cmocka/lib/pkgconfig/cmocka.pc" ] || return 0
    fetch_cmocka "$dir/source" &&
        cmake -S "$dir/source" -B "$dir/source/build" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=None \
            -DCMAKE_C_FLAGS="$memory_flags -g -O1" -DWITH_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$dir/cmocka" \
            -DCMAKE_INSTALL_LIBDIR=lib &&
        cmake --build "$dir/source/build" --parallel "$jobs" && cmake --install "$dir/source/build"
}

# build_memory TARGET DIR
build_memory() {
    PKG_CONFIG_PATH=$dir/cmocka/lib/pkgconfig
    export PKG_CONFIG_PATH
    rc=0
    build_target "$1" "$2" -DCMAKE_C_COMPILER=clang -DPUSH_SANITIZE=memory \
        -DCMAKE_C_FLAGS="-fsanitize-memory-track-origins $definitions" || rc=1
    unset PKG_CONFIG_PATH
    return $rc
}

memory() {
    if ! compiles clang -fsanitize=memory; then
        skip "memory sanitizer: this system's clang has none"
        return
    fi
    mkdir -p "$dir"
    if ! build_cmocka >"$dir/cmocka.log" 2>&1 </dev/null; then
        tail -n 5 "$dir/cmocka.log"
        skip "memory sanitizer: no source of cmocka to be had here, and without it all that cmocka writes would count as unwritten"
        return
    fi
    say "memory: building"
    if ! build_memory push_tests "$dir/memory"; then
        fail "memory: the build"
        return
    fi
    say "memory: testing"
    run_ctest "$dir/memory" -R '^test_'
    echo "figure: programs under the memory sanitizer: $ran"
    [ -z "$extent" ] || plant_unwritten
}

# ---- The thread sanitizers, with delays ----

export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:allocator_may_return_null=1"

# run_jobs FOLDER: each line is a job, a program of that folder and a seed. One that fails leaves its output behind.
run_jobs() {
    # shellcheck disable=SC2016 # for the inner shell
    xargs -P "$jobs" -n 2 sh -c '
        log=$2/$3.$4.log
        PUSH_DELAY_SEED=$4 timeout 300 $1 "$2/$3" >"$log" 2>&1 && rm "$log"
        exit 0
    ' sh "$no_aslr" "$1"
}

# list_jobs FOLDER: each program in it with each seed. The seeds are new ones each time.
list_jobs() {
    first_seed=$(date +%s)
    for path in "$1"/delayed_*; do
        seed=$first_seed
        while [ -x "$path" ] && [ "$seed" -lt $((first_seed + seeds)) ]; do
            echo "${path##*/} $seed"
            seed=$((seed + 1))
        done
    done
}

threads() {
    compiler=$1
    if ! compiles "$compiler" -fsanitize=thread; then
        skip "$compiler: it has no thread sanitizer"
        return
    fi
    say "$compiler: building"
    if ! build_target delayed "$dir/$compiler" -DCMAKE_C_COMPILER="$compiler" -DPUSH_SANITIZE=thread \
        -DCMAKE_C_FLAGS="$definitions"; then
        fail "$compiler: the build"
        return
    fi
    say "$compiler: testing with delays"
    programs=$dir/$compiler/tests/sanitize
    rm -f "$programs"/*.log
    list_jobs "$programs" >"$scratch/jobs"
    run_jobs "$programs" <"$scratch/jobs"
    count=$(wc -l <"$scratch/jobs")
    bad=0
    while read -r program seed; do
        log=$programs/$program.$seed.log
        [ -e "$log" ] || continue
        bad=$((bad + 1))
        cat "$log"
        fail "$program; again: PUSH_DELAY_SEED=$seed TSAN_OPTIONS=$TSAN_OPTIONS $programs/$program"
    done <"$scratch/jobs"
    pass $((count - bad))
    echo "figure: runs with delays under $compiler's thread sanitizer: $count"
    [ "$count" -gt 0 ] || fail "$compiler: no programs"
}

# ---- Planted faults ----

# copy_with_fault NAME FILE SED-EXPRESSION: the sources, one of them changed, in $copy.
copy_with_fault() {
    copy=$dir/planted-$1
    mkdir -p "$copy"
    cp -R "$root/CMakeLists.txt" "$root/include" "$root/src" "$root/tests" "$copy"
    sed -i "$3" "$copy/$2"
    if cmp -s "$root/$2" "$copy/$2"; then
        fail "planted: $1 is not there any more in $2"
        return 1
    fi
}

# What only decides whether a pull spins: no test can tell, nor can it do harm.
plant_unwritten() {
    say "planted: a field that nobody writes"
    copy_with_fault unwritten src/client.c 's/^    memset(c, 0, sizeof(\*c));$/    memset(c, 0, offsetof(push_client, spins));\
    memset(\&c->lock, 0, sizeof(*c) - offsetof(push_client, lock));/' || return 0
    if ! (root=$copy && build_memory test_client "$copy/memory" &&
        build_target test_client "$copy/plain" -DCMAKE_C_COMPILER=clang); then
        fail "planted: the build"
    elif ! "$copy/plain/tests/test_client" >"$copy/plain.log" 2>&1; then
        fail "planted: a plain run sees it too"
    elif "$copy/memory/tests/test_client" >"$copy/memory.log" 2>&1 ||
        ! grep -q 'MemorySanitizer: use-of-uninitialized-value' "$copy/memory.log"; then
        fail "planted: the memory sanitizer does not see it"
    else
        pass
    fi
}

# A push that gives up does not look whether a take-over has given its node to another client meanwhile: some
# instructions between two locks.
plant_race() {
    say "planted: a race in a window between two locks"
    copy_with_fault race src/mailbox_waiting.c 's/ && node->client == c;/;/' || return 0
    if ! (root=$copy && build_target "delayed_threads test_threads" "$copy/thread" -DCMAKE_C_COMPILER=gcc \
        -DPUSH_SANITIZE=thread); then
        fail "planted: the build"
        return
    fi
    programs=$copy/thread/tests/sanitize
    rm -f "$programs"/*.log
    runs=0
    seed=$(date +%s)
    while [ "$runs" -lt 12 ] && ! ls "$programs"/*.log >/dev/null 2>&1; do
        i=0
        while [ "$i" -lt "$jobs" ]; do
            echo "delayed_threads $((seed + runs + i))"
            i=$((i + 1))
        done | run_jobs "$programs"
        runs=$((runs + jobs))
    done
    if ls "$programs"/*.log >/dev/null 2>&1; then
        pass
    else
        fail "planted: delays do not find it"
    fi
    echo "figure: runs with delays until a planted race was seen: $runs"
    unseen=0
    i=0
    while [ "$i" -lt 3 ]; do
        ! $no_aslr "$copy/thread/tests/test_threads" >"$copy/plain.log" 2>&1 || unseen=$((unseen + 1))
        i=$((i + 1))
    done
    echo "figure: of 3 runs without delays, those that did not see it: $unseen"
}

need_test_tools
need clang compiles clang
need xz-utils command -v xz
install_missing
sanitizer_of_clang memory

memory
threads gcc
threads clang
[ -z "$extent" ] || plant_race

finish
