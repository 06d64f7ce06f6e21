/* SPDX-License-Identifier: MIT */
/*
 * control_explain.c - see control_explain.h. The program's own account as JSON: an array of steps in the
 * order in which it took them, up to the one that decided; only the names are added here.
 */
#include "control/control_explain.h"

#include <linux/bpf.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "control/control_json.h"
#include "control/explain.h"
#include "shared/sources.h"

static const struct {
	const char *name, *text;
} verdicts[VERDICT_MAX] = {
#define VERDICT_ROW(NAME, row_name, row_text) [VERDICT_##NAME] = { #row_name, row_text },
	SLUICE_VERDICTS(VERDICT_ROW)
#undef VERDICT_ROW
};
static const char *const actions[] = { [XDP_DROP] = "drop", [XDP_PASS] = "pass", [XDP_TX] = "answer" };
static const char *const on_all_down[] = {
	[SLUICE_ALL_DOWN_ACCEPT] = "accept", [SLUICE_ALL_DOWN_RESET] = "reset",
	[SLUICE_ALL_DOWN_DROP] = "drop",
};
static const char *const cookie_reasons[] = {
	[SLUICE_COOKIE_OFF] = "off", [SLUICE_COOKIE_CALM] = "calm", [SLUICE_COOKIE_RATE] = "rate",
	[SLUICE_COOKIE_ALWAYS] = "always",
};
static const char *const socket_states[] = {
	[TCP_ESTABLISHED] = "established", [TCP_SYN_SENT] = "syn_sent",
	[TCP_SYN_RECV] = "syn_received",   [TCP_FIN_WAIT1] = "fin_wait_1",
	[TCP_FIN_WAIT2] = "fin_wait_2",	   [TCP_TIME_WAIT] = "time_wait",
	[TCP_CLOSE] = "closed",		   [TCP_CLOSE_WAIT] = "close_wait",
	[TCP_LAST_ACK] = "last_ack",	   [TCP_LISTEN] = "listen",
	[TCP_CLOSING] = "closing",	   [12] = "syn_received", /* a request socket */
};

/* A walk over the account. */
struct account {
	const struct supervisor *supervisor;
	const struct explain_query *query;
	const struct explanation *found;
	const struct bpf_explanation *gate;
	json_t *steps;
};

static json_t *step_add(struct account *account, const char *name)
{
	json_t *step = json_pack("{s:s}", "step", name);

	json_array_append_new(account->steps, step);
	return step; /* the array's; NULL where memory ran out, and the answer is dropped */
}

static bool has(const struct account *account, __u32 step)
{
	return account->gate->trace.steps & step;
}

static double seconds_left(const struct account *account, uint64_t until_ns)
{
	uint64_t now_ns = account->gate->now_ns;

	return until_ns > now_ns ? (double)(until_ns - now_ns) / 1e9 : 0;
}

/* The prefix of len bits (of 128: IPv4's are 96 more) that the packet's source lies in. */
static void source_prefix_of(const struct account *account, unsigned len, struct prefix *prefix)
{
	const struct addr *source = &account->query->source;
	bool ipv4 = source->sa.sa_family == AF_INET;

	memset(prefix, 0, sizeof(*prefix));
	prefix->family = (uint8_t)source->sa.sa_family;
	prefix->len = (uint8_t)(ipv4 && len >= 96 ? len - 96 : len);
	if (ipv4)
		memcpy(prefix->bytes, &source->v4.sin_addr, 4);
	else
		memcpy(prefix->bytes, &source->v6.sin6_addr, 16);
	for (unsigned bit = prefix->len; bit < 128; bit++)
		prefix->bytes[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
}

static json_t *prefix_json(const struct account *account, unsigned len)
{
	char text[ADDR_TEXT_MAX];
	struct prefix prefix;

	source_prefix_of(account, len, &prefix);
	return json_string(prefix_format(&prefix, text, sizeof(text)));
}

static json_t *source_json(const struct account *account)
{
	const struct sluice_switches *on = &account->gate->switches;
	bool ipv4 = account->query->source.sa.sa_family == AF_INET;

	return prefix_json(account, ipv4 ? 96u + on->v4_prefix : on->v6_prefix);
}

static const struct config_listener *find_listener(const struct account *account)
{
	const struct config *config = account->supervisor->current.config;

	for (size_t i = 0; config && account->gate->is_listener && i < config->n_listeners; i++)
		if (config->listeners[i].id == account->gate->listener.id)
			return &config->listeners[i];
	return NULL;
}

static void add_listener(struct account *account)
{
	const struct config_listener *listener = find_listener(account);
	json_t *step = step_add(account, "listener");
	char text[ADDR_TEXT_MAX];

	put(step, "found", json_boolean(has(account, SLUICE_TRACE_LISTENER)));
	put(step, "address_of_a_listener", json_boolean(account->gate->is_vip));
	if (!has(account, SLUICE_TRACE_LISTENER))
		return;
	put(step, "id", json_integer(account->gate->trace.listener));
	if (!listener) /* it is about to go, or was entered by hand */
		return;
	put(step, "drained",
	    json_boolean(account->supervisor->sockets.rows[listener->id].drained));
	put(step, "name", json_string(listener->name));
	put(step, "address",
	    json_string(addr_format(&listener->address, text, sizeof(text))));
}

/* Where an entry of the config's comes from: the path of a file of prefixes, or "configuration". */
static const char *acl_origin(const struct account *account, unsigned own, __u32 answer)
{
	const struct config *config = account->supervisor->current.config;
	const struct config_listener *listener = find_listener(account);
	const struct config_acl *acl = own     ? listener ? &listener->acl : NULL :
				       config ? &config->kernel.acl : NULL;
	bool deny = (answer & 0xff) == SLUICE_ACL_DENY;
	struct prefix entry;
	size_t at = 0, n;

	if (!acl)
		return "configuration";
	const struct prefix *prefixes = deny ? acl->deny : acl->allow;
	const struct config_acl_file *files = deny ? acl->deny_files : acl->allow_files;
	size_t n_files = deny ? acl->n_deny_files : acl->n_allow_files;

	n = n_files ? deny ? acl->n_deny : acl->n_allow : 0;
	source_prefix_of(account, answer >> 8 & 0xff, &entry);
	while (at < n && memcmp(&prefixes[at], &entry, sizeof(entry)))
		at++;
	for (size_t i = 0; i < n_files && at < n; i++)
		if (at >= files[i].first && at < files[i].end)
			return files[i].path;
	return "configuration";
}

static json_t *acl_list(const struct account *account, unsigned own)
{
	const struct sluice_trace *trace = &account->gate->trace;
	__u32 answer = own ? trace->acl_own : trace->acl_global;
	json_t *list;

	list = json_pack("{s:b, s:b}", "empty",
			 !(account->gate->acl_flags[own] & ~SLUICE_ACL_GENERATION), "allow_list",
			 !!(account->gate->acl_flags[own] & SLUICE_ACL_ALLOW_LIST));
	if (!(answer & 0xff))
		return list;
	put(list, "action", json_string((answer & 0xff) == SLUICE_ACL_DENY ? "deny" : "allow"));
	put(list, "entry", prefix_json(account, answer >> 8 & 0xff));
	put(list, "origin",
	    json_string(trace->acl_live[own] ? "command" : acl_origin(account, own, answer)));
	if (trace->acl_expires_ns[own])
		put(list, "expires_seconds",
		    json_real(seconds_left(account, trace->acl_expires_ns[own])));
	return list;
}

static void add_acl(struct account *account)
{
	const struct sluice_trace *trace = &account->gate->trace;
	enum verdict_reason verdict = account->gate->verdict;
	json_t *step = step_add(account, "acl");
	bool global = trace->acl_global & 0xff, own = trace->acl_own & 0xff;
	const char *decides = "none";

	put(step, "global", acl_list(account, 0));
	put(step, "own", account->gate->listener.acl ? acl_list(account, 1) : json_null());
	if (own && (!global || (trace->acl_own >> 8 & 0xff) >= (trace->acl_global >> 8 & 0xff)))
		decides = "own";
	else if (global)
		decides = "global";
	put(step, "decides", json_string(decides));
	put(step, "result", json_string(verdict == VERDICT_DROP_ACL ? "denied" :
					verdict == VERDICT_DROP_NOT_ALLOWED ? "not_allowed" :
									      "admitted"));
}

static void add_penalty(struct account *account)
{
	const struct sluice_trace *trace = &account->gate->trace;
	json_t *step = step_add(account, "penalty");

	put(step, "source", source_json(account));
	if (!has(account, SLUICE_TRACE_PENALTY) || trace->penalty_until_ns <= account->gate->now_ns) {
		put(step, "level", json_null());
		return;
	}
	put(step, "level", json_string(source_level_name(trace->penalty_level)));
	put(step, "reason", json_string(source_evidence_name(trace->penalty_reason)));
	put(step, "left_seconds", json_real(seconds_left(account, trace->penalty_until_ns)));
}

static void add_group(struct account *account)
{
	const struct sluice_trace *trace = &account->gate->trace;
	json_t *step;

	if (!has(account, SLUICE_TRACE_GROUP) || trace->group >= SLUICE_MAX_GROUPS)
		return; /* a listener whose routes all answer by themselves */
	step = step_add(account, "group");
	put(step, "name", json_string(account->supervisor->state.groups[trace->group].name));
	put(step, "live", json_integer(trace->group_live));
	put(step, "total",
	    json_integer(state_load32(&account->supervisor->state.groups[trace->group].total)));
	put(step, "on_all_down", json_string(NAME_OF(on_all_down, trace->group_on_all_down)));
}

static void add_cookie(struct account *account)
{
	const struct sluice_trace *trace = &account->gate->trace;
	__u32 flags = account->gate->listener.flags;
	json_t *step = step_add(account, "syn_cookie");

	put(step, "mode", json_string(flags & SLUICE_LISTENER_COOKIES_ALWAYS ? "always" :
				      flags & SLUICE_LISTENER_COOKIES_AUTO   ? "auto" : "off"));
	put(step, "why", json_string(NAME_OF(cookie_reasons, trace->cookie_why)));
	put(step, "tcp_syncookies", json_integer(account->found->syncookies));
	put(step, "sent", json_boolean(account->gate->verdict == VERDICT_COOKIE_SENT));
	put(step, "has_connection", json_boolean(account->found->socket_state > 0));
	put(step, "left_seconds",
	    json_real(seconds_left(account, account->gate->times.cookie_until_ns)));
}

static void add_connections(struct account *account)
{
	const struct sluice_trace *trace = &account->gate->trace;
	json_t *step = step_add(account, "source_connections");

	put(step, "source", source_json(account));
	put(step, "limit", json_integer(account->gate->listener.source_connections));
	if (has(account, SLUICE_TRACE_CONNECTIONS))
		put(step, "open", json_integer(trace->connections));
}

static json_t *add_limit(struct account *account, const char *name, uint64_t tat_ns,
			 uint64_t interval_ns, uint64_t tolerance_ns)
{
	json_t *step = step_add(account, name);
	struct explain_tokens tokens;

	if (!interval_ns) {
		put(step, "per_second", json_null());
		return step;
	}
	tokens = explain_tokens(tat_ns, account->gate->now_ns, interval_ns, tolerance_ns);
	put(step, "per_second", json_real(1e9 / (double)interval_ns));
	put(step, "burst", json_integer(num(tokens.burst)));
	put(step, "left", json_integer(num(tokens.left)));
	put(step, "next_seconds", json_real((double)tokens.next_ns / 1e9));
	return step;
}

static void add_source_limit(struct account *account)
{
	const struct sluice_listener *listener = &account->gate->listener;

	put(add_limit(account, "source_limit", account->gate->trace.source_tat_ns,
		      listener->source_interval_ns, listener->source_tolerance_ns),
	    "source", source_json(account));
}

static void add_listener_limit(struct account *account)
{
	const struct sluice_listener *listener = &account->gate->listener;

	add_limit(account, "listener_limit", account->gate->trace.limit_tat_ns,
		  listener->listener_interval_ns, listener->listener_tolerance_ns);
}

static void add_stray(struct account *account)
{
	const struct sluice_switches *on = &account->gate->switches;

	put(add_limit(account, "stray_limit", account->gate->trace.stray_tat_ns,
		      on->stray_interval_ns, on->stray_tolerance_ns),
	    "source", source_json(account));
}

static void add_connection(struct account *account)
{
	int state = account->found->socket_state;
	json_t *step = step_add(account, "connection");

	put(step, "looked_up", json_boolean(has(account, SLUICE_TRACE_SOCKET)));
	if (state < 0)
		put(step, "error", json_string(strerror(-state)));
	else
		put(step, "state", state ? json_string(NAME_OF(socket_states, (unsigned)state)) :
					   json_null());
}

static void add_pick(struct account *account)
{
	const struct explain_pick *pick = &account->found->pick;
	json_t *step, *workers;

	if (!pick->asked)
		return;
	step = step_add(account, "worker");
	workers = json_array();
	for (unsigned slot = 0; slot < SLUICE_MAX_WORKERS; slot++)
		if (pick->slots[slot])
			json_array_append_new(
				workers,
				json_pack("{s:i, s:i, s:f}", "slot", (int)slot, "pid",
					  (int)account->supervisor->children.workers[slot].pid,
					  "share", (double)pick->slots[slot] / EXPLAIN_PICKS));
	put(step, "workers", workers);
	put(step, "kernel_share", json_real((double)pick->kernel / EXPLAIN_PICKS));
}

/* What a new connection meets, in the gate's order; ends with the step that the verdict names. */
static void add_new_connection(struct account *account)
{
	enum verdict_reason verdict = account->gate->verdict;
	bool refused;

	add_acl(account);
	if (verdict == VERDICT_DROP_ACL || verdict == VERDICT_DROP_NOT_ALLOWED)
		return;
	add_penalty(account);
	if (verdict == VERDICT_DROP_PENALTY)
		return;
	add_group(account);
	refused = verdict == VERDICT_DROP_ALL_DOWN || verdict == VERDICT_RESET_ALL_DOWN;
	if (!refused)
		add_cookie(account);
	if (verdict == VERDICT_COOKIE_SENT)
		return;
	add_connections(account);
	if (verdict == VERDICT_DROP_SOURCE_CONNECTIONS)
		return;
	add_source_limit(account);
	if (verdict != VERDICT_DROP_SOURCE_LIMIT)
		add_listener_limit(account);
}

static void add_steps(struct account *account)
{
	add_listener(account);
	if (account->gate->verdict == VERDICT_DROP_PENALTY_ALL) {
		add_penalty(account);
	} else if (!has(account, SLUICE_TRACE_LISTENER)) {
		if (has(account, SLUICE_TRACE_STRAY))
			add_stray(account);
	} else if (account->query->ack) {
		add_connection(account);
		if (has(account, SLUICE_TRACE_STRAY))
			add_stray(account);
	} else {
		add_new_connection(account);
	}
	add_pick(account);
}

static json_t *interfaces_json(const struct supervisor *supervisor, const struct explain_query *query)
{
	const struct kernel *kernel = &supervisor->kernel;
	json_t *interfaces = json_array();

	for (size_t i = 0; i < kernel->n_interfaces; i++)
		if (!query->interface[0] || !strcmp(query->interface, kernel->interfaces[i].name))
			json_array_append_new(
				interfaces,
				json_pack("{s:s, s:s, s:s}", "name", kernel->interfaces[i].name,
					  "mode", bpf_xdp_used_name(kernel->interfaces[i].used),
					  "chain",
					  kernel->interfaces[i].chained ?
						  kernel->interfaces[i].chain : ""));
	return interfaces;
}

/* ::ffff:192.0.2.1 is IPv4, here as in all other commands: no such packet is on a wire. */
static void unmap(struct addr *addr)
{
	uint8_t bytes[16];

	if (addr->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr))
		return;
	addr_to_mapped(addr, bytes);
	addr_from_mapped(addr, bytes, addr_port(addr));
}

static const char *read_query(struct explain_query *query, const json_t *request)
{
	static const char *const known[] = { "command", "source", "destination", "packet",
					     "interface" };
	const char *packet = json_string_value(json_object_get(request, "packet"));
	const char *interface = json_string_value(json_object_get(request, "interface"));
	const char *key;
	json_t *value;

	memset(query, 0, sizeof(*query));
	json_object_foreach((json_t *)request, key, value) {
		bool is = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is |= !strcmp(key, known[i]) && json_is_string(value);
		if (!is)
			return "want texts under source, destination, packet and interface";
	}
	const char *source = json_string_value(json_object_get(request, "source"));
	const char *destination = json_string_value(json_object_get(request, "destination"));

	if (!source || addr_parse(&query->source, source) || !destination ||
	    addr_parse(&query->destination, destination))
		return "source and destination are written 192.0.2.1:443 or [2001:db8::1]:443";
	unmap(&query->source);
	unmap(&query->destination);
	if (packet && strcmp(packet, "syn") && strcmp(packet, "ack"))
		return "a packet is \"syn\" or \"ack\"";
	query->ack = packet && !strcmp(packet, "ack");
	if (interface && strlen(interface) >= sizeof(query->interface))
		return "there is no interface of such a long name";
	if (interface)
		snprintf(query->interface, sizeof(query->interface), "%s", interface);
	return NULL;
}

json_t *control_explain(const struct supervisor *supervisor, const json_t *request, char *why,
			size_t why_size)
{
	struct explain_query query;
	struct explanation found;
	const char *wrong = read_query(&query, request);
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	struct account account = { .supervisor = supervisor, .query = &query, .found = &found,
				   .gate = &found.gate };
	json_t *answer;

	if (wrong) {
		snprintf(why, why_size, "%s", wrong);
		return NULL;
	}
	if (explain(supervisor, &query, &found, why, why_size))
		return NULL;
	account.steps = json_array();
	add_steps(&account);
	answer = json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:s, s:s, s:s}", "source",
			   addr_format(&query.source, from, sizeof(from)), "destination",
			   addr_format(&query.destination, to, sizeof(to)), "packet",
			   query.ack ? "ack" : "syn", "interface", query.interface, "guarded",
			   found.on_interface, "interfaces", interfaces_json(supervisor, &query),
			   "steps", account.steps, "verdict", verdicts[found.gate.verdict].name,
			   "meaning", verdicts[found.gate.verdict].text, "action",
			   NAME_OF(actions, found.gate.action));
	if (!answer)
		snprintf(why, why_size, "no memory");
	return answer;
}
