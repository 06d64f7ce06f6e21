/* SPDX-License-Identifier: MIT */
/*
 * channel.h - the messages between the supervisor and each child, over one SOCK_SEQPACKET socket
 * pair: a fixed header, a small payload, descriptors by SCM_RIGHTS. Every child gets its whole
 * state this way, so that start and reload are the same path. When the peer's end closes, the
 * child drains (supervisor gone) or the supervisor replaces it (child gone).
 *
 * Start of a child: SETUP, TICKETS (workers), CONFIG, LISTEN × n (workers), COMMIT.
 * Reload: CONFIG → child answers READY or REFUSED; when all are READY: LISTEN for new listeners,
 * COMMIT to all; else ABORT to all. COMMIT makes the config current, and closes the listening
 * sockets of listeners that are not in it any more; the child answers COMMITTED.
 */
#ifndef SLUICE_SHARED_CHANNEL_H
#define SLUICE_SHARED_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/abi.h"

#define CHANNEL_FDS_MAX 8 /* STATE_FDS and to spare */
#define CHANNEL_PAYLOAD_MAX 4096
#define CHANNEL_FD 3 /* the child's end, at a fixed number after fork */

enum channel_type {
	/* supervisor → child */
	CHANNEL_SETUP = 1, /* struct channel_setup + STATE_FDS descriptors (state.h's order) */
	CHANNEL_TICKETS,   /* struct channel_tickets: replaces all ticket keys */
	CHANNEL_CONFIG,	   /* struct channel_config + sealed memfd with config_encode's bytes */
	CHANNEL_LISTEN,	   /* struct channel_listen + listening socket */
	CHANNEL_COMMIT,	   /* struct channel_config (length 0): make that revision current */
	CHANNEL_ABORT,	   /* struct channel_config: forget that revision */
	CHANNEL_DRAIN,	   /* struct channel_drain: finish running calls, then exit 0 */
	CHANNEL_DRAIN_LISTENER, /* struct channel_listen: close it, finish its calls; LISTEN opens it again */
	/* child → supervisor */
	CHANNEL_READY,	   /* struct channel_config: that revision can be committed */
	CHANNEL_REFUSED,   /* struct channel_refused */
	CHANNEL_COMMITTED, /* struct channel_config: that revision is what it goes by now */
	CHANNEL_RESOLVED,  /* monitor: struct channel_resolved, an answer for one DNS name */
	CHANNEL_PENALIZED, /* worker: struct channel_penalized, a source under a penalty from now on */
};

struct channel_setup {
	uint32_t slot; /* worker's slot; 0 for the monitor */
	uint32_t n_slots;
	uint32_t with_bpf; /* 1: the maps are BPF maps */
	uint32_t pad;
	uint8_t hash_key[16]; /* the same for all workers; unknown to peers, who choose what is hashed */
};

#define TICKET_KEYS_MAX 3
struct channel_ticket_key {
	uint8_t name[16], aes[32], hmac[32];
};
struct channel_tickets {
	uint32_t n; /* keys[0] seals; all open */
	uint32_t pad;
	struct channel_ticket_key keys[TICKET_KEYS_MAX];
};

struct channel_config {
	uint64_t revision;
	uint64_t length; /* of the memfd */
};

struct channel_listen {
	uint32_t listener; /* config_listener.id */
	uint32_t pad;
};

struct channel_drain {
	uint32_t grace_ms;
	uint32_t pad;
};

struct channel_refused {
	uint64_t revision;
	char reason[256];
};

/* What the penalty is stands in the row (shared/sources.h). */
#define CHANNEL_PENALIZED_SOME UINT32_MAX /* more than could be told: look at all rows */
struct channel_penalized {
	uint32_t row;
	uint32_t pad;
};

#define CHANNEL_ADDRESSES_MAX 128
struct channel_resolved {
	char host[256];
	uint32_t n; /* addresses; sorted, so that equal answers are equal bytes */
	uint32_t pad;
	uint8_t addresses[CHANNEL_ADDRESSES_MAX][16];
};

struct channel_message {
	uint32_t type;
	uint32_t length; /* of payload */
	uint8_t payload[CHANNEL_PAYLOAD_MAX];
	int fds[CHANNEL_FDS_MAX];
	unsigned n_fds; /* received: the caller owns them */
};

/* Blocks for room at most a second where the socket is full. 0 or -errno (-EPIPE: peer gone). */
int channel_send(int fd, enum channel_type type, const void *payload, size_t length, const int *fds,
		 unsigned n_fds);
/* Never blocks, and sends no descriptors: -EAGAIN where there is no room. */
int channel_try_send(int fd, enum channel_type type, const void *payload, size_t length);
/* 1: a message; 0: the peer is gone; -EAGAIN: none now (non-blocking fd); or -errno. */
int channel_receive(int fd, struct channel_message *message);
void channel_message_close_fds(struct channel_message *message);

/* A sealed memfd (no write, no resize) with these bytes, or -errno. */
int channel_seal(const char *name, const void *bytes, size_t length);
/* Maps a sealed memfd read-only after checking its seals and length. NULL on failure. */
const uint8_t *channel_map_sealed(int fd, size_t length);
void channel_unmap(const uint8_t *bytes, size_t length);

#endif
