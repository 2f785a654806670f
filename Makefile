# Two commands. The logic is Rust (tests/src/bin/ci.rs, tests/src/bin/lab.rs); this file installs what they need.
#
#   make lab          three real daemons, an embedded HSS and two simulated phones, with the ladder on screen
#   make lab ONCE=1   the same without a terminal: one round, exit status 0 only if every step held
#   make lab CLEAR=1  the same on loopback addresses with Gm in clear: needs neither privileges nor ESP
#   make test         every check and every test
#
# Both work as root and with sudo. What cannot be had is said, by name, before anything runs.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# For kernels without ESP: a virtual machine with Debian's.
VM_PACKAGES := qemu-system-x86 busybox-static kmod lz4 xz-utils binutils dash iproute2 procps tcpdump
LAB_PACKAGES := gcc libc6-dev pkg-config libpcsclite-dev $(if $(CLEAR),,$(VM_PACKAGES))
TEST_PACKAGES := $(LAB_PACKAGES) libssl-dev sip-tester freediameterd freediameter-extensions libfreediameter-dev \
  kamailio baresip-core pcscd vsmartcard-vpcd chromium systemd shellcheck python3-jsonschema python3-yaml

.PHONY: lab test setup-lab setup-test toolchain

lab: setup-lab
	$(CARGO) build --quiet --locked --package ims-common --package pcscf --package icscf --package scscf --package ims-tests --bins
	$(CARGO) run --quiet --locked --package ims-tests --bin $(if $(CLEAR),lab --,vm -- $(if $(ONCE),,--real-time --limit 1000000000) lab --ipsec) \
	  $(if $(ONCE),--once,)

test: setup-test
	$(CARGO) ci all

setup-lab: toolchain
	@SUDO="$(SUDO)" sh deploy/apt-install.sh $(LAB_PACKAGES)

setup-test: toolchain
	@SUDO="$(SUDO)" sh deploy/apt-install.sh $(TEST_PACKAGES)

toolchain:
	@command -v $(CARGO) >/dev/null 2>&1 || { \
	  echo "make: no cargo on the PATH. Install Rust 1.90 or newer (https://rustup.rs), then run this again." >&2; exit 1; }
