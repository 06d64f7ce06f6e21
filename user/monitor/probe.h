/* SPDX-License-Identifier: MIT */
/*
 * probe.h - one backend's health checks on the wire, by the method of its group: a call, a standing
 * Watch, or a TCP connect. Knows how to ask and when to give up; what the results mean is health.c's
 * to say.
 *
 * A call (probe_call.c) goes over a connection that stays open between checks, one at a time. A Watch
 * (probe_watch.c) stands on that connection: what the backend says arrives by itself, and a check
 * only sees whether it is there still. A connect (probe_tcp.c) has a socket of its own each time.
 */
#ifndef SLUICE_MONITOR_PROBE_H
#define SLUICE_MONITOR_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "config/config.h"
#include "monitor/health_check.h"
#include "proxy/h2.h"

/* A DNS name or an address in brackets, a port, a NUL. */
#define PROBE_AUTHORITY_MAX 272

struct tls_context;

/* What on_done is told of. */
enum probe_word {
	PROBE_CHECKED, /* a check ended with this result; also: the Watch that stood is lost */
	PROBE_TOLD,    /* the backend said this by Watch: holds at once */
	PROBE_ALIVE,   /* the Watch stands still; no result */
	PROBE_AGAIN,   /* the backend ended the connection in order: check anew; no result */
	PROBE_LOCAL,   /* the check could not be made for a reason of this machine's own (no
			* descriptors, no memory; result.detail is the errno), which says nothing of
			* the backend */
};

struct probe {
	struct loop *loop;
	/* Never called from within a probe_ function. TOLD may come while a check is under way. */
	void (*on_done)(struct probe *probe, enum probe_word word, struct health_result result);

	/* Owner's, valid while connected or a check is under way; see probe_start. */
	const struct config_health_check *check;
	struct addr to;
	char authority[PROBE_AUTHORITY_MAX];
	struct tls_context *tls; /* NULL: cleartext */
	const char *server_name; /* with tls */

	/* Private: probe_internal.h. */
	struct h2 *h2;		/* NULL: not connected */
	int32_t stream;		/* the call under way; 0: none */
	int32_t watch;		/* the Watch; 0: none */
	bool told;		/* ... has said something: it stands */
	bool watch_refused;	/* this connection's backend has no Watch */
	bool busy;
	bool used;		/* this connection carried an answer before */
	bool retire;		/* the peer wants no further calls on it */
	bool retried;		/* this check was begun anew on a fresh connection */
	uint64_t deadline_ns;
	struct loop_timer timeout;
	struct loop_task finish; /* hands over a result found inside a probe_ function ... */
	enum probe_word word;	 /* ... as this */
	struct loop_io tcp;
	struct health_result result;
	struct health_reply reply, watch_reply;
	uint32_t request_len, request_at, watch_at;
	uint8_t request[HEALTH_REQUEST_MAX];
};

void probe_init(struct probe *probe, struct loop *loop,
		void (*on_done)(struct probe *probe, enum probe_word word,
				struct health_result result));
/* Cancels and disconnects without callback. The memory is the owner's at once. */
void probe_done(struct probe *probe);
/* Starts a check of probe->to with probe->check (only while not busy). on_done follows within
 * check->timeout_ms. */
void probe_start(struct probe *probe);
/* Forgets the check under way and the Watch, if there are such; no callback. */
void probe_cancel(struct probe *probe);
/* Closes the connection, for when probe->to or the TLS changes (only while not busy). */
void probe_disconnect(struct probe *probe);

static inline bool probe_is_busy(const struct probe *probe)
{
	return probe->busy;
}

#endif
