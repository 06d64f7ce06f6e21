/* SPDX-License-Identifier: MIT */
/*
 * h2_guard.h - how often a peer may do what costs it nothing and us something. One 64-bit time a
 * guard (GCRA): burst at once, then one each interval. Used by the session layer only, which ends
 * the connection with ENHANCE_YOUR_CALM and says what was abused.
 */
#ifndef SLUICE_PROXY_H2_GUARD_H
#define SLUICE_PROXY_H2_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct h2_guard {
	uint64_t tat_ns;
};

/* Streams that the client reset before they ended: CVE-2023-44487. gRPC clients do cancel and
 * hedge, so a busy one gets room. */
#define GUARD_RESET_BURST	1000
#define GUARD_RESET_INTERVAL_NS 5000000ull /* 200 a second */
/* PING and SETTINGS with no DATA or HEADERS between them, either way. */
#define GUARD_CONTROL_BURST	  1000
#define GUARD_CONTROL_INTERVAL_NS 10000000ull
/* DATA frames without data. */
#define GUARD_EMPTY_BURST	100
#define GUARD_EMPTY_INTERVAL_NS 100000000ull

/* gRPC's rules for a client's PINGs (its "Keepalive User Guide" and proposal A8): so many may come
 * too early, by more than such a part of the interval; and so long must lie between them where none
 * may come without calls. */
#define GUARD_PING_STRIKES	   2
#define GUARD_PING_EARLY	   10 /* a tenth */
#define GUARD_PING_IDLE_INTERVAL_NS (2 * 3600 * 1000000000ull)

static inline bool h2_guard_allow(struct h2_guard *guard, uint64_t now_ns, uint64_t interval_ns,
				  uint32_t burst)
{
	uint64_t tat = guard->tat_ns > now_ns ? guard->tat_ns : now_ns;

	if (tat - now_ns > interval_ns * (burst - 1))
		return false;
	guard->tat_ns = tat + interval_ns;
	return true;
}

#endif
