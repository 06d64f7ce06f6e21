/* SPDX-License-Identifier: MIT */
/*
 * model_judge.h - the gate's order of rules in the model: see model.h. model_judge says what must
 * become of one frame, and changes the model's clocks and counters as the gate has to change the
 * maps.
 */
#ifndef SLUICE_SELFTESTS_MODEL_JUDGE_H
#define SLUICE_SELFTESTS_MODEL_JUDGE_H

#include "model_answer.h"

/* A source is a prefix: its first address stands for it. */
static inline void model_source(const struct model *model, const struct model_tuple *tuple,
				uint8_t source[16])
{
	unsigned bits = tuple->ipv4 ? 96u + model->on.v4_prefix : model->on.v6_prefix;

	for (unsigned i = 0; i < 128; i++) {
		if (i % 8 == 0)
			source[i / 8] = 0;
		if (i < bits)
			source[i / 8] |= tuple->source[i / 8] & (0x80 >> i % 8);
	}
}

/* Takes one token: the bucket leaks all the time, and one more must not make it overflow. */
static inline bool model_take(struct model_bucket *bucket, uint64_t now_ns, uint64_t interval_ns,
			      uint64_t tolerance_ns)
{
	uint64_t leaked = now_ns - bucket->filled_ns, level = 0;

	if (bucket->used && bucket->level_ns > leaked)
		level = bucket->level_ns - leaked;
	/* So full under this limit? It was filled under a slower one, which holds no more. */
	if (level > tolerance_ns + interval_ns + MODEL_SECOND_NS)
		level = 0;
	if (level > tolerance_ns)
		return false;
	bucket->used = true;
	bucket->level_ns = level + interval_ns;
	bucket->filled_ns = now_ns;
	return true;
}

/* The bucket of a source at a listener; made where there is none. */
static inline struct model_bucket *model_bucket(struct model *model, const uint8_t source[16],
						uint32_t listener)
{
	uint32_t at = listener * 2654435761u;
	struct model_bucket *bucket;

	for (int i = 0; i < 16; i++)
		at = (at ^ source[i]) * 16777619u;
	for (;; at++) {
		bucket = &model->sources[at % MODEL_BUCKETS];
		if (!bucket->used)
			break;
		if (bucket->listener == listener && !memcmp(bucket->source, source, 16))
			return bucket;
	}
	*(listener == MODEL_NONE ? &model->n_stray_buckets : &model->n_source_buckets) += 1;
	memcpy(bucket->source, source, 16);
	bucket->listener = listener;
	bucket->level_ns = 0;
	bucket->used = true;
	return bucket;
}

static inline const struct sluice_listener *model_listener(const struct model *model,
							   const struct model_tuple *tuple)
{
	uint8_t any[16] = {};

	for (unsigned i = 0; i < model->n_listeners; i++) {
		if (model->listeners[i].port == tuple->destination_port &&
		    !memcmp(model->listeners[i].address, tuple->destination, 16))
			return &model->listeners[i].row;
	}
	/* What has the form of a mapped address is taken for IPv4 in the maps. */
	memset(any + 10, 0xff, 2);
	if (memcmp(tuple->destination, any, 12))
		memset(any, 0, 16);
	for (unsigned i = 0; i < model->n_listeners; i++) {
		if (model->listeners[i].port == tuple->destination_port &&
		    !memcmp(model->listeners[i].address, any, 16))
			return &model->listeners[i].row;
	}
	return NULL;
}

/* The longest entry for a source in one list. NULL: none. */
static inline const struct model_acl_entry *model_acl_find(const struct model *model,
							   const struct model_tuple *tuple,
							   uint32_t acl)
{
	const struct model_acl_entry *best = NULL;

	for (unsigned i = 0; i < model->n_acl_entries; i++) {
		const struct model_acl_entry *entry = &model->acl_entries[i];

		if (entry->acl != acl || (!entry->exact && entry->ipv4 != tuple->ipv4) ||
		    !model_same_prefix(entry->address, tuple->source, entry->prefix))
			continue;
		if (!best || entry->prefix > best->prefix || (entry->exact && !best->exact))
			best = entry;
	}
	return best;
}

/* MODEL_PARSED_TCP: admitted. */
static inline unsigned model_acl(const struct model *model, const struct model_tuple *tuple,
				 uint32_t own_acl)
{
	const struct model_acl_entry *entry = model_acl_find(model, tuple, 0), *own = NULL;
	uint32_t lists = model->acl_active[0];

	if (own_acl && own_acl < MODEL_ACLS) {
		own = model_acl_find(model, tuple, own_acl);
		lists |= model->acl_active[own_acl];
	}
	if (own && (!entry || own->prefix >= entry->prefix))
		entry = own;
	if (entry)
		return entry->action == SLUICE_ACL_DENY ? VERDICT_DROP_ACL : MODEL_PARSED_TCP;
	return lists & SLUICE_ACL_ALLOW_LIST ? VERDICT_DROP_NOT_ALLOWED : MODEL_PARSED_TCP;
}

static inline bool model_penalty(struct model *model, const struct model_tuple *tuple, uint32_t level,
				 uint64_t now_ns)
{
	uint8_t source[16];

	model_source(model, tuple, source);
	for (unsigned i = 0; i < model->n_penalties; i++) {
		struct sluice_penalty *row = &model->penalties[i].row;

		if (memcmp(model->penalties[i].source, source, 16))
			continue;
		if (row->level < level || row->until_ns <= now_ns)
			return false;
		row->dropped++;
		return true;
	}
	return false;
}

/* The socket that TCP would find: a connection's before a listening one. */
static inline struct model_socket *model_socket(struct model *model, const struct model_tuple *tuple)
{
	struct model_socket *found = NULL;

	for (unsigned i = 0; i < model->n_sockets; i++) {
		struct model_socket *socket = &model->sockets[i];

		if (socket->tuple.destination_port != tuple->destination_port)
			continue;
		if (socket->listening) {
			bool any = tuple->ipv4 ? socket->any_ipv4 : socket->any_ipv6;

			if (any || (socket->tuple.ipv4 == tuple->ipv4 &&
				    !socket->any_ipv4 && !socket->any_ipv6 &&
				    !memcmp(socket->tuple.destination, tuple->destination, 16)))
				found = socket;
		} else if (socket->tuple.ipv4 == tuple->ipv4 &&
			   socket->tuple.source_port == tuple->source_port &&
			   !memcmp(socket->tuple.source, tuple->source, 16) &&
			   !memcmp(socket->tuple.destination, tuple->destination, 16)) {
			return socket;
		}
	}
	return found;
}

static inline bool model_same_tuple(const struct model_tuple *a, const struct model_tuple *b)
{
	return a->ipv4 == b->ipv4 && a->source_port == b->source_port &&
	       a->destination_port == b->destination_port && !memcmp(a->source, b->source, 16) &&
	       !memcmp(a->destination, b->destination, 16);
}

/*
 * The cookie that was sent and that this segment, to a listening socket, brings back. NULL: none.
 * The kernel adds up a hash, the client's sequence number and which of four MSS values it is: so it
 * takes numbers that are a little off for another of the four.
 */
static inline const struct model_cookie *model_cookie_back(const struct model *model,
							   const struct model_packet *packet)
{
	if (!model->syncookies || !(packet->flags & MODEL_ACK) ||
	    (packet->flags & (MODEL_SYN | MODEL_RST)))
		return NULL;
	for (unsigned i = 0; i < MODEL_COOKIES && i < model->n_cookies; i++) {
		const struct model_cookie *cookie = &model->cookies[i];
		uint32_t off = (packet->acknowledgement - cookie->cookie) -
			       (packet->sequence - cookie->client_sequence);

		if (off + cookie->mss_index < 4 && model_same_tuple(&cookie->tuple, &packet->tuple))
			return cookie;
	}
	return NULL;
}

/* VERDICT_PASS_NEW, or the limit that was met. */
static inline unsigned model_admit(struct model *model, const struct model_packet *packet,
				   const struct sluice_listener *listener, uint64_t now_ns)
{
	struct sluice_listener_stats *stats = &model->stats[listener->id];
	uint8_t source[16];

	model_source(model, &packet->tuple, source);
	for (unsigned i = 0; i < model->n_connected && listener->source_connections; i++) {
		if (!memcmp(model->connected[i].source, source, 16) &&
		    model->connected[i].connections >= listener->source_connections) {
			stats->source_full++;
			return VERDICT_DROP_SOURCE_CONNECTIONS;
		}
	}
	if (listener->source_interval_ns &&
	    !model_take(model_bucket(model, source, listener->id), now_ns,
			listener->source_interval_ns, listener->source_tolerance_ns)) {
		stats->source_limited++;
		return VERDICT_DROP_SOURCE_LIMIT;
	}
	if (listener->listener_interval_ns &&
	    !model_take(&model->listener_buckets[listener->id], now_ns,
			listener->listener_interval_ns, listener->listener_tolerance_ns)) {
		stats->listener_limited++;
		return VERDICT_DROP_LISTENER_LIMIT;
	}
	return VERDICT_PASS_NEW;
}

/* The limit of a source's packets that belong to no connection, at the listeners' addresses. */
static inline bool model_stray_allowed(struct model *model, const struct model_packet *packet,
				       uint64_t now_ns)
{
	bool to_vip = model->on.vip_any & (packet->tuple.ipv4 ? 1 : 2);
	uint8_t source[16];

	if (!model->on.stray_interval_ns || !packet->has_addresses || packet->discovery)
		return true;
	for (unsigned i = 0; i < model->n_vips; i++)
		to_vip |= !memcmp(model->vips[i], packet->tuple.destination, 16);
	if (!to_vip)
		return true;
	model_source(model, &packet->tuple, source);
	return model_take(model_bucket(model, source, MODEL_NONE), now_ns,
			  model->on.stray_interval_ns, model->on.stray_tolerance_ns);
}

static inline bool model_wants_cookies(struct model *model, const struct sluice_listener *listener,
				       uint64_t now_ns, const struct model_oracle *oracle)
{
	uint64_t *until_ns = &model->cookie_until_ns[listener->id];
	/* Of a group address, the gate says only that it would have been sent. */
	bool sent = oracle->reason == VERDICT_COOKIE_SENT ||
		    oracle->reason == VERDICT_DROP_MALFORMED;

	if (listener->flags & SLUICE_LISTENER_COOKIES_ALWAYS)
		return true;
	if (!(listener->flags & SLUICE_LISTENER_COOKIES_AUTO))
		return false;
	if (!model_take(&model->cookie_meters[listener->id], now_ns, listener->cookie_interval_ns,
			listener->cookie_tolerance_ns))
		*until_ns = now_ns + MODEL_SECOND_NS;
	/* So near to the end that the two clocks may not agree. */
	if (*until_ns < now_ns + MODEL_SECOND_NS / 2 && *until_ns + MODEL_SECOND_NS / 2 > now_ns)
		return sent;
	return *until_ns > now_ns || (sent && (listener->flags & SLUICE_LISTENER_COOKIES_PROBE));
}

/*
 * The socket that makes the cookie for this SYN: whom TCP would ask, if nobody has the connection
 * yet.
 */
static inline struct model_socket *model_cookie_maker(struct model *model,
						      const struct model_packet *packet)
{
	struct model_socket *socket;

	if (model->syncookies != 2)
		return NULL;
	socket = model_socket(model, &packet->tuple);
	return socket && socket->listening ? socket : NULL;
}

/* May this source connect at all? MODEL_PARSED_TCP: it may. */
static inline unsigned model_unwelcome(struct model *model, const struct model_packet *packet,
				       const struct sluice_listener *listener, uint64_t now_ns)
{
	struct sluice_listener_stats *stats = &model->stats[listener->id];
	unsigned found = model_acl(model, &packet->tuple, listener->acl);

	if (found != MODEL_PARSED_TCP) {
		stats->denied++;
		return found;
	}
	if (!model->on.penalties_until_ns ||
	    !model_penalty(model, &packet->tuple, SLUICE_PENALTY_CONNECTIONS, now_ns))
		return MODEL_PARSED_TCP;
	stats->penalized++;
	return VERDICT_DROP_PENALTY;
}

/* A handshake was counted: what still comes of it is not to be counted again. */
static inline void model_counted(struct model *model, const struct model_packet *packet,
				 uint32_t sequence, uint64_t now_ns)
{
	model->handshakes[model->n_handshakes++ % MODEL_HANDSHAKES] = (struct model_handshake){
		packet->tuple, sequence, now_ns
	};
}

/* May cookies of this listener still come back? The kernel takes one for two minutes. */
static inline bool model_cookies_return(struct model *model, const struct sluice_listener *listener,
					uint64_t now_ns)
{
	uint64_t *sent_ns = &model->cookie_sent_ns[listener->id];

	if (!(listener->flags & (SLUICE_LISTENER_COOKIES_AUTO | SLUICE_LISTENER_COOKIES_ALWAYS)))
		return false;
	if (now_ns >= *sent_ns + 125 * MODEL_SECOND_NS)
		*sent_ns = 0;
	return *sent_ns;
}

/* What was sent to a group of machines, or by one, or by nobody, gets no answer (RFC 9293 3.9.2.3, RFC
 * 1122 3.2.1.3). */
static inline bool model_is_unanswerable(const struct model_packet *packet)
{
	static const uint8_t nobody[16], everybody[] = { 255, 255, 255, 255 };
	const uint8_t *source = packet->tuple.source;

	if (packet->bytes[0] & 1)
		return true;
	if (!packet->tuple.ipv4)
		return source[0] == 0xff || !memcmp(source, nobody, 16);
	return (source[12] >= 224 && source[12] < 240) || !memcmp(source + 12, everybody, 4) ||
	       !memcmp(source + 12, nobody, 4);
}

static inline unsigned model_new_connection(struct model *model, const struct model_packet *packet,
					    const struct sluice_listener *listener, uint64_t now_ns,
					    const struct model_oracle *oracle,
					    struct model_answer *answer)
{
	struct sluice_listener_stats *stats = &model->stats[listener->id];
	const struct sluice_group *group = NULL;
	struct model_socket *maker;
	bool refuse, wants_cookie;
	unsigned found;

	stats->syns++;
	found = model_unwelcome(model, packet, listener, now_ns);
	if (found != MODEL_PARSED_TCP)
		return found;
	if (listener->group < MODEL_GROUPS && model->groups[listener->group].used &&
	    !model->groups[listener->group].live)
		group = &model->groups[listener->group];
	refuse = group && group->on_all_down != SLUICE_ALL_DOWN_ACCEPT;
	wants_cookie = !refuse && model_wants_cookies(model, listener, now_ns, oracle);
	if (wants_cookie && model_is_unanswerable(packet))
		return VERDICT_DROP_MALFORMED;
	maker = wants_cookie ? model_cookie_maker(model, packet) : NULL;
	if (maker)
		maker->cookie_ns = now_ns;
	if (maker && model_cookie(answer, packet, listener)) {
		stats->cookies++;
		model->cookie_sent_ns[listener->id] = now_ns;
		if ((listener->flags & SLUICE_LISTENER_COOKIES_PROBE) &&
		    model->cookie_until_ns[listener->id] < now_ns + MODEL_SECOND_NS / 2)
			model->cookie_until_ns[listener->id] = now_ns + MODEL_SECOND_NS;
		return VERDICT_COOKIE_SENT;
	}
	found = model_admit(model, packet, listener, now_ns);
	if (found != VERDICT_PASS_NEW)
		return found;
	if (!refuse) {
		stats->passed++;
		/* TCP may answer with a cookie of its own, which would not be a second connection. */
		if (model_cookies_return(model, listener, now_ns))
			model_counted(model, packet, packet->sequence + 1, now_ns);
		return group ? VERDICT_PASS_FAIL_OPEN : VERDICT_PASS_NEW;
	}
	stats->all_down++;
	if (group->on_all_down != SLUICE_ALL_DOWN_RESET || model_is_unanswerable(packet))
		return VERDICT_DROP_ALL_DOWN;
	model_reset(answer, packet);
	return VERDICT_RESET_ALL_DOWN;
}

/* A handshake that was let in a moment ago sends its first data: once that is no second one. */
static inline bool model_is_same_again(struct model *model, const struct model_packet *packet,
				       uint64_t now_ns, struct model_oracle *oracle)
{
	bool known = oracle->reason == VERDICT_PASS_ESTABLISHED;

	for (unsigned i = 0; i < MODEL_HANDSHAKES && i < model->n_handshakes; i++) {
		struct model_handshake *handshake = &model->handshakes[i];

		if (handshake->sequence != packet->sequence ||
		    now_ns > handshake->admitted_ns + 2 * MODEL_SECOND_NS || /* and no clock's error */
		    !model_same_tuple(&handshake->tuple, &packet->tuple))
			continue;
		*(known ? &oracle->twice : &oracle->forgotten) += 1;
		if (known)
			handshake->admitted_ns = 0;
		return known;
	}
	return false;
}

static inline unsigned model_later_packet(struct model *model, const struct model_packet *packet,
					  const struct sluice_listener *listener, uint64_t now_ns,
					  struct model_oracle *oracle)
{
	struct sluice_listener_stats *stats = &model->stats[listener->id];
	const struct model_socket *socket;
	unsigned found;

	if (!model->on.stray_interval_ns && !model_cookies_return(model, listener, now_ns))
		return VERDICT_PASS_ESTABLISHED;
	socket = model_socket(model, &packet->tuple);
	if (socket && !socket->listening)
		return VERDICT_PASS_ESTABLISHED;
	if (socket && socket->cookie_ns && socket->cookie_ns + 120 * MODEL_SECOND_NS > now_ns &&
	    model_cookie_back(model, packet)) {
		/* Cookies can be gathered: who is out since then is out. */
		found = model_unwelcome(model, packet, listener, now_ns);
		if (found != MODEL_PARSED_TCP)
			return found;
		if (model_is_same_again(model, packet, now_ns, oracle))
			return VERDICT_PASS_ESTABLISHED;
		found = model_admit(model, packet, listener, now_ns);
		if (found != VERDICT_PASS_NEW)
			return found;
		model_counted(model, packet, packet->sequence, now_ns);
		stats->cookies_back++;
		stats->passed++;
		return VERDICT_PASS_COOKIE;
	}
	if (!model_stray_allowed(model, packet, now_ns)) {
		stats->strays_limited++;
		return VERDICT_DROP_STRAY_LIMIT;
	}
	return VERDICT_PASS_ESTABLISHED;
}

static inline unsigned model_decide(struct model *model, struct model_packet *packet,
				    uint64_t now_ns, struct model_oracle *oracle,
				    struct model_answer *answer)
{
	const struct sluice_listener *listener;
	struct sluice_listener_stats *stats;
	unsigned found = model_parse(packet);

	if (found == VERDICT_DROP_MALFORMED)
		return found;
	if (found != MODEL_PARSED_TCP)
		return model_stray_allowed(model, packet, now_ns) ? found : VERDICT_DROP_STRAY_LIMIT;
	listener = model_listener(model, &packet->tuple);
	if (!listener && model_asks(packet) && !model_stray_allowed(model, packet, now_ns))
		return VERDICT_DROP_STRAY_LIMIT;
	if (!listener || listener->id >= SLUICE_MAX_LISTENERS)
		return VERDICT_PASS_NOT_OURS;
	answer->listener = listener->id;
	stats = &model->stats[listener->id];
	stats->packets++;
	if (model->on.packets_until_ns &&
	    model_penalty(model, &packet->tuple, SLUICE_PENALTY_PACKETS, now_ns)) {
		stats->penalized++;
		return VERDICT_DROP_PENALTY_ALL;
	}
	found = model_parse_tcp(packet);
	if (found != MODEL_PARSED_TCP)
		return found;
	if ((packet->flags & (MODEL_SYN | MODEL_ACK)) == MODEL_SYN)
		return model_new_connection(model, packet, listener, now_ns, oracle, answer);
	return model_later_packet(model, packet, listener, now_ns, oracle);
}

/*
 * What has to become of a frame, of which the program sees headers in the first linear bytes. What
 * a cookie has of the kernel is left out: model_put_cookie.
 */
static inline void model_judge(struct model *model, const uint8_t *bytes, uint32_t len,
			       uint32_t linear, uint64_t now_ns, struct model_oracle *oracle,
			       struct model_answer *answer)
{
	struct model_packet packet = {
		.bytes = bytes, .len = len, .linear = linear, .keeps_length = model->keeps_length,
	};

	answer->listener = SLUICE_EVENT_NO_LISTENER;
	answer->action = XDP_DROP;
	answer->reason = model_decide(model, &packet, now_ns, oracle, answer);
	answer->tuple = packet.tuple;
	answer->addresses_known = packet.has_addresses;
	answer->ports_known = packet.has_ports;
	switch (answer->reason) {
	case VERDICT_PASS_NOT_OURS:
	case VERDICT_PASS_ESTABLISHED:
	case VERDICT_PASS_NEW:
	case VERDICT_PASS_FAIL_OPEN:
	case VERDICT_PASS_FRAGMENT:
	case VERDICT_PASS_TRUNCATED:
	case VERDICT_PASS_COOKIE:
		answer->action = XDP_PASS;
		break;
	default:
		break;
	}
	if (answer->action != XDP_TX) {
		memcpy(answer->bytes, bytes, len);
		answer->len = len;
	}
	model->verdicts[answer->reason].packets++;
	model->verdicts[answer->reason].bytes += answer->action == XDP_TX ? answer->len : len;
}

#endif
