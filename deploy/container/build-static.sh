#!/bin/sh
# Builds the three daemons and imsctl as static programs, for images without a base: the C library is inside, and names are
# asked of DNS by the daemons themselves, so that nothing of nsswitch is missed. Where the musl target is installed
# (rustup target add x86_64-unknown-linux-musl, package musl-tools) it is taken, else glibc.
#
#   deploy/container/build-static.sh          # into target/static
#   docker build -f deploy/container/Dockerfile -t ims-core target/static
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-$top/target/static}
machine=$(uname -m)
target=$machine-unknown-linux-gnu
if command -v rustup >/dev/null 2>&1 && rustup target list --installed | grep -qx "$machine-unknown-linux-musl" &&
    command -v musl-gcc >/dev/null 2>&1; then
    target=$machine-unknown-linux-musl
fi
cd "$top"
RUSTFLAGS="-C target-feature=+crt-static" ${CARGO:-cargo} build --release --locked --target "$target" \
    --target-dir "$out/build" -p pcscf -p icscf -p scscf -p ims-common --bins
for program in pcscf icscf scscf imsctl; do
    cp "$out/build/$target/release/$program" "$out/$program"
    if readelf --program-headers "$out/$program" | grep -q INTERP; then
        echo "build-static.sh: $program still wants a dynamic linker" >&2
        exit 1
    fi
done
echo "build-static.sh: $out has pcscf, icscf, scscf and imsctl ($target)"
