#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh - sluice at work in a small world of network namespaces, step by step: `sudo make demo`.
# Each step shows what happens and asserts it. On a terminal the world then stays up until Ctrl-C;
# without one (or with --no-hold) the demo ends by itself, and exits 0 only if every step held.
# With --root it only says whether it may run at all.
# The world is world.sh's; the calls are client.py's.
# shellcheck disable=SC2317 # functions are called through check and trap

# shellcheck source=demo/world.sh
. "$(dirname "${BASH_SOURCE[0]}")/world.sh"

HOLD=0
[[ -t 0 && -t 1 && ${1:-} != --no-hold ]] && HOLD=1
FAILED=()
STEP=0
BEGUN=$SECONDS

if [[ -t 1 ]]; then
	BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' DIM=$'\e[2m' PLAIN=$'\e[0m'
else
	BOLD='' GREEN='' RED='' DIM='' PLAIN=''
fi

fail() {
	echo "demo: $*" >&2
	exit 1
}

banner() {
	STEP=$((STEP + 1))
	printf '\n%s━━ %d. %s %s%s\n' "$BOLD" "$STEP" "$1" \
		"$(printf '━%.0s' $(seq 1 $((80 > ${#1} ? 80 - ${#1} : 1))))" "$PLAIN"
}

say() {
	echo "    $*"
}

show() {
	echo "${DIM}    \$ $*${PLAIN}"
}

# check WHAT COMMAND...: a result line; remembers failures.
check() {
	local what=$1
	shift
	if "$@"; then
		echo "  ${GREEN}✔${PLAIN} $what"
	else
		echo "  ${RED}✘ $what${PLAIN}"
		FAILED+=("$STEP. $what")
	fi
}

client() {
	world_in "$NS_CLIENT" "$PYTHON" "$ROOT/demo/client.py" "$@" 9>&-
}

ctl() {
	"$BUILD/sluicectl" --socket "$WORLD_RUN/control.sock" "$@" 2>&1
}

indent() {
	sed 's/^/    /'
}

# query EXPRESSION COMMAND...: Python's view of the JSON that the command prints, as `j`.
query() {
	local expression=$1
	shift
	"$@" | "$PYTHON" -c 'import json, sys
j = json.load(sys.stdin)
print('"$expression"')' 2>/dev/null
}

# verdict NAME: packets, as XDP counted them.
verdict() {
	query "next(v['packets'] for v in j['verdicts'] if v['verdict'] == '$1')" ctl verdicts --json
}

# watch_health UP SECONDS: until so many backends are up; says every change on the way there.
watch_health() {
	local last='' health until=$((SECONDS + $2))
	while ((SECONDS <= until)) && world_pid sluiced >/dev/null; do
		health=$(query "' '.join(b['health'] for b in j['backends'])" ctl backends --json)
		if [[ -n $health && $health != "$last" ]]; then
			# shellcheck disable=SC2086 # one word a backend
			say "health: $(printf '%-8s' $health)"
			last=$health
		fi
		[[ $(grep -ow up <<<"$health" | wc -l) == "$1" && $health != *unknown* ]] && return 0
		sleep 0.1
	done
	say "not so within $2 s, or sluiced ended; its last lines:"
	tail -n 15 "$WORLD_RUN/sluiced.log" | indent
	return 1
}

worker_replaced() {
	local pid until=$((SECONDS + 5))
	while ((SECONDS <= until)); do
		pid=$(query '[w["pid"] for w in j["workers"] if w["state"] == "live"][0]' \
			ctl workers --json)
		[[ -n $pid && $pid != "$1" && $(query 'j["workers"]["live"]' ctl status --json) == 2 ]] &&
			return 0
		sleep 0.1
	done
	return 1
}

between() {
	(($1 <= $2 && $2 <= $3))
}

finish() {
	trap '' INT TERM HUP
	trap - EXIT
	# Clients that still run in the background, without the shell's word on how they ended.
	local pid
	for pid in $(jobs -p | grep -vx "${SLUICED:-}"); do
		kill "$pid" && wait "$pid"
	done 2>/dev/null
	[[ $HOLD == 1 ]] && printf '\n%sremoving the world%s\n' "$DIM" "$PLAIN"
	if ((${#FAILED[@]})); then
		cp "$WORLD_RUN/sluiced.log" "$WORLD_BUILD/" 2>/dev/null &&
			echo "sluiced's log: $WORLD_BUILD/sluiced.log"
	fi
	world_down 5
	if ((${#FAILED[@]})); then
		printf '%sdid not hold:%s\n' "$RED" "$PLAIN"
		printf '  %s\n' "${FAILED[@]}"
		exit 1
	fi
	exit "${1:-0}"
}

[[ $EUID == 0 ]] || fail "needs root for namespaces, XDP and BPF: run \`sudo make demo\`"
[[ ${1:-} == --root ]] && exit 0
for tool in ip nsenter ethtool openssl protoc bpftool clang "$PYTHON" /usr/bin/grpc_python_plugin; do
	command -v "$tool" >/dev/null || fail "$tool is missing: run \`make deps\`"
done
for tool in sluiced sluicectl; do
	[[ -x $BUILD/$tool ]] || fail "$BUILD/$tool is missing: run \`make\`"
done
mkdir -p "$WORLD_RUN" || fail "cannot make $WORLD_RUN"
exec 9<"$WORLD_RUN"
flock -n 9 || fail "another demo is running (its second shell: make demo-shell)"
world_down 5 # what a killed demo left
trap 'finish 130' INT TERM HUP
trap 'finish $?' EXIT

banner "A small world"
world_probe
world_prepare || fail "the world could not be prepared"
world_up || fail "the world could not be built"
for n in "${BACKENDS[@]}"; do
	backend_start "$n"
done
world_config >"$WORLD_RUN/sluice.yaml"
world_save
export SLUICE_DEMO_TARGET=$WORLD_TARGET SLUICE_DEMO_CA=$WORLD_RUN/chain.pem
export SLUICE_DEMO_STUBS=$WORLD_BUILD
if [[ $WORLD_MODE == kernel ]]; then
	((WORLD_IPV6)) || say "(no IPv6 on this machine)"
	say "client 198.18.0.2, fd00:18::2      a flooding source: 198.18.0.66"
	say "  │  TLS, HTTP/2"
	say "balancer 198.18.0.1, fd00:18::1    XDP on its interface front"
	say "  │  cleartext HTTP/2"
	say "backend-1 198.18.11.2   backend-2 198.18.12.2   backend-3 198.18.13.2   port 50051"
	say "weight 60               weight 30               weight 10"
else
	say "$WORLD_WHY"
	say "So the kernel's half is left out: no namespaces, no XDP, no sk_lookup, no pinned maps; their"
	say "steps with them. The L7 half runs as ever, on loopback, with kernel.mode: off."
	say "sluice on $WORLD_TARGET; backends on ports $PORT_1, $PORT_2 and $PORT_3, weights 60, 30 and 10"
fi

banner "sluiced starts, health goes green"
show "sluiced --config $WORLD_RUN/sluice.yaml"
check "the config is valid" world_in "$NS_LB" "$BUILD/sluiced" --check "$WORLD_RUN/sluice.yaml"
world_spawn sluiced "$NS_LB" "$BUILD/sluiced" --config "$WORLD_RUN/sluice.yaml"
SLUICED=$!
check "all three backends are up" watch_health 3 15
((${#FAILED[@]} == 0)) || exit 1 # the rest would only fail too
ctl backends | indent
if [[ $WORLD_MODE == kernel ]]; then
	check "XDP is attached in native mode" \
		grep -q xdp <(ip -n "$NS_LB" -o link show dev front | grep -v -e xdpgeneric -e xdpoffload)
fi

banner "Every kind of gRPC call"
check "all four kinds, and a deadline" client kinds
if [[ $WORLD_MODE == kernel && $WORLD_IPV6 == 1 ]]; then
	check "the same over IPv6" client call "hello over IPv6" --target "[fd00:18::1]:443"
fi

banner "Calls are spread by weight, one by one"
check "each backend has its share, within 2 %" client spread --count 1000 \
	--weights backend-1=60,backend-2=30,backend-3=10

if [[ $WORLD_MODE == kernel ]]; then
	banner "A flood from one source meets XDP, others do not notice"
	say "the limit: 20 new connections a second from one source, 40 at once"
	before=$(verdict drop_source_limit)
	client polite --seconds 3 >"$WORLD_RUN/polite.out" &
	POLITE=$!
	check "the flood got in no faster than the limit allows" \
		client flood --source 198.18.0.66 --seconds 2.5 --at-most 130
	wait "$POLITE"
	polite=$?
	cat "$WORLD_RUN/polite.out"
	check "the polite client had every call answered" [ "$polite" = 0 ]
	after=$(verdict drop_source_limit)
	say "verdict drop_source_limit: $before before, $after after"
	check "XDP dropped what was over the limit" between 500 "$((after - before))" 10000000

	banner "One packet explained, and its source shut out"
	show "sluicectl penalize 198.18.0.66 --for 1m --level packets"
	ctl penalize 198.18.0.66 --for 1m --level packets | indent
	show "sluicectl explain 198.18.0.66:40000 198.18.0.1:443   # what becomes of its next SYN, and why"
	ctl explain 198.18.0.66:40000 198.18.0.1:443 | indent
	check "the gate would drop it for the penalty" [ "$(query 'j["verdict"]' \
		ctl explain 198.18.0.66:40000 198.18.0.1:443 --json)" = drop_penalty_all ]
	check "and asking has counted nothing" [ "$(verdict drop_penalty_all)" = 0 ]
	check "others are served" client call "hello" --target 198.18.0.1:443
	ctl pardon 198.18.0.66 | indent
fi

banner "A backend is killed under load"
say "eight clients call without a pause; backend-1, with 60 % of the calls, gets a kill -9"
client load --seconds 5 >"$WORLD_RUN/load.out" &
LOAD=$!
sleep 1.5
show "kill -9 $(world_pid backend1)   # backend-1"
backend_kill 1
check "health turned red" watch_health 2 10
grep -o "backend is down.*" "$WORLD_RUN/sluiced.log" | tail -n 1 | indent
wait "$LOAD"
load=$?
cat "$WORLD_RUN/load.out"
check "no call failed" [ "$load" = 0 ]
check "the next calls go to the other two, by their weights" client spread --count 400 \
	--weights backend-2=30,backend-3=10
ctl backends | indent

if [[ $WORLD_MODE == kernel ]]; then
	banner "The kernel sees the same: maps through bpftool"
	show "bpftool map dump pinned $WORLD_PIN/groups     # the entry in use"
	"$PYTHON" "$ROOT/demo/maps.py" "$WORLD_PIN" groups | indent
	show "bpftool map dump pinned $WORLD_PIN/backends   # the entries in use; health 1 up, 2 down"
	"$PYTHON" "$ROOT/demo/maps.py" "$WORLD_PIN" backends | indent
	check "one backend is down in the kernel's map, two are live" \
		"$PYTHON" "$ROOT/demo/maps.py" "$WORLD_PIN" assert 2 1

	banner "All backends gone: XDP itself answers (on_all_down: reset)"
	before=$(verdict reset_all_down)
	backend_kill 2
	backend_kill 3
	check "no backend is up" watch_health 0 10
	check "a new connection is refused at once" client refused
	check "by XDP" between 1 "$(($(verdict reset_all_down) - before))" 1000000
fi

banner "They come back"
for n in "${BACKENDS[@]}"; do
	world_pid "backend$n" >/dev/null || backend_start "$n"
done
check "all three backends are up again" watch_health 3 15
check "and share the calls as before" client spread --count 400 \
	--weights backend-1=60,backend-2=30,backend-3=10

banner "A worker is killed, new connections do not meet it"
worker=$(query 'j["workers"][0]["pid"]' ctl workers --json)
show "kill -9 $worker   # worker 0"
[[ $worker -gt 1 ]] && kill -KILL "$worker"
check "20 new connections at once, every call answered" client fresh --count 20
check "the slot is filled again" worker_replaced "$worker"
ctl workers | indent

banner "sluicectl status"
ctl status >"$WORLD_RUN/status.out"
status=$?
indent <"$WORLD_RUN/status.out"
check "status answers" [ "$status" = 0 ]

if ((${#FAILED[@]} == 0)); then
	printf '\n%sEvery step held, in %d s.%s\n' "$GREEN" "$((SECONDS - BEGUN))" "$PLAIN"
fi

if [[ $HOLD == 1 ]]; then
	cat <<-END

		${BOLD}The world stays up until you press Ctrl-C.${PLAIN} In a second terminal:

		    sudo make demo-shell                 a shell in the client's namespace, in which:

		    call --count 10                      calls, and who answered
		    sluicectl backends                   or groups, workers, listeners, verdicts, status
		    sluicectl top                        all of it live; events --follow: what XDP does
		    flood                                a flood, to be met by XDP
		    kill-backend 2; start-backend 2      watch the health change
		    edit-config                          then: sluicectl reload
	END
	if [[ $WORLD_MODE == kernel ]]; then
		echo "    bpftool map dump pinned $WORLD_PIN/verdicts"
	fi
	if command -v grpcurl >/dev/null; then
		echo "    grpcurl -insecure -proto $ROOT/demo/echo.proto -import-path $ROOT/demo" \
			"-d '{\"text\":\"hi\"}' $WORLD_TARGET demo.Echo/Say"
	fi
	trap 'finish 0' INT TERM HUP
	while world_pid sluiced >/dev/null; do
		sleep 1
	done
	echo "sluiced is gone; its last lines:"
	tail -n 15 "$WORLD_RUN/sluiced.log" | indent
	exit 1
fi

banner "The end, in order"
kill -TERM "$SLUICED"
wait "$SLUICED"
check "sluiced drained and exited 0" [ $? = 0 ]
if [[ $WORLD_MODE == kernel ]]; then
	check "its pins are gone" [ ! -e "$WORLD_PIN/backends" ]
fi
exit 0
