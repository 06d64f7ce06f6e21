#!/bin/bash
# SPDX-License-Identifier: MIT
#
# flood.sh - `make bench-flood`: checks that the tools are there, compiles the generator (flood.bpf.c,
# flood.c) and the clients (dial.c), and hands over to flood.py. See flood.sh --help.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${SLUICE_BUILD:-$ROOT/build}

export PATH=$PATH:/usr/sbin:/sbin
declare -A package=([nghttpd]=nghttp2-server [openssl]=openssl [ip]=iproute2 [ethtool]=ethtool
	[nsenter]=util-linux [taskset]=util-linux [sysctl]=procps [clang]=clang)
missing=()
for tool in "${!package[@]}"; do
	command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
if ((${#missing[@]})); then
	echo "bench: missing: apt-get install ${missing[*]}" >&2
	exit 1
fi
if [[ ! -x $BUILD/sluiced && "$*" != *--help* ]]; then
	echo "bench: $BUILD/sluiced is missing: run \`make\`" >&2
	exit 1
fi
mkdir -p "$BUILD/bench" || exit 1
compile() {
	local name=$1
	shift
	"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror "$ROOT/bench/$name.c" "$@" \
		-o "$BUILD/bench/$name"
}
"${CLANG:-clang}" -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Wno-unused-parameter -Werror \
	"-I/usr/include/$(gcc -dumpmachine)" -c "$ROOT/bench/flood.bpf.c" -o "$BUILD/bench/flood.bpf.o" || exit 1
compile flood -lbpf || exit 1
compile dial -lssl -lcrypto -lpthread || exit 1
exec /usr/bin/python3 "$ROOT/bench/flood.py" --build "$BUILD" "$@"
