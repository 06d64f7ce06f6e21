#!/bin/bash
# SPDX-License-Identifier: MIT
#
# shell.sh - a second shell in the running demo (`sudo make demo-shell`): in the client's namespace,
# with the commands that demo.sh's last words name. Changes nothing by itself.

# shellcheck source=demo/world.sh
. "$(dirname "${BASH_SOURCE[0]}")/world.sh"

if [[ $EUID != 0 ]]; then
	echo "demo-shell: needs root: run \`sudo make demo-shell\`" >&2
	exit 1
fi
if ! world_pid sluiced >/dev/null; then
	echo "demo-shell: no demo is running: run \`sudo make demo\` in another terminal" >&2
	exit 1
fi
# shellcheck source=/dev/null
. "$WORLD_RUN/env"
export SLUICE_DEMO_SHELL=$ROOT/demo
export SLUICE_DEMO_TARGET=$WORLD_TARGET SLUICE_DEMO_CA=$WORLD_RUN/chain.pem
export SLUICE_DEMO_STUBS=$WORLD_BUILD SLUICE_BUILD=$BUILD
world_in "$NS_CLIENT" bash --rcfile "$ROOT/demo/shell.rc" -i
