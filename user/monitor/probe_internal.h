/* SPDX-License-Identifier: MIT */
/*
 * probe_internal.h - what the files of a probe share. For probe*.c only.
 */
#ifndef SLUICE_MONITOR_PROBE_INTERNAL_H
#define SLUICE_MONITOR_PROBE_INTERNAL_H

#include "monitor/probe.h"

/* probe.c. Ends the check from within a callback of the loop. */
void probe_finish(struct probe *probe, enum probe_word word, struct health_result result);
/* The check could not even begin; the owner hears of it when the turn ends. */
void probe_fail_later(struct probe *probe, int err);
/* Begins the check anew on a fresh connection where that is fair. False: the failure counts. */
bool probe_retry(struct probe *probe);
/* Asks by what this connection's backend knows: it is up, and nothing is asked yet. */
void probe_ask(struct probe *probe);
/* Opens a stream for a call of path, with grpc-timeout where deadline. Its id, or 0: on_capacity goes
 * on, or the check was begun anew, or its failure follows. */
int32_t probe_submit(struct probe *probe, const char *path, bool deadline);
bool probe_errno_is_local(int err);

/* probe_call.c */
void probe_call_submit(struct probe *probe);
void probe_call_headers(struct probe *probe, const struct h2_header *headers, size_t n, bool end);
void probe_call_end(struct probe *probe);
void probe_call_closed(struct probe *probe, uint32_t code, bool unprocessed, bool by_peer);

/* probe_watch.c */
void probe_watch_submit(struct probe *probe);
void probe_watch_headers(struct probe *probe, const struct h2_header *headers, size_t n, bool end);
void probe_watch_data(struct probe *probe, const uint8_t *data, size_t size);
void probe_watch_end(struct probe *probe);
void probe_watch_closed(struct probe *probe, uint32_t code, bool unprocessed, bool by_peer);

/* probe_tcp.c */
void probe_tcp_start(struct probe *probe);
void probe_tcp_stop(struct probe *probe);

static inline bool probe_stands(const struct probe *probe)
{
	return probe->watch && probe->told;
}

#endif
