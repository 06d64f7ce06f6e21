/* SPDX-License-Identifier: MIT */
/*
 * control_answer.c - see control_answer.h. Called by control.c only; reads the maps and what the
 * supervisor holds, changes nothing. Numbers stay numbers; an address is text with its port.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "control/control_answer.h"
#include "control/control_json.h"
#include "control/control_penalties.h"
#include "sluice/control.h"

static const char *const phase_names[] = {
	[PHASE_STARTING] = "starting",
	[PHASE_RUNNING] = "running",
	[PHASE_DRAINING] = "draining",
};
static const char *const mode_names[] = {
	[KERNEL_AUTO] = "auto",
	[KERNEL_REQUIRED] = "required",
	[KERNEL_OFF] = "off",
};
static const char *const cookie_names[] = {
	[COOKIES_AUTO] = "auto",
	[COOKIES_ALWAYS] = "always",
	[COOKIES_OFF] = "off",
};
static const char *const worker_states[] = {
	[SLUICE_WORKER_FREE] = "free",	       [SLUICE_WORKER_STARTING] = "starting",
	[SLUICE_WORKER_LIVE] = "live",	       [SLUICE_WORKER_DRAINING] = "draining",
	[SLUICE_WORKER_DEAD] = "dead",
};
static const struct {
	const char *name, *text;
} verdicts[VERDICT_MAX] = {
#define VERDICT_ROW(NAME, row_name, row_text) [VERDICT_##NAME] = { #row_name, row_text },
	SLUICE_VERDICTS(VERDICT_ROW)
#undef VERDICT_ROW
};

/* The totals of a worker, by their names in abi.h. In `status`, summed: those that say that something
 * out of the ordinary happened. */
static const struct {
	const char *key;
	size_t at;
	bool event;
} counters[] = {
	{ "accepted", offsetof(struct sluice_worker, accepted), false },
	{ "refused", offsetof(struct sluice_worker, refused), true },
	{ "handshakes", offsetof(struct sluice_worker, handshakes), false },
	{ "handshakes_resumed", offsetof(struct sluice_worker, handshakes_resumed), false },
	{ "handshakes_failed", offsetof(struct sluice_worker, handshakes_failed), true },
	{ "alpn_refused", offsetof(struct sluice_worker, alpn_refused), false },
	{ "calls", offsetof(struct sluice_worker, calls), false },
	{ "calls_cancelled", offsetof(struct sluice_worker, calls_cancelled), false },
	{ "calls_failed", offsetof(struct sluice_worker, calls_failed), false },
	{ "replays", offsetof(struct sluice_worker, replays), true },
	{ "deadlines", offsetof(struct sluice_worker, deadlines), true },
	{ "protocol_errors", offsetof(struct sluice_worker, protocol_errors), true },
	{ "upstream_connects", offsetof(struct sluice_worker, upstream_connects), false },
	{ "upstream_connect_failures", offsetof(struct sluice_worker, upstream_connect_failures), false },
	{ "buffered_bytes", offsetof(struct sluice_worker, buffered_bytes), false },
	{ "rx_bytes", offsetof(struct sluice_worker, rx_bytes), false },
	{ "tx_bytes", offsetof(struct sluice_worker, tx_bytes), false },
	{ "retries", offsetof(struct sluice_worker, retries), true },
	{ "retries_denied", offsetof(struct sluice_worker, retries_denied), true },
	{ "rate_limited", offsetof(struct sluice_worker, rate_limited), true },
	{ "route_full", offsetof(struct sluice_worker, route_full), true },
	{ "breaker_calls", offsetof(struct sluice_worker, breaker_calls), true },
	{ "breaker_pending", offsetof(struct sluice_worker, breaker_pending), true },
	{ "pending_expired", offsetof(struct sluice_worker, pending_expired), true },
	{ "mirrored", offsetof(struct sluice_worker, mirrored), true },
	{ "mirror_dropped", offsetof(struct sluice_worker, mirror_dropped), true },
	{ "streams_idle", offsetof(struct sluice_worker, streams_idle), true },
	{ "streams_aged", offsetof(struct sluice_worker, streams_aged), true },
	{ "connections_aged", offsetof(struct sluice_worker, connections_aged), true },
	{ "clients_lost", offsetof(struct sluice_worker, clients_lost), true },
	{ "too_many_pings", offsetof(struct sluice_worker, too_many_pings), true },
	{ "ejections", offsetof(struct sluice_worker, ejections), true },
	{ "answered_here", offsetof(struct sluice_worker, answered_here), true },
	{ "penalties", offsetof(struct sluice_worker, penalties), true },
	{ "penalized_refused", offsetof(struct sluice_worker, penalized_refused), true },
	{ "penalized_closed", offsetof(struct sluice_worker, penalized_closed), true },
	{ "source_full", offsetof(struct sluice_worker, source_full), true },
	{ "sources_untracked", offsetof(struct sluice_worker, sources_untracked), true },
};
#define COUNTERS (sizeof(counters) / sizeof(counters[0]))

static json_t *counter(const struct sluice_worker *row, size_t i)
{
	return json_integer(num(state_load64((const __u64 *)((const char *)row + counters[i].at))));
}

static json_t *verdict_counts(const struct supervisor *supervisor)
{
	struct sluice_verdict_count counts[VERDICT_MAX] = { 0 };
	json_t *array = json_array();

	if (!kernel_is_on(&supervisor->kernel) ||
	    bpf_read_verdicts(supervisor->kernel.bpf, counts))
		return array;
	for (unsigned i = 0; i < VERDICT_MAX; i++)
		json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:s}", "verdict",
						       verdicts[i].name, "packets",
						       num(counts[i].packets), "bytes",
						       num(counts[i].bytes), "meaning",
						       verdicts[i].text));
	return array;
}

/* What SYN cookies meet: the sysctls, and what lacks for what the listeners ask; NULL where XDP runs
 * nowhere. */
static json_t *cookies_state(const struct supervisor *supervisor)
{
	const struct config *config = supervisor->current.config;
	const struct cookies *cookies = &supervisor->kernel.cookies;
	const char *lack = NULL, *loss = NULL;

	if (!kernel_is_on(&supervisor->kernel) || !config->kernel.n_interfaces)
		return NULL;
	for (size_t i = 0; i < config->n_listeners; i++) {
		enum config_cookies wanted = config->listeners[i].syn_cookies;

		if (!lack)
			lack = cookies_lack(cookies, wanted);
		if (wanted != COOKIES_OFF)
			loss = cookies_loss(cookies);
	}
	return json_pack("{s:i, s:i, s:b, s:s, s:s}", "tcp_syncookies", cookies->syncookies,
			 "tcp_timestamps", cookies->timestamps, "options",
			 cookies_keep_options(cookies), "lack", lack ? lack : "", "loss",
			 loss ? loss : "");
}

static json_t *kernel_state(const struct supervisor *supervisor)
{
	const struct kernel *kernel = &supervisor->kernel;
	const struct config *config = supervisor->current.config;
	json_t *interfaces = json_array();

	for (size_t i = 0; i < config->kernel.n_interfaces; i++) {
		bool known = i < kernel->n_interfaces;

		json_array_append_new(
			interfaces,
			json_pack("{s:s, s:s, s:s, s:s}", "name", config->kernel.interfaces[i].name,
				  "mode",
				  bpf_xdp_used_name(known ? kernel->interfaces[i].used :
							    BPF_XDP_OFF),
				  "chain",
				  known && kernel->interfaces[i].chained ?
					  kernel->interfaces[i].chain : "",
				  "note", known ? kernel->interfaces[i].why : ""));
	}
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:o, s:i, s:o*}", "mode",
			 kernel_is_on(kernel) ? "on" : "off", "configured",
			 NAME_OF(mode_names, (unsigned)config->kernel.mode), "sk_lookup",
			 kernel->sk_lookup, "note", kernel->why, "pin_path",
			 config->kernel.pin_path, "interfaces", interfaces, "event_listeners",
			 (int)supervisor->events.n_subscribers, "syn_cookies",
			 cookies_state(supervisor));
}

static json_t *answer_groups(const struct supervisor *supervisor)
{
	return json_pack("{s:o}", "groups", control_group_rows(supervisor));
}

static json_t *answer_status(const struct supervisor *supervisor)
{
	const struct config *config = supervisor->current.config;
	const struct totals *totals = &supervisor->totals;
	struct totals_now now;
	unsigned live = 0, restarts = 0;

	totals_read(totals, &supervisor->state, supervisor->slots, &now);
	for (uint32_t slot = 0; slot < supervisor->slots; slot++) {
		live += state_load32(&supervisor->state.workers[slot].state) == SLUICE_WORKER_LIVE;
		restarts += supervisor->children.workers[slot].restarts;
	}
	json_t *status = json_pack(
		"{s:s, s:s, s:i, s:f, s:s, s:I, s:f}", "version", SLUICE_VERSION, "state",
		NAME_OF(phase_names, (unsigned)supervisor->phase), "pid", (int)getpid(),
		"uptime_seconds", seconds_since(supervisor, supervisor->started_ns), "config",
		supervisor->options->config_path, "revision", num(config->revision),
		"revision_age_seconds", seconds_since(supervisor, supervisor->reload.committed_ns));

	put(status, "user", json_string(supervisor->identity.user));
	put(status, "kernel", kernel_state(supervisor));
	put(status, "verdicts", verdict_counts(supervisor));
	put(status, "workers", json_pack("{s:i, s:i, s:i}", "slots", (int)supervisor->slots, "live",
					 (int)live, "restarts", (int)restarts));
	put(status, "monitor", json_pack("{s:b, s:i}", "running",
					 supervisor->children.monitor.pid != 0, "restarts",
					 (int)supervisor->children.monitor.restarts));
	put(status, "listeners", json_integer(num(config->n_listeners)));
	put(status, "groups", control_group_rows(supervisor));
	put(status, "connections", json_integer(num(now.connections)));
	put(status, "connections_accepted", json_integer(num(now.counts.accepted)));
	put(status, "active_rpcs", json_integer(num(now.active_rpcs)));
	put(status, "calls", json_integer(num(now.counts.calls)));
	put(status, "calls_failed", json_integer(num(now.counts.calls_failed)));
	json_t *events = json_object();

	for (size_t i = 0; i < COUNTERS; i++)
		if (counters[i].event)
			put(events, counters[i].key, counter(&now.counts, i));
	put(status, "events", events);
	put(status, "calls_per_second", json_real(totals->calls_per_second));
	put(status, "penalties", control_penalties_status(supervisor));
	return status;
}

/* Do SYNs to the listener get cookies at this moment? */
static bool cookies_now(const struct supervisor *supervisor, const struct config_listener *listener)
{
	struct sluice_listener_time times;

	if (!supervisor->kernel.cookies.syncookies || listener->syn_cookies == COOKIES_OFF)
		return false;
	if (listener->syn_cookies == COOKIES_ALWAYS && supervisor->kernel.cookies.syncookies == 2)
		return true;
	return !bpf_read_listener_times(supervisor->kernel.bpf, listener->id, &times) &&
	       times.cookie_until_ns > loop_now(&supervisor->loop);
}

static json_t *answer_listeners(const struct supervisor *supervisor)
{
	const struct config *config = supervisor->current.config;
	json_t *array = json_array();

	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct sluice_listener_stats stats = { 0 };
		char text[ADDR_TEXT_MAX];
		json_t *row = json_pack("{s:s, s:i, s:s, s:s}", "name", listener->name, "id",
					(int)listener->id, "address",
					addr_format(&listener->address, text, sizeof(text)),
					"group", listener->group == CONFIG_NO_GROUP ?
							 "" :
							 config->groups[listener->group].name);

		put(row, "state",
		    json_string(supervisor->sockets.rows[listener->id].drained ? "drained" :
										 "accepting"));
		if (kernel_is_on(&supervisor->kernel) &&
		    !bpf_read_listener_stats(supervisor->kernel.bpf, listener->id, &stats)) {
			put(row, "packets", json_integer(num(stats.packets)));
			put(row, "syns", json_integer(num(stats.syns)));
			put(row, "passed", json_integer(num(stats.passed)));
			put(row, "denied", json_integer(num(stats.denied)));
			put(row, "source_limited", json_integer(num(stats.source_limited)));
			put(row, "listener_limited", json_integer(num(stats.listener_limited)));
			put(row, "all_down", json_integer(num(stats.all_down)));
			put(row, "picked", json_integer(num(stats.picked)));
			put(row, "pick_fallback", json_integer(num(stats.pick_fallback)));
			put(row, "penalized", json_integer(num(stats.penalized)));
			put(row, "source_full", json_integer(num(stats.source_full)));
			put(row, "strays_limited", json_integer(num(stats.strays_limited)));
			put(row, "cookies", json_integer(num(stats.cookies)));
			put(row, "cookies_back", json_integer(num(stats.cookies_back)));
			put(row, "syn_cookies",
			    json_string(NAME_OF(cookie_names, (unsigned)listener->syn_cookies)));
			put(row, "cookies_now", json_boolean(cookies_now(supervisor, listener)));
		}
		json_array_append_new(array, row);
	}
	return json_pack("{s:o}", "listeners", array);
}

static json_t *answer_backends(const struct supervisor *supervisor)
{
	return json_pack("{s:o}", "backends", control_backend_rows(supervisor));
}

static json_t *answer_routes(const struct supervisor *supervisor)
{
	return json_pack("{s:o}", "routes", control_route_rows(supervisor));
}

static json_t *worker_row(const struct supervisor *supervisor, uint32_t slot)
{
	const struct sluice_worker *row = &supervisor->state.workers[slot];
	json_t *object = json_pack("{s:i, s:i, s:s, s:i}", "slot", (int)slot, "pid",
				   (int)supervisor->children.workers[slot].pid, "state",
				   NAME_OF(worker_states, state_load32(&row->state)), "restarts",
				   (int)supervisor->children.workers[slot].restarts);
	json_t *ended = json_array();

	put(object, "up_seconds", json_real(seconds_since(supervisor, row->started_ns)));
	put(object, "heartbeat_age_seconds",
	    json_real(seconds_since(supervisor, state_load64(&row->heartbeat_ns))));
	put(object, "connections", json_integer(num(state_load32(&row->connections))));
	put(object, "active_rpcs", json_integer(num(state_load32(&row->active_rpcs))));
	for (size_t i = 0; i < COUNTERS; i++)
		put(object, counters[i].key, counter(row, i));
	for (unsigned i = 0; i < sizeof(row->calls_ended) / sizeof(row->calls_ended[0]); i++)
		json_array_append_new(ended, json_integer(num(state_load64(&row->calls_ended[i]))));
	put(object, "calls_ended_by_grpc_status", ended);
	return object;
}

static json_t *answer_workers(const struct supervisor *supervisor)
{
	json_t *array = json_array();

	for (uint32_t slot = 0; slot < supervisor->slots; slot++)
		json_array_append_new(array, worker_row(supervisor, slot));
	return json_pack("{s:o}", "workers", array);
}

static json_t *answer_verdicts(const struct supervisor *supervisor)
{
	return json_pack("{s:s, s:o}", "kernel", kernel_is_on(&supervisor->kernel) ? "on" : "off",
			 "verdicts", verdict_counts(supervisor));
}

static const struct {
	const char *command;
	json_t *(*answer)(const struct supervisor *supervisor);
} answers[] = {
	{ "status", answer_status },	 { "listeners", answer_listeners },
	{ "groups", answer_groups },	 { "backends", answer_backends },
	{ "routes", answer_routes },	 { "workers", answer_workers },
	{ "verdicts", answer_verdicts },  { "penalties", control_penalties_rows },
	{ "sources", control_source_rows },
};

static char *dump(json_t *document)
{
	char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;

	json_decref(document);
	if (!text)
		errno = ENOMEM;
	return text;
}

char *control_answer(const struct supervisor *supervisor, const char *command)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (!strcmp(answers[i].command, command))
			return dump(answers[i].answer(supervisor));
	errno = EINVAL;
	return NULL;
}

char *control_answer_change(const struct supervisor *supervisor, int ok, const char *message)
{
	json_int_t revision = num(supervisor->current.config->revision);

	if (ok)
		return dump(json_pack("{s:b, s:I, s:s}", "ok", 1, "revision", revision, "kept",
				      message));
	return dump(json_pack("{s:b, s:I, s:s}", "ok", 0, "revision", revision, "error", message));
}
