/* SPDX-License-Identifier: MIT */
/*
 * explain.c - see explain.h. Finds out what the explaining instances must be told, runs them, and
 * turns socket cookies into workers. What the answer says is control_explain.c's.
 */
#include "control/explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "control/explain_socket.h"
#include "control/supervisor.h"

#define MSS_GIVEN 1460

struct explain_tokens explain_tokens(uint64_t tat_ns, uint64_t now_ns, uint64_t interval_ns,
				     uint64_t tolerance_ns)
{
	struct explain_tokens tokens = { .burst = tolerance_ns / interval_ns + 1 };
	uint64_t latest_ns = now_ns + tolerance_ns;

	/* As limit_take does: what lies too far ahead was written under another limit. */
	if (tat_ns < now_ns || tat_ns > latest_ns + interval_ns + 1000000000u)
		tat_ns = now_ns;
	if (tat_ns <= latest_ns)
		tokens.left = (latest_ns - tat_ns) / interval_ns + 1;
	else
		tokens.next_ns = tat_ns - latest_ns;
	return tokens;
}

static int read_syncookies(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_syncookies", "re");
	int value = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%d", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

/* The helper makes one at 2, and at 1 only while the listener's queue is full, which is not asked. None
 * is made where the addresses have a connection already, be it in TIME_WAIT. */
static void give(struct sluice_trace_given *given, const struct explanation *ret)
{
	given->cookie = ret->syncookies == 2 ? (__s64)MSS_GIVEN << 32 : -ENOENT;
	if (ret->socket_state > 0)
		given->cookie = -EINVAL;
	given->owner = ret->socket_state > 0 ? COOKIE_OWNER_CONNECTION : COOKIE_OWNER_NONE;
	given->socket_state = ret->socket_state > 0 ? (__u32)ret->socket_state : 0;
}

static bool is_on(const struct kernel *kernel, const char *interface)
{
	for (size_t i = 0; i < kernel->n_interfaces; i++)
		if ((!*interface || !strcmp(kernel->interfaces[i].name, interface)) &&
		    kernel->interfaces[i].used != BPF_XDP_OFF)
			return true;
	return false;
}

static bool find_slot(const struct supervisor *supervisor, uint32_t listener, uint64_t cookie,
		      uint32_t *ret_slot)
{
	const struct socket_row *row = &supervisor->sockets.rows[listener];

	for (uint32_t slot = 0; row->used && slot < supervisor->sockets.slots; slot++) {
		uint64_t of_slot = 0;
		socklen_t len = sizeof(of_slot);

		if (!getsockopt(row->fds[slot], SOL_SOCKET, SO_COOKIE, &of_slot, &len) &&
		    of_slot == cookie) {
			*ret_slot = slot;
			return true;
		}
	}
	return false;
}

static bool is_picked(const struct explanation *explanation)
{
	switch (explanation->gate.verdict) {
	case VERDICT_PASS_NEW:
	case VERDICT_PASS_FAIL_OPEN:
	case VERDICT_PASS_COOKIE:
	case VERDICT_COOKIE_SENT: /* once it comes back */
		return true;
	default:
		return false;
	}
}

static int pick(const struct supervisor *supervisor, const struct bpf_explain_packet *packet,
		struct explanation *ret, char *why, size_t why_size)
{
	uint64_t cookies[EXPLAIN_PICKS];
	int err = bpf_explain_pick(supervisor->kernel.bpf, packet, cookies, EXPLAIN_PICKS, why,
				   why_size);

	for (unsigned i = 0; i < EXPLAIN_PICKS && !err; i++) {
		uint32_t slot;

		if (cookies[i] &&
		    find_slot(supervisor, ret->gate.listener.id, cookies[i], &slot))
			ret->pick.slots[slot]++;
		else
			ret->pick.kernel++;
	}
	ret->pick.asked = !err;
	return err;
}

int explain(const struct supervisor *supervisor, const struct explain_query *query,
	    struct explanation *ret, char *why, size_t why_size)
{
	const struct kernel *kernel = &supervisor->kernel;
	struct bpf_explain_packet packet = { .source = query->source,
					     .destination = query->destination,
					     .ack = query->ack };
	int err;

	memset(ret, 0, sizeof(*ret));
	if (!kernel_is_on(kernel)) {
		snprintf(why, why_size, "the kernel side is off, so no packet is judged: %s",
			 kernel->why);
		return -EOPNOTSUPP;
	}
	if (query->source.sa.sa_family != query->destination.sa.sa_family) {
		snprintf(why, why_size, "source and destination are of different families");
		return -EAFNOSUPPORT;
	}
	if (query->interface[0]) {
		packet.ifindex = if_nametoindex(query->interface);
		if (!packet.ifindex) {
			snprintf(why, why_size, "there is no interface %s", query->interface);
			return -ENODEV;
		}
	}
	ret->on_interface = is_on(kernel, query->interface);
	ret->syncookies = read_syncookies();
	ret->socket_state = explain_socket_state(&query->destination, &query->source);
	give(&packet.given, ret);
	err = bpf_explain_gate(kernel->bpf, &packet, &ret->gate, why, why_size);
	/* Without it the kernel chooses, and nothing is to be asked. */
	if (!err && kernel->sk_lookup && is_picked(ret))
		err = pick(supervisor, &packet, ret, why, why_size);
	return err;
}
