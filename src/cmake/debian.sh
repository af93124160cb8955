#!/bin/sh
# debian.sh SOURCE-FOLDER COPYRIGHT STRIP PACKAGE...: finishes the packages that CPack made, with what Debian's policy asks for
# and CPack has no setting for. CPack runs it through debian.cmake.
set -eu
source=$1 copyright=$2 strip=$3
shift 3
changelog=$source/src/cmake/changelog
# No file is newer than the release, so that the same source gives the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$(sed -n 's/^ -- .*>  //p' "$changelog" | head -n 1)" +%s)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# field NAME: of the unpacked package's control file.
field() {
    sed -n "s/^$1: //p" "$root/DEBIAN/control"
}

# Compressed as far as gzip can, and without a time.
compress() {
    gzip -9nf "$@"
}

add_documents() {
    mkdir -p "$doc"
    cp "$copyright" "$doc/copyright"
    cp "$changelog" "$doc/changelog.Debian"
    compress "$doc/changelog.Debian"
}

finish_runtime() {
    add_documents
    # CPack's scripts call ldconfig; the trigger does so once for all packages of a run.
    rm "$root/DEBIAN/postinst" "$root/DEBIAN/postrm"
    find "$root" -name '*.so.*' -type f -exec "$strip" --strip-unneeded --remove-section=.comment {} +
}

finish_development() {
    add_documents
    mkdir "$doc/examples"
    cp "$source"/examples/*.c "$doc/examples"
    cp "$source/README.md" "$doc"
    compress "$doc/README.md"
    find "$root" -path '*/share/man/*' -type f | while read -r page; do compress "$page"; done
    find "$root" -name '*.a' -exec "$strip" --strip-debug --enable-deterministic-archives --remove-section=.comment {} +
}

# As debhelper does it: a symbols package shares the documents of the package that it is for.
finish_symbols() {
    mkdir -p "$root/usr/share/doc"
    ln -s "${name%-dbgsym}" "$doc"
}

for package; do
    root=$work/${package##*/}
    dpkg-deb --raw-extract "$package" "$root"
    name=$(field Package)
    doc=$root/usr/share/doc/$name
    case $name in
    *-dbgsym) finish_symbols ;;
    *-dev) finish_development ;;
    *) finish_runtime ;;
    esac
    # Whatever the umask was where the files come from. There is nothing to execute.
    find "$root" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
    sed -i '/^Multi-Arch:/d; s/^Architecture: .*/&\nMulti-Arch: same/' "$root/DEBIAN/control"
    sed -i "s/^Installed-Size: .*/Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f 1)/" \
        "$root/DEBIAN/control"
    (cd "$root" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k 2 >DEBIAN/md5sums)
    dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
done
