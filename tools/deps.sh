#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deps.sh SECTION... - installs what is missing of packages.txt's sections, by apt. Does nothing,
# and needs neither root nor the network, where nothing is missing. Called by the Makefile.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
	echo "deps: $*" >&2
	exit 1
}

# The needs of a section, one a line.
needs() {
	awk -v want="[$1]" '
		/^[[:space:]]*(#|$)/ { next }
		/^\[/ { on = $0 == want; next }
		on' packages.txt
}

installed() {
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# known PACKAGE: has apt a version of it?
known() {
	[[ -n $(apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)"') ]]
}

alternatives() {
	tr '|' '\n' <<<"$1" | tr -d ' \t'
}

satisfied() {
	local package

	while read -r package; do
		if installed "$package"; then
			return 0
		fi
	done < <(alternatives "$1")
	return 1
}

choose() {
	local package

	while read -r package; do
		if known "$package"; then
			echo "$package"
			return 0
		fi
	done < <(alternatives "$1")
	return 1
}

missing=()
while IFS= read -r need; do
	satisfied "$need" || missing+=("$need")
done < <(for section in "$@"; do needs "$section"; done | sort -u)

if ((${#missing[@]} == 0)); then
	exit 0
fi

command -v apt-get >/dev/null ||
	die "missing, and there is no apt here to install them: ${missing[*]}"
((EUID == 0)) ||
	die "${#missing[@]} packages are missing; run \`sudo make deps\` (${missing[*]})"

echo "deps: installing for: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive

# An old or empty index must not make us choose the wrong alternative.
chosen=()
updated=0
for need in "${missing[@]}"; do
	if ! package=$(choose "$need") && ((!updated)); then
		apt-get -q update
		updated=1
		package=$(choose "$need") || true
	fi
	[[ -n $package ]] || die "apt knows none of: $need"
	chosen+=("$package")
done

# Servers among them must not start: they would take ports and bend measurements.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi

install() {
	apt-get -q install -y --no-install-recommends "${chosen[@]}"
}

if ((updated)); then
	install
else
	install || { apt-get -q update && install; }
fi

if command -v systemctl >/dev/null && [[ -d /run/systemd/system ]]; then
	for service in nginx haproxy nghttpx; do
		[[ " ${chosen[*]} " != *" $service"* ]] || systemctl disable --quiet "$service" || true
	done
fi
