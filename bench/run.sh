#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh - `make bench`: checks that the tools and peers are there, compiles hold.c, and hands over to
# bench.py (xdp_ns is make's). See run.sh --help for the parts; ENVOY=path adds Envoy.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${SLUICE_BUILD:-$ROOT/build}

declare -A package=([h2load]=nghttp2-client [nghttpd]=nghttp2-server [nghttpx]=nghttp2-proxy
	[haproxy]=haproxy [nginx]=nginx-light [openssl]=openssl)
missing=()
# nginx and HAProxy live in sbin, which users who are not root may not have in their path.
export PATH=$PATH:/usr/sbin:/sbin
for tool in "${!package[@]}"; do
	command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
if ((${#missing[@]})); then
	echo "bench: missing: apt-get install ${missing[*]}" >&2
	exit 1
fi
if [[ -n ${ENVOY:-} && ! -x $ENVOY ]]; then
	echo "bench: ENVOY=$ENVOY cannot be executed" >&2
	exit 1
fi
if [[ ! -x $BUILD/sluiced && "$*" != *--proxies* && "$*" != *--help* ]]; then
	echo "bench: $BUILD/sluiced is missing: run \`make\`, or give --proxies without sluice" >&2
	exit 1
fi
mkdir -p "$BUILD/bench" || exit 1
# compile NAME FLAGS…: build/bench/NAME, where it is older than its source.
compile() {
	local name=$1
	shift
	[[ $BUILD/bench/$name -nt $ROOT/bench/$name.c ]] ||
		"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror "-I$ROOT/include" \
			"-I$ROOT/user" "-I$BUILD/bpf" "$ROOT/bench/$name.c" "$@" -o "$BUILD/bench/$name"
}
compile hold -lssl -lcrypto || exit 1
exec /usr/bin/python3 "$ROOT/bench/bench.py" --build "$BUILD" "$@"
