/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * trace.h - what the gate met on its way, step by step, for `sluicectl explain`. Only an instance of
 * the program that was loaded with `tracing` set writes it; in the one that is attached the verifier
 * has removed every line of it.
 */
#ifndef SLUICE_TRACE_H
#define SLUICE_TRACE_H

#include <linux/types.h>

enum sluice_trace_step { /* bits of sluice_trace.steps: which parts below were filled */
	SLUICE_TRACE_LISTENER = 1,
	SLUICE_TRACE_ACL = 2,
	SLUICE_TRACE_PENALTY = 4,
	SLUICE_TRACE_COOKIE = 8,
	SLUICE_TRACE_CONNECTIONS = 16,
	SLUICE_TRACE_SOURCE = 32,
	SLUICE_TRACE_LIMIT = 64, /* the listener's */
	SLUICE_TRACE_GROUP = 128,
	SLUICE_TRACE_STRAY = 256,
	SLUICE_TRACE_SOCKET = 512,
};

enum sluice_trace_cookie { /* why one was tried, or not */
	SLUICE_COOKIE_OFF = 0,
	SLUICE_COOKIE_CALM = 1,   /* auto, and no flood */
	SLUICE_COOKIE_RATE = 2,   /* auto: SYNs come too fast, or did within the last second */
	SLUICE_COOKIE_ALWAYS = 3,
};

/* What a segment to a listener belongs to. */
enum cookie_owner {
	COOKIE_OWNER_CONNECTION, /* a connection, or a handshake under way */
	COOKIE_OWNER_COOKIE,	 /* a listening socket, and it brings a valid cookie */
	COOKIE_OWNER_NONE,
};

/* What the answers of helpers would be that leave a mark on the listening socket, or count a pick: an
 * instance that explains does not call them, it is told. */
struct sluice_trace_given {
	__s64 cookie;	    /* as bpf_tcp_gen_syncookie answers */
	__u32 owner;	    /* of a segment: enum cookie_owner */
	__u32 socket_state; /* TCP_ESTABLISHED...; 0: no socket */
};

struct sluice_trace {
	__u32 steps;
	__u32 listener;	   /* id */
	__u32 acl_global;  /* as acl_search answers: acl.h */
	__u32 acl_own;
	__u64 acl_expires_ns[2]; /* of the entry that matched: the global list's, the own one's */
	__u32 acl_live[2];
	__u32 penalty_level; /* 0: none */
	__u32 penalty_reason;
	__u64 penalty_until_ns;
	__u32 cookie_why; /* enum sluice_trace_cookie */
	__s32 cookie_result; /* 0: sent; else -errno of the kernel's helper */
	__u32 connections; /* of the source, now */
	__u32 connections_limit;
	__u64 source_tat_ns; /* before; 0: not seen yet */
	__u64 limit_tat_ns;
	__u64 stray_tat_ns;
	__u32 group;
	__u32 group_live;
	__u32 group_on_all_down;
	__u32 socket_state; /* of the socket that the packet belongs to: TCP_LISTEN...; 0: none */
	__u32 cookie_valid; /* the ACK carries a cookie of ours */
	__u32 pad;
};

#endif
