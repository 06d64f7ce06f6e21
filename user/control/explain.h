/* SPDX-License-Identifier: MIT */
/*
 * explain.h - what would become of a packet, and why: `sluicectl explain`. Nothing is sent, counted or
 * changed. Called by control_explain.c.
 */
#ifndef SLUICE_CONTROL_EXPLAIN_H
#define SLUICE_CONTROL_EXPLAIN_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "control/bpf_loader_explain.h"

struct supervisor;

struct explain_query {
	struct addr source, destination;
	bool ack;		  /* a later segment; else a SYN */
	char interface[IFNAMSIZ]; /* "": not said */
};

#define EXPLAIN_PICKS 128

/* Who would get the connection, of EXPLAIN_PICKS tries. */
struct explain_pick {
	bool asked;
	unsigned slots[SLUICE_MAX_WORKERS];
	unsigned kernel; /* the choice is SO_REUSEPORT's */
};

struct explanation {
	struct bpf_explanation gate;
	int socket_state; /* of the connection between the two: TCP_..., 0: none, -errno: not known */
	int syncookies;	  /* net.ipv4.tcp_syncookies, or -1 */
	bool on_interface; /* the gate is on the interface that was said, or on any */
	struct explain_pick pick;
};

/* 0, or -errno with why: -ENODEV for the interface, -EAFNOSUPPORT for two addresses of different
 * families, -EOPNOTSUPP where the kernel side is off. */
int explain(const struct supervisor *supervisor, const struct explain_query *query,
	    struct explanation *ret, char *why, size_t why_size);

/* GCRA's clock as people see it. */
struct explain_tokens {
	uint64_t left, burst;
	uint64_t next_ns; /* until one more is there, where none is left */
};
struct explain_tokens explain_tokens(uint64_t tat_ns, uint64_t now_ns, uint64_t interval_ns,
				     uint64_t tolerance_ns);

#endif
