#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest.sh BUILD SLOWER - what runs inside the machine: mounts what a booted system would have, runs the
# tests, and prints lines beginning with "@vmtest " for matrix.py. The root file system is the host's,
# read-only below overlays. SLOWER: how much longer than elsewhere the tests may wait.
set -u

build=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export PYTHONDONTWRITEBYTECODE=1 SLUICE_BUILD=$build SLUICE_SLOWER=$2

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/netns /run/sluice
ip link set lo up
for module in veth bonding 8021q nf_tables sch_ingress; do
	modprobe -q "$module"
done

# try_device NAME WORDS...: can such a device be made? The words are ip-link's.
try_device() {
	local name=$1 can=no

	shift
	ip link add "$@" 2>/dev/null && can=yes
	echo "@vmtest feature $name devices=$can"
	ip link del vmtest0 2>/dev/null
}
try_device bond name vmtest0 type bond
ip link add vmtest1 type veth peer name vmtest2 2>/dev/null
try_device VLAN link vmtest1 name vmtest0 type vlan id 5
ip link del vmtest1 2>/dev/null

/usr/bin/python3 vmtest/features.py "$build" | sed 's/^/@vmtest feature /'

/usr/bin/python3 selftests/run.py --build "$build" --logs /tmp/vmtest bpf e2e-kernel
echo "@vmtest ended $?"
sync
