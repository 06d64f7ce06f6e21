# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# world.sh - the demo's world: what demo.sh and shell.sh source to build it, find it and remove it.
# Kernel mode: five network namespaces joined by veth pairs. Loopback mode: the same processes on
# 127.0.0.1, where namespaces or BPF are refused. Everything it makes bears the name sluice-demo,
# so that a later run can remove what a killed one left. Assertions and words are demo.sh's.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${SLUICE_BUILD:-$ROOT/build}
WORLD_BUILD=$BUILD/demo     # generated code, kept between runs
WORLD_RUN=/run/sluice-demo  # state of the one demo that may run
WORLD_PIN=/sys/fs/bpf/sluice-demo
PYTHON=/usr/bin/python3     # Debian's, the one that python3-grpcio is for
NS_CLIENT=sluice-demo-client
NS_LB=sluice-demo-lb
BACKENDS=(1 2 3)
WEIGHTS=(60 30 10)

# world_in NS COMMAND...: runs it in that namespace; in loopback mode, as it is.
world_in() {
	local ns=$1
	shift
	if [[ $WORLD_MODE == kernel ]]; then
		nsenter --net="/run/netns/$ns" "$@"
	else
		"$@"
	fi
}

# world_spawn NAME NS COMMAND...: in the background, in a session of its own (so that Ctrl-C ends
# the demo in order), output to NAME.log; its pid and start time to NAME.pid.
world_spawn() {
	local name=$1 ns=$2 enter=()
	shift 2
	[[ $WORLD_MODE == kernel ]] && enter=(nsenter --net="/run/netns/$ns")
	setsid "${enter[@]}" "$@" </dev/null >>"$WORLD_RUN/$name.log" 2>&1 9>&- &
	# No "Killed" line on the screen when the shell reaps it; of sluiced the exit status is wanted.
	[[ $name == sluiced ]] || disown $!
	echo "$! $(world_start_time $!)" >"$WORLD_RUN/$name.pid"
}

# In clock ticks since boot; with the pid it names one process for good. Fails for zombies.
world_start_time() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# shellcheck disable=SC2086 # words wanted: field 22, counted after the name in brackets
	set -- ${stat##*) }
	[[ $1 != Z ]] && echo "${20}"
}

# world_pid NAME: its pid where it still runs.
world_pid() {
	local pid start
	[[ -e $WORLD_RUN/$1.pid ]] && read -r pid start <"$WORLD_RUN/$1.pid" || return 1
	[[ -n $start && $(world_start_time "$pid") == "$start" ]] && echo "$pid"
}

# world_end NAME SIGNAL SECONDS: signals it and waits for its end, then SIGKILL.
world_end() {
	local pid tries
	pid=$(world_pid "$1") || return 0
	kill "-$2" "$pid" 2>/dev/null
	for ((tries = $3 * 20; tries > 0; tries--)); do
		world_pid "$1" >/dev/null || break
		sleep 0.05
	done
	if world_pid "$1" >/dev/null; then
		kill -KILL "$pid" 2>/dev/null
	fi
	rm -f "$WORLD_RUN/$1.pid"
}

# shellcheck disable=SC2034 # WORLD_WHY is demo.sh's to show
# Whether namespaces, veth pairs and BPF maps can be had. Sets WORLD_MODE, and WORLD_WHY where it
# is loopback.
world_probe() {
	local error
	WORLD_MODE=loopback
	WORLD_WHY=
	if ! error=$(ip netns add "$NS_LB" 2>&1); then
		WORLD_WHY="network namespaces are refused here: ${error##*$'\n'}"
	elif ! error=$(ip -n "$NS_LB" link add probe type veth peer name probe1 2>&1); then
		WORLD_WHY="veth pairs are refused here: ${error##*$'\n'}"
	elif ! mountpoint -q /sys/fs/bpf && ! error=$(mount -t bpf bpf /sys/fs/bpf 2>&1); then
		WORLD_WHY="the BPF file system cannot be mounted: ${error##*$'\n'}"
	elif ! error=$(bpftool map create "$WORLD_PIN-probe" type array key 4 value 8 entries 1 \
		name sluice_probe 2>&1); then
		WORLD_WHY="BPF is refused here: ${error##*$'\n'}"
	else
		rm -f "$WORLD_PIN-probe"
		WORLD_MODE=kernel
	fi
	ip netns del "$NS_LB" 2>/dev/null
	return 0
}

# Code for echo.proto, and the certificate that clients trust.
world_prepare() {
	mkdir -p "$WORLD_BUILD" "$WORLD_RUN" || return 1
	protoc -I "$ROOT/demo" --python_out="$WORLD_BUILD" --grpc_python_out="$WORLD_BUILD" \
		--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin echo.proto || return 1
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj /CN=sluice.demo -addext subjectAltName=DNS:sluice.demo \
		-keyout "$WORLD_RUN/key.pem" -out "$WORLD_RUN/chain.pem" 2>"$WORLD_RUN/openssl.log" || {
		cat "$WORLD_RUN/openssl.log"
		return 1
	}
}

# world_link NS DEV ADDRESS...: a veth from the balancer's DEV to eth0 of NS. The first two
# addresses are the balancer's, the rest NS's.
world_link() {
	local ns=$1 dev=$2 address i=0 nodad=()
	shift 2
	ip -n "$NS_LB" link add "$dev" type veth peer name eth0 netns "$ns" || return 1
	for address in "$@"; do
		nodad=()
		[[ $address == *:* ]] && nodad=(nodad) # usable at once
		if ((i++ < 2)); then
			ip -n "$NS_LB" address add "$address" dev "$dev" "${nodad[@]}"
		else
			ip -n "$ns" address add "$address" dev eth0 "${nodad[@]}"
		fi
		# A machine without IPv6 has a smaller world.
		case $?$address in
			0*) ;;
			*:*) WORLD_IPV6=0 ;;
			*) return 1 ;;
		esac
	done
	# XDP sees the packets of a local namespace before their checksums are filled in otherwise.
	world_in "$NS_LB" ethtool -K "$dev" tx off >/dev/null 2>&1
	world_in "$ns" ethtool -K eth0 tx off >/dev/null 2>&1
	ip -n "$NS_LB" link set "$dev" up && ip -n "$ns" link set eth0 up && ip -n "$ns" link set lo up
}

# An XDP program that passes everything, on the client's end: without one, veth loses what the
# balancer sends by XDP_TX.
world_pass_program() {
	clang -target bpf -O2 -g "-I/usr/include/$(gcc -dumpmachine)" -c "$ROOT/demo/pass.bpf.c" \
		-o "$WORLD_BUILD/pass.bpf.o" || return 1
	bpftool prog load "$WORLD_BUILD/pass.bpf.o" "$WORLD_PIN-pass" type xdp || return 1
	world_in "$NS_CLIENT" bpftool net attach xdpdrv pinned "$WORLD_PIN-pass" dev eth0
	local rc=$?
	rm -f "$WORLD_PIN-pass"
	return $rc
}

world_up() {
	local n
	if [[ $WORLD_MODE == loopback ]]; then
		ip link set lo up 2>/dev/null
		read -r WORLD_PORT "${BACKENDS[@]/#/PORT_}" < <("$PYTHON" -c '
import socket
socks = [socket.socket() for _ in range(4)]
for s in socks:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in socks])') || return 1
		WORLD_TARGET=127.0.0.1:$WORLD_PORT
		WORLD_LISTEN=$WORLD_TARGET
		return 0
	fi
	WORLD_TARGET=198.18.0.1:443
	WORLD_IPV6=1
	ip netns add "$NS_CLIENT" && ip netns add "$NS_LB" && ip -n "$NS_LB" link set lo up || return 1
	world_link "$NS_CLIENT" front 198.18.0.1/24 fd00:18::1/64 \
		198.18.0.2/24 198.18.0.66/24 fd00:18::2/64 || return 1
	for n in "${BACKENDS[@]}"; do
		ip netns add "sluice-demo-be$n" || return 1
		world_link "sluice-demo-be$n" "back$n" "198.18.1$n.1/24" "fd00:18:$n::1/64" \
			"198.18.1$n.2/24" || return 1
	done
	WORLD_LISTEN="[::]:443"
	((WORLD_IPV6)) || WORLD_LISTEN=0.0.0.0:443
	world_pass_program
}

# backend_address N
backend_address() {
	local port=PORT_$1
	if [[ $WORLD_MODE == kernel ]]; then
		echo "198.18.1$1.2:50051"
	else
		echo "127.0.0.1:${!port}"
	fi
}

backend_start() {
	world_spawn "backend$1" "sluice-demo-be$1" "$PYTHON" "$ROOT/demo/echo_server.py" \
		--name "backend-$1" --address "$(backend_address "$1")" --stubs "$WORLD_BUILD"
}

# As a crash would: no goodbye.
backend_kill() {
	world_end "backend$1" KILL 2
}

world_config() {
	local n
	cat <<-END
		workers: 2
		control: {socket: $WORLD_RUN/control.sock}
		kernel:
	END
	if [[ $WORLD_MODE == kernel ]]; then
		cat <<-END
			  mode: required
			  pin_path: $WORLD_PIN
			  interfaces: [{name: front, xdp: native}]
			  per_source: {new_connections: 20/s, burst: 40}
		END
	else
		echo "  mode: off"
	fi
	cat <<-END
		listeners:
		- name: demo
		  address: "$WORLD_LISTEN"
		  protocol: https
		  certificate: {chain: $WORLD_RUN/chain.pem, key: $WORLD_RUN/key.pem}
		  group: echo
		groups:
		- name: echo
		  protocol: grpc
		  balance: weighted_round_robin
		  on_all_down: reset
		  backends:
	END
	for n in "${BACKENDS[@]}"; do
		echo "  - {address: $(backend_address "$n"), weight: ${WEIGHTS[n - 1]}}"
	done
	cat <<-END
		  health_check:
		    protocol: grpc
		    path: /grpc.health.v1.Health/Check
		    interval: 1s
		    timeout: 1s
		    healthy_threshold: 2
		    unhealthy_threshold: 2
	END
}

# What shell.sh needs to find the world.
world_save() {
	cat >"$WORLD_RUN/env" <<-END
		WORLD_MODE=$WORLD_MODE
		WORLD_TARGET=$WORLD_TARGET
		WORLD_PORT=${WORLD_PORT:-443}
		PORT_1=${PORT_1:-} PORT_2=${PORT_2:-} PORT_3=${PORT_3:-}
	END
}

# Removes everything that a demo makes, whoever made it; safe where nothing is there. SECONDS:
# how long sluiced may take to drain.
world_down() {
	local n ns pid file
	[[ -d $WORLD_RUN ]] && world_end sluiced TERM "${1:-5}"
	for file in "$WORLD_RUN"/*.pid; do
		[[ -e $file ]] && world_end "$(basename "$file" .pid)" KILL 1
	done
	for ns in "$NS_CLIENT" "$NS_LB" "${BACKENDS[@]/#/sluice-demo-be}"; do
		[[ -e /run/netns/$ns ]] || continue
		# The shells of `make demo-shell`, workers of a killed sluiced.
		for n in HUP KILL; do
			for pid in $(ip netns pids "$ns" 2>/dev/null); do
				[[ $pid != "$$" ]] && kill "-$n" "$pid" 2>/dev/null
			done
			sleep 0.05
		done
		ip netns del "$ns" 2>/dev/null
	done
	rm -rf "$WORLD_PIN" "$WORLD_PIN-pass" "$WORLD_PIN-probe" 2>/dev/null
	[[ -d $WORLD_RUN ]] && find "$WORLD_RUN" -mindepth 1 -delete
	return 0
}
