#!/bin/bash
# SPDX-License-Identifier: MIT
#
# xdp.sh - `make bench-xdp`: the gate's nanoseconds (xdp_ns) and its packets a second beside
# nftables (xdp_pps), as the tables of docs/BENCHMARKS.md, into build/bench/xdp.md.
#
#   bench/xdp.sh [--quick] [--write]
#
# --quick: a look, no figures. --write: puts them into docs/BENCHMARKS.md, between its two marks.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${SLUICE_BUILD:-$ROOT/build}
OUT=$BUILD/bench/xdp.md
quick=() write=

for argument; do
	case $argument in
	--quick) quick=(--quick) ;;
	--write) write=1 ;;
	*)
		sed -n '4,9s/^# \{0,1\}//p' "$0"
		exit 1
		;;
	esac
done
if ((EUID)); then
	echo "SKIP: needs root"
	exit 77
fi
cpu=$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1)
{
	echo "$(date -u +%F), ${cpu:-unknown CPU}, $(nproc) CPUs, Linux $(uname -r)," \
		"$(git -C "$ROOT" describe --always)."
	echo
	"$BUILD/bench/xdp_ns" --table "${quick[@]}"
	echo
	"$BUILD/bench/xdp_pps" "${quick[@]}"
} > "$OUT.tmp"
mv "$OUT.tmp" "$OUT"
cat "$OUT"
if [[ $write ]]; then
	doc=$ROOT/docs/BENCHMARKS.md
	begin='^<!-- bench-xdp: begin -->' end='^<!-- bench-xdp: end -->'
	sed -i -e "/$begin/,/$end/{/$begin/r $OUT" -e "/$begin/b" -e "/$end/b" -e 'd}' "$doc"
	echo "written into $doc"
fi
