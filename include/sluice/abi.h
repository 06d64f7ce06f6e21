/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * abi.h - the layout of every BPF map that sluice's processes and programs share.
 *
 * Included by BPF programs and by user space alike: plain __u types, explicit padding, a
 * _Static_assert on every size. Any change of layout raises SLUICE_ABI_VERSION; a daemon that
 * finds pinned maps of another version refuses them. Times are CLOCK_MONOTONIC nanoseconds
 * (bpf_ktime_get_ns). Addresses are 16 bytes in network order; IPv4 is mapped (::ffff:a.b.c.d).
 */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include <linux/types.h>

#include "verdicts.h"

#define SLUICE_ABI_VERSION 3

#define SLUICE_MAX_LISTENERS 256
#define SLUICE_MAX_WORKERS   128
#define SLUICE_MAX_GROUPS    4096
#define SLUICE_MAX_BACKENDS  16384
#define SLUICE_MAX_ROUTES    16384
#define SLUICE_MAX_SOURCES   262144
#define SLUICE_MAX_PENALTIES 65536
#define SLUICE_MAX_ACLS	     (1 + SLUICE_MAX_LISTENERS) /* the global one, and one a listener */
#define SLUICE_MAX_ACL_EXACT 1048576 /* entries of one list, room for live edits included */
#define SLUICE_MAX_ACL_PREFIXES 131072 /* of one list and family, likewise */
#define SLUICE_NAME_MAX      40 /* group names in the maps, with the NUL */

/* A worker whose heartbeat is older gets no new connection from sk_lookup. */
#define SLUICE_HEARTBEAT_LIMIT_NS (1000ull * 1000 * 1000)
/* How often a worker writes its heartbeat. */
#define SLUICE_HEARTBEAT_NS (100ull * 1000 * 1000)

/*
 * listeners: HASH. XDP and sk_lookup look up {destination, port}, then {any, port}, where any is
 * :: for IPv6 packets and ::ffff:0.0.0.0 for IPv4 ones. A listener on [::] therefore has two
 * entries with the same id.
 */
struct sluice_listener_key {
	__u32 address[4]; /* network order */
	__u16 port;	  /* network order */
	__u8 protocol;	  /* IPPROTO_TCP */
	__u8 pad;
};

/* SYN cookies, where one of the first two is set */
#define SLUICE_LISTENER_COOKIES_AUTO   1u /* while SYNs come faster than cookie_interval_ns allows */
#define SLUICE_LISTENER_COOKIES_ALWAYS 2u
#define SLUICE_LISTENER_COOKIES_PROBE  4u /* auto: also when the kernel says that the queue is full */
#define SLUICE_LISTENER_COOKIES_OPTIONS 8u /* window scaling, SACK in the timestamp: cookie.h */

#define SLUICE_GROUP_NONE 0xffffffffu /* listener without a group: never all down */

struct sluice_listener {
	__u32 id; /* below SLUICE_MAX_LISTENERS: index of listener_stats, row of sockets */
	__u32 flags;
	__u32 group; /* index into groups, or SLUICE_GROUP_NONE */
	__u32 slots; /* worker slots in use: sockets 0..slots-1 of this listener's row */
	__u32 acl;   /* index into acls of its own list beside the global one; 0: it has none */
	__u32 source_connections; /* open at once from one source, on all listeners; 0: no limit */
	__u8 cookie_wscale; /* of our own window, in SYN-ACKs with SLUICE_LISTENER_COOKIES_OPTIONS */
	__u8 pad[7];
	/* GCRA (ITU-T I.371): one new connection each interval, bursts up to tolerance/interval+1.
	 * An interval of 0 is no limit. */
	__u64 source_interval_ns;
	__u64 source_tolerance_ns;
	__u64 listener_interval_ns;
	__u64 listener_tolerance_ns;
	__u64 cookie_interval_ns; /* faster than this, SYNs get cookies (auto) */
	__u64 cookie_tolerance_ns;
};

/* sockets: SOCKMAP, key listener id * SLUICE_MAX_WORKERS + worker slot. */

/* workers: ARRAY, MMAPABLE, by slot. Written by the worker that holds the slot (state: also by
 * the supervisor when the worker is gone), read by sk_lookup and everyone. */
enum sluice_worker_state {
	SLUICE_WORKER_FREE = 0,
	SLUICE_WORKER_STARTING = 1,
	SLUICE_WORKER_LIVE = 2,
	SLUICE_WORKER_DRAINING = 3,
	SLUICE_WORKER_DEAD = 4,
};

struct sluice_worker {
	__u32 state; /* enum sluice_worker_state */
	__u32 pid;
	__u64 heartbeat_ns;
	__u32 connections; /* downstream connections open now */
	__u32 active_rpcs; /* calls under way now */
	__u64 started_ns;
	/* totals since the slot was filled */
	__u64 accepted;		 /* downstream connections */
	__u64 refused;		 /* closed at once: over the limit of connections */
	__u64 handshakes;	 /* TLS handshakes done */
	__u64 handshakes_resumed;
	__u64 handshakes_failed; /* TLS errors and time-outs */
	__u64 alpn_refused;	 /* no h2 offered */
	__u64 calls;		 /* calls begun */
	__u64 calls_ended[17];	 /* by grpc-status 0..16 as the client saw it */
	__u64 calls_cancelled;	 /* ended by the client: RST_STREAM or disconnect */
	__u64 calls_failed;	 /* answered by sluice itself */
	__u64 replays;		 /* calls sent again to another backend */
	__u64 deadlines;	 /* grpc-timeout expired here */
	__u64 protocol_errors;	 /* connections ended by GOAWAY with an error */
	__u64 upstream_connects;
	__u64 upstream_connect_failures;
	__u64 buffered_bytes;	 /* in leg buffers now */
	__u64 rx_bytes;		 /* downstream plaintext in */
	__u64 tx_bytes;		 /* downstream plaintext out */
	__u64 retries;		 /* attempts made by a route's retry policy */
	__u64 retries_denied;	 /* ... that its budget did not allow */
	__u64 rate_limited;	 /* calls over a route's rate */
	__u64 route_full;	 /* calls over a route's concurrent calls */
	__u64 breaker_calls;	 /* calls refused by a backend's or group's concurrent calls */
	__u64 breaker_pending;	 /* calls refused since too many waited for a connection */
	__u64 pending_expired;	 /* calls that waited too long for a connection */
	__u64 mirrored;		 /* calls copied to a mirror group */
	__u64 mirror_dropped;	 /* copies given up: over the mirror's bounds */
	__u64 streams_idle;	 /* calls ended by a route's idle timeout */
	__u64 streams_aged;	 /* calls ended by max_stream_age */
	__u64 connections_aged;	 /* downstream connections drained by age or number of calls */
	__u64 clients_lost;	 /* downstream connections whose keepalive PING stayed unanswered */
	__u64 too_many_pings;	 /* downstream connections ended for their PINGs */
	__u64 ejections;	 /* backends ejected by this worker's evidence */
	__u64 answered_here;	 /* fixed statuses and the health service: not failures */
	__u64 penalties;	 /* given to sources for the evidence that this worker had */
	__u64 penalized_refused; /* connections of sources under a penalty, closed at once */
	__u64 penalized_closed;	 /* ... open when the penalty began, closed then */
	__u64 source_full;	 /* connections over their source's limit, closed at once */
	__u64 sources_untracked; /* connections of sources that found no room in source_states */
	__u64 reserved[5];
};

/* groups: ARRAY, MMAPABLE, by group id. First cache line: written by the monitor (live, changed_ns)
 * and the supervisor (the rest); read by XDP and the workers. Second: words of all, by atomics. */
enum sluice_on_all_down {
	SLUICE_ALL_DOWN_ACCEPT = 0,
	SLUICE_ALL_DOWN_RESET = 1,
	SLUICE_ALL_DOWN_DROP = 2,
};

struct sluice_group {
	__u32 live;  /* backends with weight that are not down; 0: on_all_down holds */
	__u32 total; /* backends with weight */
	__u32 on_all_down;
	__u32 used;	  /* 1 while a group has this id */
	__u64 changed_ns; /* when live last changed */
	char name[SLUICE_NAME_MAX];
	/* second cache line */
	__u32 epoch;	    /* raised by whoever changes a health, ejection or weight in the group */
	__u32 active_calls; /* under way or waiting, from all workers; only where the group limits them */
	__u32 pending;	    /* calls that wait for a connection; likewise */
	__u32 connections;  /* upstream connections open from all workers; likewise */
	__u64 overflows;    /* calls refused by a circuit breaker of the group or its backends */
	__u64 ejections;    /* of its backends, since the group has its id */
	__u64 reserved[4];
};

/* backends: ARRAY, MMAPABLE, by backend id. First cache line: supervisor and monitor. Second:
 * the workers' shared words, all by atomics. */
enum sluice_health {
	SLUICE_HEALTH_UNKNOWN = 0, /* no verdict yet: counts as live */
	SLUICE_HEALTH_UP = 1,
	SLUICE_HEALTH_DOWN = 2,
};

/* Why the last check failed; detail holds the errno, grpc-status or HTTP status. */
enum sluice_health_reason {
	SLUICE_REASON_NONE = 0,
	SLUICE_REASON_CONNECT = 1,     /* detail: errno */
	SLUICE_REASON_TIMEOUT = 2,     /* detail: timeout in ms */
	SLUICE_REASON_RESET = 3,       /* detail: HTTP/2 error code of RST_STREAM or GOAWAY */
	SLUICE_REASON_DISCONNECT = 4,  /* the connection ended before the answer */
	SLUICE_REASON_GRPC_STATUS = 5, /* detail: grpc-status */
	SLUICE_REASON_HTTP_STATUS = 6, /* detail: :status */
	SLUICE_REASON_NOT_SERVING = 7, /* detail: ServingStatus of grpc.health.v1 */
	SLUICE_REASON_PROTOCOL = 8,    /* not HTTP/2, or no grpc-status */
	SLUICE_REASON_FORCED = 9,      /* by `sluicectl health`; detail: none */
	SLUICE_REASON_TLS = 10,	       /* the handshake failed */
};

/* Outlier detection. A backend leaves EJECTED by one trial call once ejected_until_ns is past. */
enum sluice_eject_state {
	SLUICE_EJECT_NONE = 0,
	SLUICE_EJECT_EJECTED = 1,
	SLUICE_EJECT_TRIAL = 2, /* one call is trying it, since eject_trial_ns */
};

enum sluice_eject_reason {
	SLUICE_EJECT_CONSECUTIVE = 1,  /* detail: failures in a row */
	SLUICE_EJECT_SUCCESS_RATE = 2, /* detail: its success rate, in 1/10000 */
	SLUICE_EJECT_LATENCY = 3,      /* detail: its mean latency, µs */
};

struct sluice_backend {
	__u32 group; /* index into groups */
	__u32 generation; /* changes when the id is given to another backend; 0: id unused */
	__u8 address[16];
	__u16 port; /* host order */
	__u16 weight;
	__u32 health;	     /* enum sluice_health */
	__u32 health_reason; /* enum sluice_health_reason of the last failed check */
	__u32 health_detail;
	__u64 health_changed_ns;
	__u64 ejected_until_ns; /* 0: not ejected */
	__u64 checks;		/* health checks ended; written by the monitor, as the next two */
	/* second cache line */
	__u32 active_rpcs; /* calls under way from all workers */
	__u32 connections; /* upstream connections open from all workers */
	__u64 calls;	   /* total begun */
	__u64 failures;	   /* calls ended by reset, disconnect or connect failure */
	__u64 checks_failed;
	__u64 health_changes;
	__u64 reserved[3];
	/* third cache line: outlier detection, by all workers' and the monitor's atomics; touched only
	 * in groups that have it */
	__u32 eject_state;	    /* enum sluice_eject_state */
	__u32 eject_reason;	    /* of the last ejection: enum sluice_eject_reason */
	__u32 eject_detail;
	__u32 eject_count;	    /* ejections that lengthen the next; falls again with time */
	__u64 eject_trial_ns;	    /* when the trial call began */
	__u32 consecutive_failures; /* outcomes that count as failures, in a row */
	__u32 drained;		    /* 1: takes no new calls (config or command), so counts as weight 0 */
	__u64 outcomes;		    /* attempts that ended, whatever way */
	__u64 outcome_failures;	    /* ... of these failures, by the group's codes */
	__u64 outcome_latency_us;   /* sum over those that did not fail: start to response headers */
	__u64 ejections;	    /* total */
	/* fourth cache line */
	__u32 forced;		    /* enum sluice_health: UP or DOWN by command; UNKNOWN: not forced */
	__u32 file_weight;	    /* weight as the file has it, where a command changed it; else weight */
	__u64 drain_until_ns;	    /* when its running calls are cut; 0: never */
	__u64 eject_answered_ns;    /* when the trial's response began; 0: not yet */
	__u64 spare[5];
};

/* routes: ARRAY, MMAPABLE, by route id. Name and listener: supervisor; the rest: workers' atomics. */
struct sluice_route {
	__u32 listener; /* id */
	__u32 used;	/* 1 while a route has this id */
	__u32 active_calls;   /* only where the route limits them or has a retry budget */
	__u32 active_retries; /* attempts under way that a retry policy made */
	__u64 calls;
	__u64 rate_limited;
	__u64 route_full;
	__u64 retries;
	__u64 retries_denied;
	__u64 mirrored;
	char name[SLUICE_NAME_MAX];
	__u64 reserved[3];
};

/* call_limits: ARRAY, MMAPABLE. Calls a second by route and key: GCRA's theoretical arrival times in
 * a set-associative table. tag: a keyed hash of route and key, never 0; its low bits choose the set. */
#define SLUICE_LIMIT_SETS 16384
#define SLUICE_LIMIT_WAYS 8
struct sluice_limit_set {
	struct {
		__u64 tag;
		__u64 tat_ns;
	} ways[SLUICE_LIMIT_WAYS];
};

/*
 * Access lists. acls: ARRAY, MMAPABLE: list 0 holds for all listeners, list 1 + listener id for that
 * one besides. Each list is there in two generations, of which `active` names the one in force: a new
 * list is built in the other one and swapped in by storing this one word. Row acl * 2 + generation
 * of the arrays of maps acl_exact (HASH), acl_v4 and acl_v6 (LPM_TRIE) holds its entries. The longest
 * prefix decides, over both lists; of equal ones the listener's own.
 */
enum sluice_acl_action {
	SLUICE_ACL_DENY = 1,
	SLUICE_ACL_ALLOW = 2,
};

#define SLUICE_ACL_GENERATION 1u  /* which one is in force */
#define SLUICE_ACL_HAS_EXACT  2u  /* where one of these is 0, its map is not looked into */
#define SLUICE_ACL_HAS_V4     4u
#define SLUICE_ACL_HAS_V6     8u
#define SLUICE_ACL_ALLOW_LIST 16u /* sources that match no entry are denied */

struct sluice_acl {
	__u32 active; /* SLUICE_ACL_...; 0: an empty list */
	__u32 pad;
};

struct sluice_acl_exact_key {
	__u32 address[4];
};

struct sluice_acl_v4_key { /* plain IPv4 */
	__u32 prefixlen;
	__u32 address;
};

struct sluice_acl_v6_key {
	__u32 prefixlen;
	__u32 address[4];
};

struct sluice_acl_entry {
	__u8 action;	/* enum sluice_acl_action */
	__u8 prefixlen; /* of 128: IPv4's is 96 + its own */
	__u8 live;	/* 1: entered by command, not by a file */
	__u8 pad[5];
	__u64 expires_ns; /* when the supervisor takes it out; 0: stays */
};

/* A source: the addresses that have a prefix in common (switches.v4_prefix, v6_prefix), written as the
 * first of them. sources: LRU_HASH, GCRA's theoretical arrival time of one source at one listener. */
struct sluice_source_key {
	__u32 address[4];
	__u32 listener;
	__u32 pad;
};

struct sluice_source {
	__u64 tat_ns;
};

/* strays: LRU_HASH by source, likewise, for packets that belong to no connection (vips). A map of its
 * own, so that a flood of them pushes nothing out of sources. */
struct sluice_stray_key {
	__u32 address[4];
};

/* vips: HASH {address} -> how many listeners have it. What else comes to these addresses is limited. */
struct sluice_vip_key {
	__u32 address[4];
};

/* penalties: LRU_HASH by source. Written by the supervisor, for the workers' evidence or by command. */
enum sluice_penalty_level {
	SLUICE_PENALTY_CONNECTIONS = 1, /* new connections are dropped */
	SLUICE_PENALTY_PACKETS = 2,	/* every packet to a listener is */
};

/* What a source did, as workers see it. */
enum sluice_evidence {
	SLUICE_EVIDENCE_NONE = 0,
	SLUICE_EVIDENCE_ABUSE = 1,     /* HTTP/2 floods: ENHANCE_YOUR_CALM */
	SLUICE_EVIDENCE_HANDSHAKE = 2, /* TLS failed or took too long */
	SLUICE_EVIDENCE_NOT_H2 = 3,    /* no h2 in ALPN, or no HTTP/2 preface */
	SLUICE_EVIDENCE_PROTOCOL = 4,  /* HTTP/2 errors that end a connection */
	SLUICE_EVIDENCE_OVER_LIMIT = 5, /* calls over a route's rate */
	SLUICE_EVIDENCE_BY_HAND = 6,   /* `sluicectl penalize` */
	SLUICE_EVIDENCE_MAX
};

struct sluice_penalty_key {
	__u32 address[4];
};

struct sluice_penalty {
	__u64 until_ns;
	__u64 since_ns;
	__u32 level;	/* enum sluice_penalty_level */
	__u32 reason;	/* enum sluice_evidence: what weighed most */
	__u64 dropped;	/* packets, by XDP */
};

/*
 * source_states: ARRAY, MMAPABLE. What the workers know of each source that has connected: how many
 * connections it has open (read by XDP for the limit), and the evidence against and for it.
 * Set-associative: the set is source_hash() of the address modulo the number of sets, the tag is
 * its upper half (never 0; 0: the way is free). A way with open connections is not given to another
 * source, and one under a penalty only where all the others have some. user/shared/sources.h is the
 * only writer.
 */
#define SLUICE_SOURCE_SETS 16384
#define SLUICE_SOURCE_WAYS 8

struct sluice_source_state {
	__u32 address[4];
	__u32 connections;   /* open now, of all workers */
	__u32 penalty_count; /* penalties that lengthen the next; falls again with time */
	__u32 points;	     /* evidence against it, 1/1000, as of points_ns; decays */
	__u32 good;	     /* calls that ended well, 1/1000, likewise */
	__u64 points_ns;
	__u64 penalized_until_ns; /* the last penalty's end, also when it is over; 0: none yet */
	__u32 penalty_level;
	__u32 reason;	/* enum sluice_evidence: what weighed most */
	__u64 seen_ns;	/* last connection or evidence */
};

struct sluice_source_set {
	__u32 tags[SLUICE_SOURCE_WAYS];
	__u32 lock; /* 1 + the worker's slot that changes the set; 0: free */
	__u32 pad[7];
	struct sluice_source_state ways[SLUICE_SOURCE_WAYS];
};

/* switches: ARRAY of one, MMAPABLE. What the gate looks at before it looks anywhere else, so that what
 * is not in use costs nothing. */
struct sluice_switches {
	__u8 v4_prefix; /* sources are counted by this prefix of IPv4 addresses, 0..32 */
	__u8 v6_prefix; /* and of IPv6 addresses, 0..128 */
	__u8 vip_any;	/* bit 0: a listener takes any IPv4 address, bit 1: any IPv6 one */
	__u8 pad;
	__u32 penalty_epoch; /* raised with each new penalty: workers look who is meant */
	/* The latest end of any penalty, and of one of level SLUICE_PENALTY_PACKETS; 0: there is none. */
	__u64 penalties_until_ns;
	__u64 packets_until_ns;
	/* GCRA for packets of one source that belong to no connection; an interval of 0 is no limit. */
	__u64 stray_interval_ns;
	__u64 stray_tolerance_ns;
	__u64 events_mask; /* bit 1 << verdict: somebody listens for these; 0: nobody */
	__u64 events_interval_ns; /* GCRA over all events of the machine */
	__u64 events_tolerance_ns;
	/* second cache line: what XDP writes with each event, away from what each packet reads */
	__u64 events_tat_ns; /* written by XDP */
	__u64 events_limited; /* not sent for that limit: written by XDP */
	__u64 events_lost;    /* not sent since the ring was full: written by XDP */
	__u64 hash_key[3]; /* of source_hash(): random, so that nobody can aim at a set */
	__u64 reserved[2];
};

/* events: RINGBUF of these. */
#define SLUICE_EVENT_SNAP 192
struct sluice_event {
	__u64 time_ns;
	__u32 reason; /* enum verdict_reason */
	__u32 ifindex;
	__u32 packet_bytes; /* on the wire */
	__u32 snap_bytes;   /* of these are in snap: the frame as it came */
	__u32 listener;	    /* id, or SLUICE_EVENT_NO_LISTENER */
	__u8 ipv4;	    /* 1: the addresses are mapped IPv4; with known only */
	__u8 known;	    /* bit 0: the addresses below are, bit 1: the ports are */
	__u8 pad[2];
	__u32 source[4], destination[4];
	__u16 source_port, destination_port; /* network order */
	__u32 pad2;
	__u8 snap[SLUICE_EVENT_SNAP];
};
#define SLUICE_EVENT_NO_LISTENER 0xffffffffu

/* listener_times: ARRAY by listener id: clocks of GCRA and of the SYN cookies. */
struct sluice_listener_time {
	__u64 tat_ns;
	__u64 cookie_tat_ns;   /* meters the SYNs, for auto */
	__u64 cookie_until_ns; /* auto: SYNs get cookies until then; 0: not yet */
	__u64 cookie_sent_ns;  /* the last one was, to half a second; 0: none can come back any more */
};

/* listener_stats: PERCPU_ARRAY by listener id. */
struct sluice_listener_stats {
	__u64 packets;	       /* all packets to the listener */
	__u64 syns;	       /* new connections asked for */
	__u64 passed;	       /* ... passed on */
	__u64 denied;	       /* ... by ACL */
	__u64 source_limited;
	__u64 listener_limited;
	__u64 all_down;	       /* reset or dropped by on_all_down */
	__u64 picked;	       /* sk_lookup gave a worker's socket */
	__u64 pick_fallback;   /* sk_lookup found no live worker */
	__u64 penalized;       /* dropped for a penalty of the source, any packet */
	__u64 source_full;     /* SYNs or cookies of a source with too many connections */
	__u64 cookies;	       /* SYNs answered with a cookie */
	__u64 cookies_back;    /* valid ones that came back: new connections */
	__u64 strays_limited;  /* packets of no connection, over that limit */
};

/* verdicts: PERCPU_ARRAY by enum verdict_reason. */
struct sluice_verdict_count {
	__u64 packets;
	__u64 bytes;
};

/* meta: ARRAY of one. */
struct sluice_meta {
	__u32 abi_version;
	__u32 layout_hash; /* SLUICE_LAYOUT_HASH */
	__u32 supervisor_pid;
	__u32 pad;
};

#define SLUICE_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
SLUICE_ASSERT_SIZE(sluice_listener_key, 20);
SLUICE_ASSERT_SIZE(sluice_listener, 80);
SLUICE_ASSERT_SIZE(sluice_worker, 512);
SLUICE_ASSERT_SIZE(sluice_group, 128);
SLUICE_ASSERT_SIZE(sluice_backend, 256);
SLUICE_ASSERT_SIZE(sluice_route, 128);
SLUICE_ASSERT_SIZE(sluice_limit_set, 128);
SLUICE_ASSERT_SIZE(sluice_acl, 8);
SLUICE_ASSERT_SIZE(sluice_acl_exact_key, 16);
SLUICE_ASSERT_SIZE(sluice_acl_v4_key, 8);
SLUICE_ASSERT_SIZE(sluice_acl_v6_key, 20);
SLUICE_ASSERT_SIZE(sluice_acl_entry, 16);
SLUICE_ASSERT_SIZE(sluice_source_key, 24);
SLUICE_ASSERT_SIZE(sluice_source, 8);
SLUICE_ASSERT_SIZE(sluice_penalty, 32);
SLUICE_ASSERT_SIZE(sluice_source_state, 64);
SLUICE_ASSERT_SIZE(sluice_source_set, 576);
SLUICE_ASSERT_SIZE(sluice_switches, 128);
SLUICE_ASSERT_SIZE(sluice_event, 264);
SLUICE_ASSERT_SIZE(sluice_listener_time, 32);
SLUICE_ASSERT_SIZE(sluice_listener_stats, 112);
SLUICE_ASSERT_SIZE(sluice_verdict_count, 16);
SLUICE_ASSERT_SIZE(sluice_meta, 16);

/* Changes with any size or count above, and with the version. */
#define SLUICE_LAYOUT_HASH                                                                         \
	((__u32)(((((((((__u32)SLUICE_ABI_VERSION * 31 + sizeof(struct sluice_listener)) * 31 +    \
		      sizeof(struct sluice_worker)) * 31 + sizeof(struct sluice_group)) * 31 +     \
		    sizeof(struct sluice_backend)) * 31 + sizeof(struct sluice_listener_stats)) * 31 + \
		  SLUICE_MAX_WORKERS) * 31 + SLUICE_MAX_LISTENERS) * 31 + VERDICT_MAX))

#endif
