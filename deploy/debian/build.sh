#!/bin/sh
# Makes ims-core_VERSION_ARCH.deb of binaries that are there already. Needs dpkg-deb and nothing else of Debian's tools.
#
#   cargo build --release -p pcscf -p icscf -p scscf -p ims-common --bins
#   deploy/debian/build.sh                       # from target/release into target/debian
#   BIN=DIR OUT=DIR VERSION=X COMPRESS="-Zgzip -z1" deploy/debian/build.sh
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-$top/target/release}
out=${OUT:-$top/target/debian}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$top/Cargo.toml" | head -n 1)}
arch=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

put() { # MODE SOURCE TARGET
    mkdir -p "$root/$(dirname "$3")"
    cp "$2" "$root/$3"
    chmod "$1" "$root/$3"
}

for program in pcscf icscf scscf imsctl; do
    if [ ! -x "$bin/$program" ]; then
        echo "build.sh: $bin/$program is not there; build it first" >&2
        exit 1
    fi
    put 755 "$bin/$program" "usr/bin/$program"
    # Symbols stay where they were built.
    if [ -z "${NO_STRIP:-}" ] && command -v strip >/dev/null 2>&1; then
        strip --strip-unneeded "$root/usr/bin/$program" 2>/dev/null || echo "build.sh: $program is not stripped" >&2
    fi
done
for unit in "$top"/deploy/systemd/*.service "$top"/deploy/systemd/*.target; do
    put 644 "$unit" "usr/lib/systemd/system/$(basename "$unit")"
done
put 644 "$top/deploy/debian/sysusers.conf" usr/lib/sysusers.d/ims-core.conf
put 644 "$top/deploy/debian/tmpfiles.conf" usr/lib/tmpfiles.d/ims-core.conf

: >"$root/conffiles"
for daemon in pcscf icscf scscf; do
    put 640 "$top/deploy/config/beside-an-epc/$daemon.yaml" "etc/ims/$daemon.yaml"
    put 644 "$top/deploy/config/$daemon.yaml" "usr/share/doc/ims-core/examples/all-keys/$daemon.yaml"
    echo "/etc/ims/$daemon.yaml" >>"$root/conffiles"
done
for set in one-machine three-machines; do
    for file in "$top/deploy/config/$set"/*.yaml; do
        put 644 "$file" "usr/share/doc/ims-core/examples/$set/$(basename "$file")"
    done
done

put 644 "$top/README.md" usr/share/doc/ims-core/README.md
for chapter in "$top"/common/src/manual/*.md; do
    put 644 "$chapter" "usr/share/doc/ims-core/$(basename "$chapter")"
done
put 644 "$top/CHANGELOG.md" usr/share/doc/ims-core/changelog.md
put 644 "$top/deploy/debian/copyright" usr/share/doc/ims-core/copyright
put 644 "$top/deploy/debian/ims-core.7" usr/share/man/man7/ims-core.7
for page in pcscf.8 icscf.8 scscf.8 imsctl.1; do
    folder=usr/share/man/man${page##*.}
    mkdir -p "$root/$folder"
    echo ".so man7/ims-core.7" >"$root/$folder/$page"
    gzip -9n "$root/$folder/$page"
done
gzip -9n "$root/usr/share/man/man7/ims-core.7" "$root/usr/share/doc/ims-core/changelog.md"

completion() { # SHELL TARGET
    mkdir -p "$root/$(dirname "$2")"
    "$bin/imsctl" completion "$1" >"$root/$2"
    chmod 644 "$root/$2"
}
completion bash usr/share/bash-completion/completions/imsctl
completion zsh usr/share/zsh/vendor-completions/_imsctl
completion fish usr/share/fish/vendor_completions.d/imsctl.fish

mkdir "$root/DEBIAN"
mv "$root/conffiles" "$root/DEBIAN/conffiles"
size=$(du -sk --exclude=DEBIAN "$root" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" "$top/deploy/debian/control" >"$root/DEBIAN/control"
for script in postinst prerm postrm; do
    cp "$top/deploy/debian/$script" "$root/DEBIAN/$script"
    chmod 755 "$root/DEBIAN/$script"
done
(cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/md5sums"
mv "$root/md5sums" "$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"
find "$root" -type d -exec chmod 755 {} +

mkdir -p "$out"
# shellcheck disable=SC2086 # a list of options
dpkg-deb --root-owner-group ${COMPRESS:--Zxz} --build "$root" "$out/ims-core_${version}_$arch.deb"
