#!/bin/sh
# sh tests/packages/run.sh [--all]: builds the Debian packages and the source tarball, and looks at them: lintian, names,
# fields, symbols; builds the same packages of the tarball, which must be equal to the byte; installs them into an empty
# folder, compiles and runs the hello world against them, and purges them. With --all, the same in a fresh Debian.
. "$(dirname -- "$0")/../lib.sh"

extent_of "$@"

here=$root/tests/packages
dir=$root/build/packages/deb
into=$scratch/empty
version=$(sed -n 's/^#define PUSH_VERSION_STRING "\(.*\)"$/\1/p' "$root/include/push/push.h")

# check WHAT COMMAND...: what it printed is shown where it fails. The command runs in a shell of its own, which ends at
# the first thing that goes wrong.
check() {
    what=$1
    shift
    set +e
    (
        set -e
        "$@"
    ) >"$scratch/log" 2>&1
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        pass
    else
        fail "$what"
        cat "$scratch/log"
    fi
}

# make_packages SOURCE BUILD TARGET...: with the flags that Debian builds its packages with. $nats: with libpush-nats?
nats=OFF
make_packages() {
    source=$1 build=$2
    shift 2
    cd "$source"
    DEB_BUILD_MAINT_OPTIONS=hardening=+all
    export DEB_BUILD_MAINT_OPTIONS
    eval "$(dpkg-buildflags --export=sh)"
    rm -rf "$build"/*.deb "$build"/*.ddeb "$build"/*.tar.gz "$build/_CPack_Packages"
    cmake -S "$source" -B "$build" -DCMAKE_INSTALL_PREFIX=/usr -DPUSH_BUILD_DOCS=ON -DPUSH_BUILD_TESTS=OFF \
        -DPUSH_BUILD_EXAMPLES=OFF -DPUSH_BUILD_NATS="$nats"
    cmake --build "$build" --parallel "$jobs"
    for target; do
        cmake --build "$build" --target "$target"
    done
}

# package NAME: its file.
package() {
    find "$dir" -maxdepth 1 -name "$1_*" \( -name '*.deb' -o -name '*.ddeb' \)
}

has_field() {
    [ "$(dpkg-deb -f "$(package "$1")" "$2")" = "$3" ] || {
        echo "$1: $2: $(dpkg-deb -f "$(package "$1")" "$2"), and not $3"
        return 1
    }
}

packages_are_named() {
    arch=$(dpkg --print-architecture)
    release=$(sed -n '1s/^libpush (\(.*\)) .*/\1/p' "$root/src/cmake/changelog")
    [ "${release%-*}" = "$version" ] || {
        echo "the changelog's last entry is for $release, the header says $version"
        return 1
    }
    for name in libpush0 libpush0-dbgsym libpush-dev; do
        has_field $name Version "$release"
        has_field $name Architecture "$arch"
        has_field $name Multi-Arch same
    done
    has_field libpush-dev Depends "libpush0 (= $release), libc6-dev | libc-dev"
    dpkg-deb -f "$(package libpush0)" Depends | grep '^libc6 (>= [0-9.]*)$'
}

lintian_is_pleased() {
    lintian --allow-root --fail-on error,warning "$(package libpush0)" "$(package libpush0-dbgsym)" "$(package libpush-dev)"
}

# Every exported function, and no other, with the version that it came with.
symbols_are_complete() {
    dpkg-deb -x "$(package libpush0)" "$scratch/symbols"
    mkdir "$scratch/symbols/debian"
    : >"$scratch/symbols/debian/control"
    cd "$scratch/symbols"
    dpkg-gensymbols -c4 -plibpush0 -v"$version" -e"$(echo usr/lib/*/libpush.so.0)" -I"$dir/debian/symbols" -O/dev/null
}

tarball_gives_the_same_packages() {
    mkdir "$scratch/source"
    tar -xzf "$dir/libpush-$version.tar.gz" -C "$scratch/source"
    make_packages "$scratch/source/libpush-$version" "$scratch/source/libpush-$version/build/packages/deb" package
    for name in libpush0 libpush0-dbgsym libpush-dev; do
        cmp "$(package $name)" "$scratch/source/libpush-$version/build/packages/deb/$(basename "$(package $name)")"
    done
}

# What cmake --install puts somewhere is in one of the packages: man pages compressed.
nothing_is_forgotten() {
    DESTDIR=$scratch/installed cmake --install "$dir"
    (cd "$scratch/installed" && find . ! -type d) | sort >"$scratch/installed.list"
    for name in libpush0 libpush-dev; do
        dpkg-deb --fsys-tarfile "$(package $name)" | tar -t
    done | sed 's/\.gz$//' | sort >"$scratch/packed.list"
    comm -23 "$scratch/installed.list" "$scratch/packed.list" >"$scratch/forgotten"
    cat "$scratch/forgotten"
    [ -s "$scratch/installed.list" ] && [ ! -s "$scratch/forgotten" ]
}

# Where libpush-nats is built beside, too: it is in no package, and so no manual page may be of it.
nothing_of_nats() {
    nats=ON dir=$root/build/packages/nats
    make_packages "$root" "$dir" package
    [ -f "$dir/src/nats/libpush-nats.so" ]
    [ -f "$dir/docs/man/man3/push_nats.3" ]
    for name in libpush0 libpush-dev; do
        dpkg-deb --fsys-tarfile "$(package $name)" | tar -t
    done >"$scratch/packed.list"
    grep 'man3/push_session\.3' "$scratch/packed.list"
    ! grep nats "$scratch/packed.list"
}

wrong_prefix_is_refused() {
    cmake -S "$root" -B "$scratch/local" -DPUSH_BUILD_TESTS=OFF -DPUSH_BUILD_EXAMPLES=OFF
    if (cd "$scratch/local" && cpack -G DEB -B "$scratch/local/out"); then
        echo "packages were made for $(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$scratch/local/CMakeCache.txt")"
        return 1
    fi
    [ -z "$(find "$scratch/local" -name '*deb' -type f)" ]
}

# ---- An empty folder ----

dpkg_there() {
    as_root dpkg --root="$into" --log=/dev/null --force-depends "$@"
}

install_there() {
    mkdir -p "$into/var/lib/dpkg/info" "$into/var/lib/dpkg/updates"
    : >"$into/var/lib/dpkg/status"
    dpkg_there --install "$(package libpush0)" "$(package libpush0-dbgsym)" "$(package libpush-dev)"
    [ -z "$(dpkg_there --verify libpush0 libpush0-dbgsym libpush-dev)" ]
}

# A debugger looks for the symbols by the library's build id.
symbols_are_for_the_library() {
    id=$(readelf -n "$into"/usr/lib/*/libpush.so.0 | sed -n 's/.*Build ID: //p')
    readelf --debug-dump=info "$into/usr/lib/debug/.build-id/$(echo "$id" | cut -c 1-2)/$(echo "$id" | cut -c 3-).debug" |
        grep -q 'DW_AT_name.*push_session_push$'
    ! readelf -S "$into"/usr/lib/*/libpush.so.0 | grep -q '\.debug_info'
}

nothing_is_left() {
    dpkg_there --purge libpush0 libpush0-dbgsym libpush-dev
    rest=$(find "$into" -mindepth 1 -path "$into/var/lib/dpkg" -prune -o -print | grep -vx "$into/var\(/lib\)*" || true)
    echo "$rest"
    [ -z "$rest" ]
}

# ---- A fresh Debian ----

base=$root/build/packages/bookworm.tar.gz

# All in the build folder: others may allow no devices or programs. The archive is kept, for it takes a while.
clean=$root/build/packages/root

# Where this system's own packages come from.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1
}

make_base() {
    [ ! -f "$base" ] || return 0
    say "making a fresh Debian"
    as_root rm -rf "$clean"
    as_root debootstrap --variant=minbase --include=gcc,libc6-dev,make,cmake,pkg-config,man-db bookworm "$clean" \
        "$(mirror)" >"$scratch/log" 2>&1 </dev/null || return 1
    as_root tar -czf "$base.new" --one-file-system -C "$clean" .
    mv "$base.new" "$base"
}

in_clean_root() {
    as_root rm -rf "$clean"
    mkdir "$clean"
    as_root tar -xzf "$base" -C "$clean"
    as_root mkdir "$clean/packages"
    as_root cp -R "$(package libpush0)" "$(package libpush0-dbgsym)" "$(package libpush-dev)" "$here/hello" "$here/try.sh" \
        "$here/clean_root.sh" "$clean/packages"
    status=0
    as_root chroot "$clean" sh /packages/clean_root.sh /packages "$version" </dev/null || status=$?
    as_root rm -rf "$clean"
    return "$status"
}

check_clean_root() {
    if make_base; then
        say "in a fresh Debian"
        check "installed, used and purged in a fresh Debian" in_clean_root
    else
        cat "$scratch/log"
        skip "a fresh Debian: debootstrap could not make one here"
    fi
}

if ! command -v dpkg-deb >/dev/null; then
    skip "all of it: this system has no dpkg: the packages are for Debian"
    finish
fi

need_build_tools
need pkg-config command -v pkg-config
need dpkg-dev command -v dpkg-shlibdeps
need file command -v file
need lintian command -v lintian
need doxygen command -v doxygen
need python3 command -v python3
need man-db man --version
[ -z "$extent" ] || need debootstrap sh -c 'PATH=$PATH:/usr/sbin command -v debootstrap'
install_missing
need_nats
install_missing || true
PATH=$PATH:/usr/sbin:/sbin

say "building the packages and the source tarball"
check "the packages and the tarball are built" make_packages "$root" "$dir" package package_source
[ "$failed" -eq 0 ] || finish
check "names and fields" packages_are_named
check "lintian sees no error and warns of nothing" lintian_is_pleased
check "the symbols file names what is exported" symbols_are_complete
check "all that is installed is in a package" nothing_is_forgotten
if has_nats; then
    check "nothing of libpush-nats is in them" nothing_of_nats
else
    skip "nothing of libpush-nats is in them: this system has no libnats 3.4, or no libcrypto"
fi
check "packages for another prefix than /usr are refused" wrong_prefix_is_refused
say "building them again, of the tarball"
check "the tarball gives the same packages" tarball_gives_the_same_packages
if as_root true 2>/dev/null; then
    say "installing them into an empty folder"
    check "they are installed" install_there
    check "hello world is compiled by pkg-config and find_package, and runs" sh "$here/try.sh" "$into" "$here/hello"
    check "the debug symbols are those of the library" symbols_are_for_the_library
    check "nothing is left after a purge" nothing_is_left
    [ -z "$extent" ] || check_clean_root
else
    skip "installing them: dpkg and chroot need root, or sudo"
fi

[ ! -d "$into" ] || as_root rm -rf "$into"
for name in libpush0 libpush0-dbgsym libpush-dev; do
    echo "figure: $name: bytes: $(wc -c <"$(package $name)")"
done
echo "figure: libpush0: kilobytes installed: $(dpkg-deb -f "$(package libpush0)" Installed-Size)"
finish
