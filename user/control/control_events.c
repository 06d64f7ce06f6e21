/* SPDX-License-Identifier: MIT */
/*
 * control_events.c - see control_events.h. Called by control.c with a request, by events.c for lines.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/addr.h"
#include "base/base64.h"
#include "control/control_events.h"
#include "control/control_json.h"

static const char *const reasons[VERDICT_MAX] = {
#define REASON(NAME, name, text) [VERDICT_##NAME] = #name,
	SLUICE_VERDICTS(REASON)
#undef REASON
};

static int read_reason(const char *name, uint64_t *mask)
{
	for (unsigned i = 0; name && i < VERDICT_MAX; i++) {
		if (strcmp(name, reasons[i]))
			continue;
		*mask |= 1ull << i;
		return 0;
	}
	return -EINVAL;
}

int control_events_read(const json_t *request, struct events_wish *wish, char *why, size_t size)
{
	const json_t *names = json_object_get(request, "reasons");
	const json_t *packets = json_object_get(request, "packets");
	size_t known = 1 + (names != NULL) + (packets != NULL);

	*wish = (struct events_wish){ .packets = json_is_true(packets) };
	if (json_object_size(request) != known || (names && !json_is_array(names)) ||
	    (packets && !json_is_boolean(packets))) {
		snprintf(why, size, "events takes \"reasons\", an array of verdicts, and \"packets\", "
				    "true or false");
		return -EINVAL;
	}
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (!read_reason(name, &wish->mask))
			continue;
		snprintf(why, size, "there is no verdict \"%.64s\": see sluicectl verdicts",
			 name ? name : "(no text)");
		return -EINVAL;
	}
	if (!wish->mask)
		wish->mask = (1ull << VERDICT_MAX) - 1;
	return 0;
}

/* Takes object over. */
static size_t dump(json_t *object, char *line)
{
	size_t len = object ? json_dumpb(object, line, CONTROL_EVENTS_LINE_MAX - 1, JSON_COMPACT) : 0;

	json_decref(object);
	if (!len || len >= CONTROL_EVENTS_LINE_MAX)
		return 0;
	line[len++] = '\n';
	return len;
}

size_t control_events_begin(const struct events_wish *wish, char *line)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < VERDICT_MAX; i++)
		if (wish->mask & (1ull << i))
			json_array_append_new(names, json_string(reasons[i]));
	return dump(json_pack("{s:o, s:b}", "listening", names, "packets", wish->packets), line);
}

size_t control_events_lost(const struct events_lost *lost, char *line)
{
	return dump(json_pack("{s:{s:I, s:I, s:I}}", "lost", "limited", num(lost->limited),
			      "ring_full", num(lost->ring_full), "slow", num(lost->slow)),
		    line);
}

static void put_time(json_t *object, uint64_t wall_ns)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;
	char text[48];

	gmtime_r(&seconds, &tm);
	size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);

	snprintf(text + len, sizeof(text) - len, ".%09uZ", (unsigned)(wall_ns % NS_PER_S));
	put(object, "time", json_string(text));
	put(object, "time_ns", json_integer(num(wall_ns)));
}

static void put_side(json_t *object, const char *key, const char *port_key,
		     const struct sluice_event *event, const __u32 address[4], __u16 port)
{
	char text[ADDR_TEXT_MAX];
	struct addr addr;

	if (!(event->known & 1))
		return;
	addr_from_mapped(&addr, (const uint8_t *)address, ntohs(port));
	put(object, key, json_string(addr_format_ip(&addr, text, sizeof(text))));
	if (event->known & 2)
		put(object, port_key, json_integer(ntohs(port)));
}

static void put_packet(json_t *object, const struct sluice_event *event)
{
	char text[BASE64_LEN(SLUICE_EVENT_SNAP)];
	size_t bytes = event->snap_bytes;

	if (bytes > SLUICE_EVENT_SNAP)
		bytes = SLUICE_EVENT_SNAP;
	put(object, "packet", json_stringn(text, base64_encode(text, event->snap, bytes)));
}

static const char *listener_name(const struct events *events, uint32_t id)
{
	const struct config *config = events->supervisor->current.config;

	for (size_t i = 0; config && i < config->n_listeners; i++)
		if (config->listeners[i].id == id)
			return config->listeners[i].name;
	return NULL; /* gone meanwhile */
}

size_t control_events_line(struct events *events, const struct sluice_event *event, bool packets,
			   char *line)
{
	const char *interface = events_interface(events, event->ifindex);
	const char *listener = listener_name(events, event->listener);
	json_t *object = json_object();

	put_time(object, event->time_ns + events->wall_offset_ns);
	put(object, "reason", json_string(reasons[event->reason]));
	put(object, "ifindex", json_integer(event->ifindex));
	/* Only '/' and white space are forbidden in such names: one may be no UTF-8. */
	put(object, "interface", *interface ? json_string(interface) : NULL);
	if (listener)
		put(object, "listener", json_string(listener));
	put_side(object, "source", "source_port", event, event->source, event->source_port);
	put_side(object, "destination", "destination_port", event, event->destination,
		 event->destination_port);
	put(object, "bytes", json_integer(event->packet_bytes));
	if (packets)
		put_packet(object, event);
	return dump(object, line);
}
