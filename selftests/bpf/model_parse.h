/* SPDX-License-Identifier: MIT */
/*
 * model_parse.h - the model's way from a frame to its TCP header: see model.h.
 */
#ifndef SLUICE_SELFTESTS_MODEL_PARSE_H
#define SLUICE_SELFTESTS_MODEL_PARSE_H

#include <netinet/in.h>

#include "model.h"

#define MODEL_PARSED_TCP VERDICT_MAX /* any other outcome is a verdict */
#define MODEL_JUMBO	 0x10000     /* bytes that a packet has whose length field is 0 */

#define MODEL_FIN 0x01
#define MODEL_SYN 0x02
#define MODEL_RST 0x04
#define MODEL_ACK 0x10

struct model_packet {
	const uint8_t *bytes;
	uint32_t len;	 /* of the frame */
	uint32_t linear; /* ... of which the program can see headers in these */
	uint32_t l3, l4;
	uint32_t l4_bytes; /* as the IP header has it */
	bool has_addresses, has_ports;
	bool keeps_length; /* the answer has to be as long as it is */
	bool starts_fragments; /* the first of several */
	bool discovery;	       /* IPv6 neighbour discovery */
	struct model_tuple tuple;
	/* of TCP */
	uint32_t header_bytes, sequence, acknowledgement;
	uint8_t flags;
};

static inline unsigned model_parse_ipv4(struct model_packet *packet)
{
	const uint8_t *ip = packet->bytes + packet->l3;
	uint32_t header, total, offset;

	if (packet->l3 + 20 > packet->linear)
		return VERDICT_PASS_TRUNCATED;
	header = (ip[0] & 15) * 4u;
	if (ip[0] >> 4 != 4 || header < 20)
		return VERDICT_DROP_MALFORMED;
	packet->tuple.ipv4 = true;
	packet->has_addresses = true;
	memset(packet->tuple.source, 0, 10);
	memset(packet->tuple.source + 10, 0xff, 2);
	memcpy(packet->tuple.destination, packet->tuple.source, 12);
	memcpy(packet->tuple.source + 12, ip + 12, 4);
	memcpy(packet->tuple.destination + 12, ip + 16, 4);
	if (ip[9] != IPPROTO_TCP)
		return VERDICT_PASS_NOT_OURS;
	offset = model_get16(ip + 6) & 0x1fff;
	if (offset == 1)
		return VERDICT_DROP_MALFORMED;
	if (offset)
		return VERDICT_PASS_FRAGMENT;
	total = model_get16(ip + 2);
	if (total == 0)
		total = MODEL_JUMBO;
	if (total < header)
		return VERDICT_DROP_MALFORMED;
	packet->starts_fragments = model_get16(ip + 6) & 0x2000;
	packet->l4 = packet->l3 + header;
	packet->l4_bytes = total - header;
	return MODEL_PARSED_TCP;
}

/* What ends too early: a first fragment was made so, another packet was only cut. */
static inline unsigned model_cut(const struct model_packet *packet)
{
	return packet->starts_fragments ? VERDICT_DROP_MALFORMED : VERDICT_PASS_TRUNCATED;
}

static inline bool model_is_extension(unsigned type)
{
	return type == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING || type == IPPROTO_FRAGMENT ||
	       type == IPPROTO_DSTOPTS;
}

static inline unsigned model_parse_ipv6(struct model_packet *packet)
{
	const uint8_t *ip = packet->bytes + packet->l3;
	unsigned extensions = 0, next;

	if (packet->l3 + 40 > packet->linear)
		return VERDICT_PASS_TRUNCATED;
	if (ip[0] >> 4 != 6)
		return VERDICT_DROP_MALFORMED;
	packet->tuple.ipv4 = false;
	packet->has_addresses = true;
	memcpy(packet->tuple.source, ip + 8, 16);
	memcpy(packet->tuple.destination, ip + 24, 16);
	packet->l4 = packet->l3 + 40;
	packet->l4_bytes = model_get16(ip + 4) ? model_get16(ip + 4) : MODEL_JUMBO;
	for (next = ip[6]; model_is_extension(next) && extensions < 8; extensions++) {
		const uint8_t *header = packet->bytes + packet->l4;
		uint32_t bytes = 8;

		if (packet->l4 + 8 > packet->linear)
			return model_cut(packet);
		if (next == IPPROTO_FRAGMENT) {
			uint32_t field = model_get16(header + 2);

			if (field >> 3 == 1 && header[0] == IPPROTO_TCP)
				return VERDICT_DROP_MALFORMED;
			if (field >> 3)
				return VERDICT_PASS_FRAGMENT;
			if (field & 1)
				packet->starts_fragments = true;
		} else {
			bytes += header[1] * 8u;
		}
		if (packet->l4 + bytes > packet->linear || bytes > packet->l4_bytes)
			return model_cut(packet);
		next = header[0];
		packet->l4 += bytes;
		packet->l4_bytes -= bytes;
	}
	if (next == IPPROTO_TCP)
		return MODEL_PARSED_TCP;
	if (model_is_extension(next)) /* a ninth */
		return VERDICT_DROP_MALFORMED;
	packet->discovery = next == IPPROTO_ICMPV6 && packet->l4 < packet->len &&
			    packet->bytes[packet->l4] >= 133 && packet->bytes[packet->l4] <= 137 &&
			    ip[7] == 255; /* else a neighbour did not send it */
	return VERDICT_PASS_NOT_OURS;
}

static inline bool model_is_tag(unsigned type)
{
	return type == 0x8100 || type == 0x88a8;
}

/* As far as the ports. */
static inline unsigned model_parse(struct model_packet *packet)
{
	uint32_t at = 12;
	unsigned type, found;

	if (packet->linear < 14)
		return VERDICT_PASS_TRUNCATED;
	type = model_get16(packet->bytes + at);
	for (int tags = 0; tags < 2 && model_is_tag(type); tags++) {
		at += 4;
		if (at + 2 > packet->linear)
			return VERDICT_PASS_TRUNCATED;
		type = model_get16(packet->bytes + at);
	}
	packet->l3 = at + 2;
	if (type == 0x0800)
		found = model_parse_ipv4(packet);
	else if (type == 0x86dd)
		found = model_parse_ipv6(packet);
	else
		found = model_is_tag(type) ? VERDICT_DROP_MALFORMED : VERDICT_PASS_NOT_OURS;
	if (found != MODEL_PARSED_TCP)
		return found;
	if (packet->l4 + 4 > packet->linear || packet->l4_bytes < 4)
		return model_cut(packet);
	packet->has_ports = true;
	packet->tuple.source_port = (uint16_t)model_get16(packet->bytes + packet->l4);
	packet->tuple.destination_port = (uint16_t)model_get16(packet->bytes + packet->l4 + 2);
	return MODEL_PARSED_TCP;
}

/* Does it ask for a connection? One that ends before its flags might. */
static inline bool model_asks(const struct model_packet *packet)
{
	uint8_t flags;

	if (packet->l4 + 20 > packet->linear)
		return true;
	flags = packet->bytes[packet->l4 + 13];
	return (flags & MODEL_SYN) && !(flags & MODEL_ACK);
}

/* The whole TCP header, of a packet to a listener. */
static inline unsigned model_parse_tcp(struct model_packet *packet)
{
	const uint8_t *tcp = packet->bytes + packet->l4;

	/* A first fragment has to bring the whole header; else another would finish it unseen. */
	if (packet->starts_fragments && packet->l4_bytes < 20)
		return VERDICT_DROP_MALFORMED;
	if (packet->l4 + 20 > packet->linear || packet->l4_bytes < 20)
		return VERDICT_DROP_TRUNCATED;
	packet->header_bytes = (tcp[12] >> 4) * 4u;
	if (packet->header_bytes < 20)
		return VERDICT_DROP_MALFORMED;
	if (packet->starts_fragments && packet->l4_bytes < packet->header_bytes)
		return VERDICT_DROP_MALFORMED;
	if (packet->l4 + packet->header_bytes > packet->linear ||
	    packet->l4_bytes < packet->header_bytes)
		return VERDICT_DROP_TRUNCATED;
	packet->flags = tcp[13];
	packet->sequence = model_get32(tcp + 4);
	packet->acknowledgement = model_get32(tcp + 8);
	if ((packet->flags & MODEL_SYN) && (packet->flags & (MODEL_FIN | MODEL_RST)))
		return VERDICT_DROP_BAD_FLAGS;
	return MODEL_PARSED_TCP;
}

#endif
