/* SPDX-License-Identifier: MIT */
/*
 * frame.h - builds the frames that the BPF tests send: from a description, with right lengths and
 * checksums. It shares no code with the programs under test, so that what one gets wrong the other
 * does not repeat.
 */
#ifndef SLUICE_SELFTESTS_FRAME_H
#define SLUICE_SELFTESTS_FRAME_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

#define FRAME_MAX 2048

struct frame {
	uint8_t bytes[FRAME_MAX];
	uint32_t len;
	uint32_t l3, l4, data; /* where IP, TCP and what follows TCP begin */
};

struct frame_extension {
	uint8_t type;
	uint8_t units; /* of 8 bytes, at least 1 */
};

/* Zero is a good default everywhere but for source and destination. */
struct frame_spec {
	const char *source, *destination; /* both of one family, which is the frame's */
	uint16_t source_port, destination_port;
	uint8_t flags;
	uint32_t sequence, acknowledgement;
	uint16_t window;
	const uint16_t *vlans; /* ethertypes of the tags, outermost first */
	unsigned n_vlans;
	unsigned ip_option_words;			/* IPv4 */
	const struct frame_extension *extensions;	/* IPv6, outermost first */
	unsigned n_extensions;
	uint16_t fragment; /* IPv4: the field as it stands; IPv6: of the fragment extensions */
	unsigned tcp_option_words;
	unsigned payload_bytes;
	uint8_t protocol; /* 0: TCP */
	uint8_t ttl;	  /* 0: 61 */
	uint16_t ip_id;
	uint8_t source_mac, destination_mac; /* the last byte; 0: 1 and 2 */
};

static inline uint32_t frame_sum(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	if (len & 1)
		sum += (uint32_t)bytes[len - 1] << 8;
	return sum;
}

static inline uint16_t frame_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline void frame_put16(struct frame *frame, uint32_t at, uint32_t value)
{
	frame->bytes[at] = (uint8_t)(value >> 8);
	frame->bytes[at + 1] = (uint8_t)value;
}

static inline void frame_put32(struct frame *frame, uint32_t at, uint32_t value)
{
	frame_put16(frame, at, value >> 16);
	frame_put16(frame, at + 2, value & 0xffff);
}

static inline uint32_t frame_add_vlans(struct frame *frame, const struct frame_spec *spec,
				       uint16_t ethertype)
{
	uint32_t at = 12;

	for (unsigned i = 0; i < spec->n_vlans; i++, at += 4) {
		frame_put16(frame, at, spec->vlans[i]);
		frame_put16(frame, at + 2, 0x6000u + 100 + i); /* priority 3, id 100, 101... */
	}
	frame_put16(frame, at, ethertype);
	return at + 2;
}

/* Returns where TCP begins. */
static inline uint32_t frame_add_ipv4(struct frame *frame, const struct frame_spec *spec,
				      uint32_t l4_bytes)
{
	uint32_t at = frame->l3, header = 20 + 4 * spec->ip_option_words;

	frame->bytes[at] = (uint8_t)(0x40 | header / 4);
	frame_put16(frame, at + 2, header + l4_bytes);
	frame_put16(frame, at + 4, spec->ip_id);
	frame_put16(frame, at + 6, spec->fragment);
	frame->bytes[at + 8] = spec->ttl ? spec->ttl : 61;
	frame->bytes[at + 9] = spec->protocol ? spec->protocol : IPPROTO_TCP;
	inet_pton(AF_INET, spec->source, frame->bytes + at + 12);
	inet_pton(AF_INET, spec->destination, frame->bytes + at + 16);
	memset(frame->bytes + at + 20, 1, header - 20); /* no-operation options */
	frame_put16(frame, at + 10, frame_fold(frame_sum(frame->bytes + at, header, 0)));
	return at + header;
}

static inline uint32_t frame_add_ipv6(struct frame *frame, const struct frame_spec *spec,
				      uint32_t l4_bytes)
{
	uint32_t at = frame->l3, next_at = at + 6, extensions = 0;

	frame->bytes[at] = 0x60;
	frame->bytes[at + 7] = spec->ttl ? spec->ttl : 61;
	inet_pton(AF_INET6, spec->source, frame->bytes + at + 8);
	inet_pton(AF_INET6, spec->destination, frame->bytes + at + 24);
	for (unsigned i = 0; i < spec->n_extensions; i++) {
		const struct frame_extension *extension = &spec->extensions[i];
		uint32_t header = at + 40 + extensions;

		frame->bytes[next_at] = extension->type;
		next_at = header;
		if (extension->type == IPPROTO_FRAGMENT) {
			frame_put16(frame, header + 2, spec->fragment);
			frame_put32(frame, header + 4, 0x1234);
		} else {
			frame->bytes[header + 1] = (uint8_t)(extension->units - 1);
			frame->bytes[header + 2] = 1; /* PadN over the rest */
			frame->bytes[header + 3] = (uint8_t)(extension->units * 8 - 4);
		}
		extensions += extension->units * 8u;
	}
	frame->bytes[next_at] = spec->protocol ? spec->protocol : IPPROTO_TCP;
	frame_put16(frame, at + 4, extensions + l4_bytes);
	return at + 40 + extensions;
}

static inline void frame_build(struct frame *frame, const struct frame_spec *spec)
{
	bool ipv6 = strchr(spec->source, ':');
	uint32_t header = 20 + 4 * spec->tcp_option_words, l4_bytes = header + spec->payload_bytes;
	uint32_t sum, at;

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->bytes, (const uint8_t[]){ 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 }, 12);
	if (spec->destination_mac)
		frame->bytes[5] = spec->destination_mac;
	if (spec->source_mac)
		frame->bytes[11] = spec->source_mac;
	frame->l3 = frame_add_vlans(frame, spec, ipv6 ? 0x86dd : 0x0800);
	at = frame->l4 = ipv6 ? frame_add_ipv6(frame, spec, l4_bytes) :
				frame_add_ipv4(frame, spec, l4_bytes);
	frame_put16(frame, at, spec->source_port);
	frame_put16(frame, at + 2, spec->destination_port);
	frame_put32(frame, at + 4, spec->sequence);
	frame_put32(frame, at + 8, spec->acknowledgement);
	frame->bytes[at + 12] = (uint8_t)(header / 4 << 4);
	frame->bytes[at + 13] = spec->flags;
	frame_put16(frame, at + 14, spec->window);
	memset(frame->bytes + at + 20, 1, header - 20);
	frame->data = at + header;
	for (unsigned i = 0; i < spec->payload_bytes; i++)
		frame->bytes[frame->data + i] = (uint8_t)('a' + i % 26);
	frame->len = frame->data + spec->payload_bytes;
	sum = frame_sum(frame->bytes + frame->l3 + (ipv6 ? 8 : 12), ipv6 ? 32 : 8,
			IPPROTO_TCP + l4_bytes);
	frame_put16(frame, at + 16, frame_fold(frame_sum(frame->bytes + at, l4_bytes, sum)));
}

#endif
