/* SPDX-License-Identifier: MIT */
/*
 * random_frame.h - frames by chance: mostly such as come near to one of the gate's rules
 * (addresses and ports that the random maps know), then damaged in places. Lengths are right
 * before the damage; checksums never are, since the gate does not look at them.
 */
#ifndef SLUICE_SELFTESTS_RANDOM_FRAME_H
#define SLUICE_SELFTESTS_RANDOM_FRAME_H

#include "frame.h"
#include "model.h"
#include "random.h"


struct random_frame {
	uint8_t bytes[MODEL_FRAME_MAX];
	uint32_t len;
	uint32_t l3, l4;
};

static const uint16_t random_ports[] = { 8443, 8444, 8445, 8446, 9 };

/* An address as the maps have it, from a text. */
static inline void random_parse_address(uint8_t address[16], const char *text)
{
	memset(address, 0, 16);
	if (strchr(text, ':')) {
		inet_pton(AF_INET6, text, address);
		return;
	}
	memset(address + 10, 0xff, 2);
	inet_pton(AF_INET, text, address + 12);
}

static inline void random_of_pool(uint8_t address[16], const char *const *pool, uint32_t n)
{
	random_parse_address(address, pool[random_below(n)]);
}

/* One of few, of which many have prefixes in common. */
static inline void random_source(uint8_t address[16], bool ipv4)
{
	static const char *const four[] = { "198.18.0.0", "198.18.1.0", "198.19.0.0", "10.0.0.0",
					    "203.0.113.128" };
	static const char *const six[] = { "fd00::", "fd00:0:0:1::", "fd00:0:1::", "2001:db8::",
					   "2001:db8:8000::", "::ffff:198.18.0.0" };
	static const char *const nobody4[] = { "0.0.0.0", "224.0.0.1", "239.1.2.3",
					       "255.255.255.255" };
	static const char *const nobody6[] = { "::", "ff02::1" };

	if (random_chance(2)) {
		random_of_pool(address, ipv4 ? nobody4 : nobody6, ipv4 ? 4 : 2);
		return;
	}
	if (ipv4)
		random_of_pool(address, four, random_chance(70) ? 1 : 5);
	else
		random_of_pool(address, six, random_chance(70) ? 1 : 6);
	address[15] |= (uint8_t)random_below(12);
	if (random_chance(3))
		random_fill(address + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
}

static inline void random_destination(uint8_t address[16], bool ipv4)
{
	static const char *const four[] = { "198.18.0.1", "198.18.0.2", "198.18.0.3", "0.0.0.0",
					    "255.255.255.255" };
	static const char *const six[] = { "fd00::1", "fd00::2", "fd00::3", "::",
					   "::ffff:198.18.0.1", "ff02::1" };

	if (ipv4)
		random_of_pool(address, four, random_chance(90) ? 2 : 5);
	else
		random_of_pool(address, six, random_chance(90) ? 2 : 6);
}

static inline uint8_t random_flags(void)
{
	static const uint8_t common[] = { SYN, SYN, SYN, SYN, ACK, ACK, PSH | ACK, FIN | ACK, RST,
					  SYN | ACK, RST | ACK, 0 };

	return random_chance(92) ? RANDOM_OF(common) : (uint8_t)random_u64();
}

static inline uint32_t random_payload(void)
{
	if (random_chance(70))
		return random_chance(60) ? 0 : random_below(64);
	return random_chance(85) ? random_below(1460) : random_below(8000);
}

/* Tags, and room for the addresses. Returns where the type goes. */
static inline uint32_t random_add_link(struct random_frame *frame)
{
	static const uint16_t tags[] = { 0x8100, 0x88a8, 0x9100 };
	uint32_t at = 12, n = random_chance(80) ? 0 : 1 + random_below(3);

	random_fill(frame->bytes, 12);
	if (!random_chance(4))
		frame->bytes[0] &= 0xfe; /* one machine's */
	for (uint32_t i = 0; i < n; i++, at += 4) {
		model_put16(frame->bytes + at, tags[random_chance(90) ? i % 2 : 2]);
		model_put16(frame->bytes + at + 2, random_below(0x10000));
	}
	return at;
}

static inline uint32_t random_add_ipv4(struct random_frame *frame, const struct model_tuple *tuple,
				       uint8_t protocol)
{
	uint8_t *ip = frame->bytes + frame->l3;
	uint32_t options = random_chance(85) ? 0 : 4 * random_below(11);

	memset(ip, 0, 20);
	ip[0] = (uint8_t)(0x40 | (20 + options) / 4);
	ip[1] = random_chance(90) ? 0 : (uint8_t)random_u64();
	random_fill(ip + 4, 2);
	if (random_chance(6)) {
		static const uint16_t fields[] = { 0x2000, 0x2001, 1, 2, 0x2002, 185, 0x1fff, 0x8000 };

		model_put16(ip + 6, RANDOM_OF(fields));
	} else if (random_chance(50)) {
		ip[6] = 0x40;
	}
	ip[8] = (uint8_t)(1 + random_below(255));
	ip[9] = protocol;
	memcpy(ip + 12, tuple->source + 12, 4);
	memcpy(ip + 16, tuple->destination + 12, 4);
	memset(ip + 20, 1, options);
	return 20 + options;
}

static inline uint32_t random_add_ipv6(struct random_frame *frame, const struct model_tuple *tuple,
				       uint8_t protocol)
{
	static const uint8_t types[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT,
					 IPPROTO_FRAGMENT, IPPROTO_DSTOPTS };
	static const uint16_t fields[] = { 1, 1, 0, 8, 9, 16, 0xfff8, 6 };
	uint8_t *ip = frame->bytes + frame->l3, *next = ip + 6;
	uint32_t n = random_chance(75) ? 0 : random_chance(90) ? 1 + random_below(3) :
							       7 + random_below(4);
	uint32_t at = 40;

	memset(ip, 0, 40);
	ip[0] = 0x60;
	random_fill(ip + 1, 3);
	ip[0] |= random_below(16);
	ip[7] = random_chance(50) ? 255 : (uint8_t)(1 + random_below(255));
	memcpy(ip + 8, tuple->source, 16);
	memcpy(ip + 24, tuple->destination, 16);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t type = RANDOM_OF(types);
		uint8_t units = random_chance(80) ? 0 : random_chance(90) ? random_below(4) :
								       (uint8_t)random_u64();

		if (at > 4000)
			units = 0;
		*next = type;
		next = ip + at;
		memset(ip + at, 0, 8 + 8u * units);
		if (type == IPPROTO_FRAGMENT) {
			units = 0;
			model_put16(ip + at + 2, random_chance(70) ? random_chance(50) :
								      RANDOM_OF(fields));
		} else {
			ip[at + 1] = units;
		}
		at += 8 + 8u * units;
	}
	*next = protocol;
	return at;
}

static inline uint32_t random_add_tcp(uint8_t *tcp, const struct model_tuple *tuple)
{
	static const uint8_t usual[] = { 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7 };
	static const uint8_t mss[] = { 2, 4, 0, 0 };
	uint32_t options = random_chance(50) ? 0 : 4 * random_below(11);

	model_put16(tcp, tuple->source_port);
	model_put16(tcp + 2, tuple->destination_port);
	random_fill(tcp + 4, 8);
	if (random_chance(5))
		memset(tcp + 4, 0xff, 4); /* the sequence number is about to wrap */
	tcp[12] = (uint8_t)((20 + options) / 4 << 4);
	tcp[13] = random_flags();
	random_fill(tcp + 14, 6);
	memset(tcp + 20, 1, options);
	if (options && random_chance(15))
		random_fill(tcp + 20, options);
	if (options >= 20 && random_chance(60)) {
		memcpy(tcp + 24, usual, 16);
		if (random_chance(30))
			memset(tcp + 24, 1, 2); /* without SACK */
		tcp[39] = (uint8_t)random_below(20);
	}
	if (options && random_chance(80)) {
		uint8_t *option = tcp + 20 + random_below(options - 3);

		memcpy(option, mss, 4);
		model_put16(option + 2, random_chance(80) ? 1200 + random_below(300) :
							    random_below(0x10000));
	}
	return 20 + options;
}

/* One thing that is wrong. */
static inline void random_damage(struct random_frame *frame)
{
	uint8_t *ip = frame->bytes + frame->l3, *tcp = frame->bytes + frame->l4;

	switch (random_below(10)) {
	case 0: /* cut */
		frame->len = 14 + random_below(frame->len - 13);
		return;
	case 1: /* cut, in the headers */
		if (frame->len > 90)
			frame->len = 14 + random_below(77);
		return;
	case 2: /* what is behind the packet is nobody's */
		frame->len += random_below(60);
		return;
	case 3:
		model_put16(ip + (ip[0] >> 4 == 4 ? 2 : 4),
			    random_chance(50) ? random_below(120) : random_below(0x10000));
		return;
	case 4:
		ip[0] = (uint8_t)random_u64();
		return;
	case 5:
		tcp[12] = (uint8_t)random_u64();
		return;
	case 6:
		tcp[13] = (uint8_t)random_u64();
		return;
	case 7:
		frame->bytes[random_below(frame->len)] = (uint8_t)random_u64();
		return;
	case 8:
		if (frame->len > 100)
			frame->bytes[random_below(100)] ^= (uint8_t)(1 << random_below(8));
		else
			frame->bytes[random_below(frame->len)] ^= (uint8_t)(1 << random_below(8));
		return;
	default: /* where the headers are */
		frame->bytes[12 + random_below(frame->l4 + 8 > frame->len ? 2 : frame->l4 - 4)] =
			(uint8_t)random_u64();
	}
}

/* A frame with these addresses and ports. */
static inline void random_frame_of(struct random_frame *frame, const struct model_tuple *tuple,
				   uint8_t protocol)
{
	uint32_t type_at = random_add_link(frame), ip_bytes, payload = random_payload(), l4_bytes;
	uint8_t *ip;

	model_put16(frame->bytes + type_at, tuple->ipv4 ? 0x0800 : 0x86dd);
	frame->l3 = type_at + 2;
	ip = frame->bytes + frame->l3;
	ip_bytes = tuple->ipv4 ? random_add_ipv4(frame, tuple, protocol) :
				 random_add_ipv6(frame, tuple, protocol);
	frame->l4 = frame->l3 + ip_bytes;
	l4_bytes = random_add_tcp(frame->bytes + frame->l4, tuple) + payload;
	memset(frame->bytes + frame->l4 + l4_bytes - payload, 'x', payload);
	frame->len = frame->l4 + l4_bytes;
	if (tuple->ipv4)
		model_put16(ip + 2, ip_bytes + l4_bytes);
	else
		model_put16(ip + 4, ip_bytes - 40 + l4_bytes);
}

/* Mostly to one of the listeners. */
static inline void random_tuple(const struct model *model, struct model_tuple *tuple)
{
	static const uint8_t any_ipv4[16] = { [10] = 0xff, [11] = 0xff }, any_ipv6[16];
	const struct model_listener *listener = &model->listeners[random_below(model->n_listeners)];

	tuple->ipv4 = random_chance(50);
	random_destination(tuple->destination, tuple->ipv4);
	tuple->source_port = (uint16_t)(41000 + random_below(4));
	tuple->destination_port = RANDOM_OF(random_ports);
	if (random_chance(70)) {
		tuple->destination_port = listener->port;
		tuple->ipv4 = model_same_prefix(listener->address, any_ipv4, 96);
		if (memcmp(listener->address, tuple->ipv4 ? any_ipv4 : any_ipv6, 16))
			memcpy(tuple->destination, listener->address, 16);
		else
			random_destination(tuple->destination, tuple->ipv4);
	}
	random_source(tuple->source, tuple->ipv4);
}

static inline void random_frame_make(const struct model *model, struct random_frame *frame)
{
	static const uint8_t others[] = { IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_ESP,
					  IPPROTO_AH, IPPROTO_NONE, 4, 41 };
	struct model_tuple tuple;
	uint8_t protocol = random_chance(92) ? IPPROTO_TCP : RANDOM_OF(others);

	if (random_chance(1)) { /* not made like anything */
		frame->len = 14 + random_below(200);
		random_fill(frame->bytes, frame->len);
		if (random_chance(80))
			model_put16(frame->bytes + 12, random_chance(50) ? 0x0800 : 0x86dd);
		frame->l3 = 14;
		frame->l4 = 34;
		return;
	}
	random_tuple(model, &tuple);
	random_frame_of(frame, &tuple, protocol);
	if (protocol == IPPROTO_ICMPV6)
		frame->bytes[frame->l4] = (uint8_t)(130 + random_below(12));
	for (int i = 0; i < 3 && random_chance(30); i++)
		random_damage(frame);
}

#endif
