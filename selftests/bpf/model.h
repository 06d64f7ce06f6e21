/* SPDX-License-Identifier: MIT */
/*
 * model.h - the rules of the gate once more, in plain C: what docs/MAPS.md and docs/KERNEL.md say
 * becomes of a packet, for test_differential.c and test_gate_fuzz.c to hold the BPF program
 * against. It shares layouts (abi.h) with the program and no code: lists are searched from end to
 * end, bytes are read one at a time, and the rate limit is the leaky bucket of I.371 where the
 * program has its virtual schedule. Never to be mended by looking at the program: where the two
 * differ, the documents decide who is wrong.
 */
#ifndef SLUICE_SELFTESTS_MODEL_H
#define SLUICE_SELFTESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "sluice/abi.h"

#define MODEL_FRAME_MAX	   16384
#define MODEL_LISTENERS	   32
#define MODEL_ACLS	   8
#define MODEL_ACL_ENTRIES  512
#define MODEL_GROUPS	   8
#define MODEL_PENALTIES	   64
#define MODEL_BUCKETS	   65536
#define MODEL_VIPS	   16
#define MODEL_CONNECTED	   64
#define MODEL_SOCKETS	   32
#define MODEL_COOKIES	   256
#define MODEL_HANDSHAKES   4096
#define MODEL_NONE	   0xffffffffu

#define MODEL_SECOND_NS 1000000000ull

/* What TCP looks up sockets by, as it stands in packets. */
struct model_tuple {
	bool ipv4;
	uint8_t source[16], destination[16]; /* as in the maps */
	uint16_t source_port, destination_port; /* host order */
};

/* A socket of the kernel's. */
struct model_socket {
	bool listening;
	bool any_ipv4, any_ipv6;  /* listens on any address of these families */
	struct model_tuple tuple; /* else: destination alone, or the whole of a connection */
	uint64_t cookie_ns; /* when it last made a cookie: it takes them back for two minutes */
};

struct model_cookie {
	struct model_tuple tuple;
	uint32_t client_sequence; /* of the SYN */
	uint32_t cookie;
	uint32_t mss_index; /* what is in it */
};

/* A handshake that was let in a moment ago, and whose cookie may come (again). */
struct model_handshake {
	struct model_tuple tuple;
	uint32_t sequence; /* of the segment with the cookie */
	uint64_t admitted_ns; /* 0: what it allows was used up */
};

struct model_listener {
	uint8_t address[16];
	uint16_t port; /* host order */
	struct sluice_listener row;
};

struct model_acl_entry {
	uint32_t acl;
	bool exact; /* of all 128 bits, whatever family the packet is */
	bool ipv4;  /* of no use to packets of the other family, unless exact */
	uint8_t address[16];
	unsigned prefix; /* of 128 */
	uint8_t action;
};

struct model_penalty {
	uint8_t source[16];
	struct sluice_penalty row;
};

/* Leaky bucket: how full it was when something last went in. */
struct model_bucket {
	uint8_t source[16];
	uint32_t listener; /* MODEL_NONE: the source's packets of no connection */
	bool used;
	uint64_t level_ns;
	uint64_t filled_ns;
};

struct model_connected {
	uint8_t source[16];
	uint32_t connections;
};

struct model {
	struct model_listener listeners[MODEL_LISTENERS];
	unsigned n_listeners;
	uint32_t acl_active[MODEL_ACLS];
	struct model_acl_entry acl_entries[MODEL_ACL_ENTRIES]; /* of the generations in force */
	unsigned n_acl_entries;
	struct sluice_group groups[MODEL_GROUPS];
	struct model_penalty penalties[MODEL_PENALTIES];
	unsigned n_penalties;
	struct model_connected connected[MODEL_CONNECTED];
	unsigned n_connected;
	uint8_t vips[MODEL_VIPS][16];
	unsigned n_vips;
	struct sluice_switches on;

	struct model_socket sockets[MODEL_SOCKETS];
	unsigned n_sockets;
	struct model_cookie cookies[MODEL_COOKIES]; /* the last ones sent */
	unsigned n_cookies;
	struct model_handshake handshakes[MODEL_HANDSHAKES]; /* likewise */
	unsigned n_handshakes;
	bool keeps_length; /* the gate is one of several programs: gate_chain.bpf.c */
	unsigned syncookies; /* the sysctl; no queue of a listener is ever full */

	struct model_bucket sources[MODEL_BUCKETS]; /* of sources and strays, by hash */
	unsigned n_source_buckets, n_stray_buckets;
	struct model_bucket listener_buckets[SLUICE_MAX_LISTENERS];
	struct model_bucket cookie_meters[SLUICE_MAX_LISTENERS];
	uint64_t cookie_until_ns[SLUICE_MAX_LISTENERS];
	uint64_t cookie_sent_ns[SLUICE_MAX_LISTENERS];
	struct sluice_listener_stats stats[SLUICE_MAX_LISTENERS];
	struct sluice_verdict_count verdicts[VERDICT_MAX];
};

/*
 * What chance or the clock decided where the rules leave it to them; the model goes along if they
 * do. A cookie may be tried without a flood (PROBE), and which handshakes came back a moment ago
 * is kept in a table that may forget.
 */
struct model_oracle {
	unsigned reason;
	unsigned twice; /* counts: handshakes that came twice within the time, and were known */
	unsigned forgotten; /* ... and were not */
};

/* What has to become of one frame. */
struct model_answer {
	unsigned reason; /* enum verdict_reason */
	unsigned action; /* XDP_PASS... */
	uint32_t listener; /* id, or SLUICE_EVENT_NO_LISTENER */
	bool addresses_known, ports_known;
	struct model_tuple tuple; /* as far as known */
	uint8_t bytes[MODEL_FRAME_MAX];
	uint32_t len;
	uint32_t l3, l4; /* of an answer to be sent: where its headers begin */
	uint32_t mss_index; /* of a cookie */
	uint32_t stamp_at; /* of a cookie: where its timestamp is; 0: it has none */
};

static inline uint32_t model_get16(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 8 | bytes[1];
}

static inline uint32_t model_get32(const uint8_t *bytes)
{
	return model_get16(bytes) << 16 | model_get16(bytes + 2);
}

static inline void model_put16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static inline void model_put32(uint8_t *bytes, uint32_t value)
{
	model_put16(bytes, value >> 16);
	model_put16(bytes + 2, value & 0xffff);
}

/* Do the first bits of two addresses agree? */
static inline bool model_same_prefix(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	for (unsigned i = 0; i < bits; i++) {
		if ((a[i / 8] ^ b[i / 8]) & (0x80 >> i % 8))
			return false;
	}
	return true;
}

#endif
