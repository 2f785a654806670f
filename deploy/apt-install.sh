#!/bin/sh
# Installs the named Debian packages that are missing; does nothing when none is.
# Used by the Makefile: SUDO is empty for root, else "sudo".
set -eu

missing=""
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "make: this is not a Debian-like system (no apt-get); install the counterparts of:$missing" >&2
    exit 1
fi
if [ -n "${SUDO:-}" ] && ! command -v "$SUDO" >/dev/null 2>&1; then
    echo "make: not root and no sudo; ask an administrator for: apt-get install$missing" >&2
    exit 1
fi

echo "make: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() {
    # sudo drops the environment, so the variable is named inside.
    if ! ${SUDO:-} env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 "$@" >"$log" 2>&1; then
        cat "$log" >&2
        echo "make: apt-get $1 failed; needed:$missing" >&2
        exit 1
    fi
}
run update
# shellcheck disable=SC2086 # a list of package names
run install -y --no-install-recommends $missing
