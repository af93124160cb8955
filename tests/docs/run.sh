#!/bin/sh
# sh tests/docs/run.sh [--all]: makes the HTML and the manual pages, and holds them against the headers: each public
# function has its page, each page has its sections and pleases mandoc and groff; what is planted undocumented into a
# copy of a header fails the build; without libpush-nats there is nothing of nats.h; the picture in src/README.md is
# that of its source.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"

dir=$root/build/docs
push_h=include/push/push.h
nats_h=include/push/nats.h
targets=docs

# check WHAT COMMAND...: what it printed is shown where it fails.
check() {
    what=$1
    shift
    if "$@" >"$scratch/log" 2>&1; then
        pass
    else
        fail "$what"
        cat "$scratch/log"
    fi
}

# make_docs ON|OFF: with or without libpush-nats.
make_docs() {
    build "$dir" -DPUSH_BUILD_TESTS=OFF -DPUSH_BUILD_EXAMPLES=OFF -DPUSH_BUILD_NATS="$1"
}

# functions_of HEADER
functions_of() {
    sed -n 's/^PUSH_API [^(]*[ *]\(push_[a-z0-9_]*\)(.*/\1/p' "$root/$1"
}

nothing_of_nats() {
    found=$(
        find "$dir/docs/man" "$dir/docs/html" -name '*nats*'
        grep -rl push_nats "$dir/docs/man" "$dir/docs/html" || true
    )
    echo "$found"
    [ -f "$dir/docs/man/man7/libpush.7" ] && [ -f "$dir/docs/html/index.html" ] && [ -z "$found" ]
}

# The pages themselves, not the links to them.
pages() {
    grep -L '^\.so ' "$dir"/docs/man/man[37]/*
}

# man finds the page by the function's name, and it is one that names the function and shows its prototype.
every_function_has_a_page() {
    for function in $functions; do
        page=$(man -M "$dir/docs/man" -w 3 "$function") || return 1
        grep -q '^\.so ' "$page" && page=$dir/docs/man/$(sed 's/^\.so //' "$page")
        MANWIDTH=200 man -l "$page" >"$scratch/page"
        sed -n '/^NAME/,/^LIBRARY/p' "$scratch/page" | grep -qw "$function" &&
            sed -n '/^SYNOPSIS/,/^DESCRIPTION/p' "$scratch/page" | grep -q "[ *]$function(" &&
            grep -q "^   $function()" "$scratch/page" || {
            echo "$function: not in $page"
            return 1
        }
    done
}

every_function_is_in_the_html() {
    for function in $functions; do
        grep -q ">$function()</h2>" "$dir"/docs/html/group__push__*.html || {
            echo "$function: not in the HTML"
            return 1
        }
    done
}

every_page_has_its_sections() {
    for page in $(pages); do
        case $page in
        *.7) sections='NAME SYNOPSIS DESCRIPTION FUNCTIONS EXAMPLES SEE.ALSO' ;;
        *) sections='NAME LIBRARY SYNOPSIS DESCRIPTION RETURN.VALUE ERRORS WAITING OWNERSHIP THREADS SEE.ALSO' ;;
        esac
        for section in $sections; do
            grep -q "^\.SH $section$" "$page" || {
                echo "$page: no section $section"
                return 1
            }
        done
    done
}

mandoc_is_pleased() {
    # shellcheck disable=SC2046 # a list of files
    mandoc -Tlint -Wwarning $(pages)
}

groff_is_pleased() {
    for page in $(pages); do
        LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null
    done >"$scratch/warnings"
    cat "$scratch/warnings"
    [ ! -s "$scratch/warnings" ]
}

installed_with_the_library() {
    cmake --build "$dir" --parallel "$jobs" && cmake --install "$dir" --prefix "$scratch/prefix" &&
        diff -r "$dir/docs/man" "$scratch/prefix/share/man"
}

# ---- What must not pass ----

# In a copy of all that the documentation is made of.
copy_source() {
    rm -rf "$scratch/copy"
    mkdir "$scratch/copy"
    cp -R "$root/include" "$root/src" "$root/CMakeLists.txt" "$root/LICENSE" "$root/README.md" "$scratch/copy"
}

make_copy() {
    cmake --build "$scratch/copy/build" --target docs
}

copy_is_made() {
    copy_source
    cmake -S "$scratch/copy" -B "$scratch/copy/build" -DPUSH_BUILD_TESTS=OFF -DPUSH_BUILD_EXAMPLES=OFF \
        -DPUSH_BUILD_NATS="$with_nats" && make_copy
}

# planted HEADER SED-SCRIPT MESSAGE: the header so changed fails the build, with that message.
planted() {
    planted_header=$scratch/copy/$1
    sed "$2" "$root/$1" >"$planted_header"
    if cmp "$root/$1" "$planted_header"; then
        echo "the header has nothing to change"
        return 1
    fi
    planted_answer=0
    make_copy >"$scratch/planted.log" 2>&1 || planted_answer=$?
    cp "$root/$1" "$planted_header"
    if [ "$planted_answer" -eq 0 ]; then
        echo "the documentation was made"
        return 1
    fi
    grep -e "$3" "$scratch/planted.log" || {
        cat "$scratch/planted.log"
        return 1
    }
}

plant_in_push_h() {
    check "a function without a comment" planted $push_h \
        's/^PUSH_API void push_shutdown(void);/&\nPUSH_API int push_planted(void);/' 'push_planted.*is not documented'
    check "a type without a comment" planted $push_h \
        's/^PUSH_API void push_shutdown(void);/&\ntypedef struct push_planted { int field; } push_planted;/' \
        'push_planted is not documented'
    check "a macro without a comment" planted $push_h 's/^#define PUSH_ID_MAX.*/&\n#define PUSH_PLANTED 1/' \
        'PUSH_PLANTED.*is not documented'
    check "a field without a comment" planted $push_h 's/^    size_t high_water;.*/    size_t high_water;/' \
        'high_water.*is not documented'
    check "an enumerator without a comment" planted $push_h 's/^    PUSH_DROP_OLDEST,.*/    PUSH_DROP_OLDEST,/' \
        'PUSH_DROP_OLDEST.*is not documented'
    check "a parameter without a comment" planted $push_h '/@param max_buffer /d' "parameter 'max_buffer'"
    check "a comment for no parameter" planted $push_h 's/@param max_buffer /@param max_planted /' "'max_planted'"
    check "a result without a comment" planted $push_h '/@return the version/d' 'return.*push_version'
    check "a call that does not say whether it waits" planted $push_h '/@waits .*for the first message/d' \
        'push_client_pull_many.*waits'
    check "a call that does not say who owns what" planted $push_h '/@ownership  takes over/d' 'push_client_unpull.*ownership'
    check "a call that does not say which threads" planted $push_h '/@threads .*hold a handle of its own/d' \
        'push_poller_wait.*threads'
}

plant_in_nats_h() {
    check "nats.h: a function without a comment" planted $nats_h \
        's/^PUSH_API int push_nats_wait(.*/&\nPUSH_API int push_planted(void);/' 'push_planted.*is not documented'
    check "nats.h: a callback without a comment" planted $nats_h \
        's/^    push_msg \*(\*on_lost)(.*/&\n    void (*on_planted)(void *arg);/' 'on_planted.*is not documented'
    check "nats.h: a field of several without a comment" planted $nats_h \
        's/^\( *\*password,\).*/\1/' 'password.*is not documented'
    check "nats.h: an enumerator without a comment" planted $nats_h 's/^    PUSH_NATS_CORE, .*/    PUSH_NATS_CORE,/' \
        'PUSH_NATS_CORE.*is not documented'
    check "nats.h: a parameter without a comment" planted $nats_h '/@param urls /d' "parameter 'urls'"
    check "nats.h: a call that does not say whether it waits" planted $nats_h '/@waits .*for room in the outbox/d' \
        'nats\.h.*push_nats_push.*waits'
}

# ---- The picture ----

picture_is_current() {
    dot -Tsvg "$root/src/architecture.dot" | diff "$root/src/architecture.svg" -
}

picture_is_shown() {
    grep -F '](architecture.svg)' "$root/src/README.md"
}

check_picture() {
    check "the picture is shown in src/README.md" picture_is_shown
    drawn_by=$(sed -n 's/.*Generated by graphviz version \([0-9.]*\).*/\1/p' "$root/src/architecture.svg")
    if [ "$(dot -V 2>&1 | sed 's/.*version \([0-9.]*\).*/\1/')" = "$drawn_by" ]; then
        check "the picture is that of its source" picture_is_current
    else
        skip "the picture is that of its source: it was drawn by graphviz $drawn_by, and this system has another"
    fi
}

need_build_tools
need doxygen command -v doxygen
need graphviz command -v dot
need python3 command -v python3
need mandoc command -v mandoc
need man-db man --version
install_missing
need_nats
install_missing || true

with_nats=ON
if ! has_nats; then
    with_nats=OFF
    skip "the documentation of nats.h: this system has no libnats 3.4, or no libcrypto"
fi

rm -rf "$dir/docs"
say "making the documentation"
check "without libpush-nats the documentation is made" make_docs OFF
[ "$failed" -gt 0 ] || check "without libpush-nats there is nothing of nats.h" nothing_of_nats
functions=$(functions_of $push_h)
if [ "$with_nats" = ON ]; then
    check "with libpush-nats the documentation is made" make_docs ON
    functions="$functions $(functions_of $nats_h)"
fi
if [ "$failed" -eq 0 ]; then
    check "each function has a manual page" every_function_has_a_page
    check "each function is in the HTML" every_function_is_in_the_html
    check "each page has its sections" every_page_has_its_sections
    check "mandoc warns of nothing" mandoc_is_pleased
    check "groff warns of nothing" groff_is_pleased
    check "the pages are installed with the libraries" installed_with_the_library
    echo "figure: public functions with a manual page: $(echo "$functions" | wc -w)"
    echo "figure: manual pages: $(pages | wc -l)"
    say "planting what is not documented"
    check "a copy of the sources makes it too" copy_is_made
    before=$((passed + failed))
    plant_in_push_h
    [ "$with_nats" = OFF ] || plant_in_nats_h
    echo "figure: kinds of missing documentation planted: $((passed + failed - before))"
fi
check_picture

finish
