#!/bin/sh
# clean_root.sh FOLDER VERSION: runs in a fresh Debian, with the packages in FOLDER, and hello/ and try.sh: installs them,
# uses them, purges them.
set -eu
cd "$1"
version=$2
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

# All there is, but for what the package tools write of their own work.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path "$PWD" -o -path /var/cache -o -path /var/log \
        -o -path /var/lib/dpkg -o -path /var/lib/apt \) -prune -o -print | sort
}

files >before
for package in ./*.ddeb; do # apt knows the suffix .deb only
    cp "$package" "${package%.ddeb}.deb"
done
apt-get -q -y --no-install-recommends install ./*.deb
dpkg --verify libpush0 libpush-dev libpush0-dbgsym
[ "$(dpkg-query -W -f '${db:Status-Abbrev}' libpush0)" = 'ii ' ]
ldconfig -p | grep -F libpush.so.0
sh try.sh '' "$PWD/hello"
[ "$(pkg-config --modversion push)" = "$version" ]
for page in libpush push_session push_session_push push_poller_wait; do
    MANPAGER=cat man "$page" | grep -w "$page" >/dev/null
done
man -k push_client_pull | grep -F push_client_pull

# Nobody may take the library away under the headers.
if dpkg --remove libpush0; then
    echo 'libpush0 went, and libpush-dev needs it'
    exit 1
fi
apt-get -q -y purge libpush0 libpush-dev libpush0-dbgsym
if ldconfig -p | grep -F libpush; then
    echo 'the linker still knows it'
    exit 1
fi
files >after
diff before after
if dpkg -l 'libpush*' | grep '^[a-z]c\|^ii'; then
    echo 'dpkg still knows them'
    exit 1
fi
