/* SPDX-License-Identifier: MIT */
/*
 * probe.h - one backend's health checks on the wire: a persistent h2c connection and at most one
 * call on it at a time. Knows how to ask and when to give up; what the results mean is health.c's
 * to say.
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

struct probe {
	struct loop *loop;
	/* The check ended. local: it could not be made for a reason of this machine's own (no
	 * descriptors, no memory; result.detail is the errno), which says nothing of the backend.
	 * Never called from within a probe_ function. */
	void (*on_done)(struct probe *probe, struct health_result result, bool local);

	/* Owner's, valid while a check is under way; see probe_start. */
	const struct config_health_check *check;
	struct addr to;
	char authority[PROBE_AUTHORITY_MAX];

	/* Private. */
	struct h2 *h2;		/* NULL: not connected */
	int32_t stream;		/* 0: none open */
	bool busy;
	bool used;		/* this connection carried an answer before */
	bool retire;		/* the peer wants no further calls on it */
	bool retried;		/* this check was begun anew on a fresh connection */
	bool failed_local;
	uint64_t deadline_ns;
	struct loop_timer timeout;
	struct loop_task finish; /* hands over a result found inside a probe_ function */
	struct health_result result;
	struct health_reply reply;
	uint32_t request_len, request_at;
	uint8_t request[HEALTH_REQUEST_MAX];
};

void probe_init(struct probe *probe, struct loop *loop,
		void (*on_done)(struct probe *probe, struct health_result result, bool local));
/* Cancels and disconnects without callback. The memory is the owner's at once. */
void probe_done(struct probe *probe);
/* Starts a check of probe->to with probe->check (only while not busy). on_done follows within
 * check->timeout_ms. */
void probe_start(struct probe *probe);
/* Forgets the check under way, if there is one; no callback. */
void probe_cancel(struct probe *probe);
/* Closes the connection, for when probe->to changes (only while not busy). */
void probe_disconnect(struct probe *probe);

static inline bool probe_is_busy(const struct probe *probe)
{
	return probe->busy;
}

#endif
