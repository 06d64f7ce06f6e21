/* SPDX-License-Identifier: MIT */
/*
 * model_answer.h - the frames that the gate sends back, as the model has them: see model.h.
 */
#ifndef SLUICE_SELFTESTS_MODEL_ANSWER_H
#define SLUICE_SELFTESTS_MODEL_ANSWER_H

#include "model_parse.h"

#include <linux/bpf.h>

/* RFC 1071, over bytes that are padded with a zero. */
static inline uint32_t model_sum(uint32_t sum, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static inline uint16_t model_checksum(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

/* Both checksums of an answer, once all else in it is right. */
static inline void model_finish(struct model_answer *answer, bool ipv4)
{
	uint8_t *ip = answer->bytes + answer->l3, *tcp = answer->bytes + answer->l4;
	uint32_t tcp_bytes = (tcp[12] >> 4) * 4u, sum;

	model_put16(tcp + 16, 0);
	sum = ipv4 ? model_sum(0, ip + 12, 8) : model_sum(0, ip + 8, 32);
	sum = model_sum(sum + tcp_bytes + IPPROTO_TCP, tcp, tcp_bytes);
	model_put16(tcp + 16, model_checksum(sum));
	if (ipv4) {
		model_put16(ip + 10, 0);
		model_put16(ip + 10, model_checksum(model_sum(0, ip, 20)));
	}
}

/*
 * A segment back to who sent this one. Link layer tags stay; IP options and extension headers go.
 */
static inline void model_reply(struct model_answer *answer, const struct model_packet *packet,
			       uint32_t sequence, uint32_t acknowledgement, uint8_t flags,
			       uint16_t window, const uint8_t *options, uint32_t option_bytes)
{
	uint8_t *out = answer->bytes, *ip, *tcp;
	uint32_t tcp_bytes = 20 + option_bytes;

	answer->action = XDP_TX;
	memcpy(out, packet->bytes, packet->l3);
	memcpy(out, packet->bytes + 6, 6);
	memcpy(out + 6, packet->bytes, 6);
	answer->l3 = packet->l3;
	ip = out + answer->l3;
	if (packet->tuple.ipv4) {
		memset(ip, 0, 20);
		ip[0] = 0x45;
		model_put16(ip + 2, 20 + tcp_bytes);
		model_put16(ip + 6, 0x4000); /* don't fragment */
		ip[8] = 64;
		ip[9] = IPPROTO_TCP;
		memcpy(ip + 12, packet->tuple.destination + 12, 4);
		memcpy(ip + 16, packet->tuple.source + 12, 4);
		answer->l4 = answer->l3 + 20;
	} else {
		memset(ip, 0, 40);
		ip[0] = 0x60;
		model_put16(ip + 4, tcp_bytes);
		ip[6] = IPPROTO_TCP;
		ip[7] = 64;
		memcpy(ip + 8, packet->tuple.destination, 16);
		memcpy(ip + 24, packet->tuple.source, 16);
		answer->l4 = answer->l3 + 40;
	}
	tcp = out + answer->l4;
	memset(tcp, 0, 20);
	model_put16(tcp, packet->tuple.destination_port);
	model_put16(tcp + 2, packet->tuple.source_port);
	model_put32(tcp + 4, sequence);
	model_put32(tcp + 8, acknowledgement);
	tcp[12] = (uint8_t)(tcp_bytes / 4 << 4);
	tcp[13] = flags;
	model_put16(tcp + 14, window);
	memcpy(tcp + 20, options, option_bytes);
	answer->len = answer->l4 + tcp_bytes;
	/* In libxdp's dispatcher what was longer stays so: padding. */
	if (packet->keeps_length && answer->len < packet->len) {
		memcpy(out + answer->len, packet->bytes + answer->len, packet->len - answer->len);
		answer->len = packet->len;
	}
	model_finish(answer, packet->tuple.ipv4);
}

/* RFC 9293 3.10.7.1: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. */
static inline void model_reset(struct model_answer *answer, const struct model_packet *packet)
{
	uint32_t length = packet->l4_bytes - packet->header_bytes + 1; /* the SYN counts */

	model_reply(answer, packet, 0, packet->sequence + length, MODEL_RST | MODEL_ACK, 0, NULL, 0);
}

/* What a SYN offers. */
struct model_offer {
	unsigned mss; /* 0: none */
	unsigned scaling; /* 15: none */
	bool sack, timestamps;
	uint32_t timestamp;
};

/* Options after one that makes no sense are not read; of two the later counts. */
static inline struct model_offer model_offer(const struct model_packet *packet)
{
	const uint8_t *tcp = packet->bytes + packet->l4;
	struct model_offer offer = { .scaling = 15 };
	uint32_t at = 20;

	while (at < packet->header_bytes) {
		if (tcp[at] == 0)
			break;
		if (tcp[at] == 1) {
			at++;
			continue;
		}
		if (at + 1 >= packet->header_bytes || tcp[at + 1] < 2 ||
		    at + tcp[at + 1] > packet->header_bytes)
			break;
		if (tcp[at] == 2 && tcp[at + 1] == 4 && model_get16(tcp + at + 2))
			offer.mss = model_get16(tcp + at + 2);
		if (tcp[at] == 3 && tcp[at + 1] == 3)
			offer.scaling = tcp[at + 2] > 14 ? 14 : tcp[at + 2];
		if (tcp[at] == 4 && tcp[at + 1] == 2)
			offer.sack = true;
		if (tcp[at] == 8 && tcp[at + 1] == 10) {
			offer.timestamps = true;
			offer.timestamp = model_get32(tcp + at + 2);
		}
		at += tcp[at + 1];
	}
	return offer;
}

/*
 * ... and the one of four that a cookie of the kernel's can carry: the largest that is no larger.
 */
static inline uint32_t model_cookie_mss(const struct model_packet *packet, unsigned *ret_mss)
{
	static const unsigned ipv4[] = { 536, 1300, 1440, 1460 };
	static const unsigned ipv6[] = { 1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60 };
	const unsigned *table = packet->tuple.ipv4 ? ipv4 : ipv6;
	unsigned mss = model_offer(packet).mss;

	uint32_t i = 3;

	while (i > 0 && mss < table[i])
		i--;
	*ret_mss = table[i];
	return i;
}

/*
 * The SYN's answer, its sequence number and timestamp still to come: the kernel alone knows its
 * secret. With timestamps on both sides scaling and SACK are kept in the lowest bits of ours; they
 * stand there. False: the frame may not grow, and is too short.
 */
static inline bool model_cookie(struct model_answer *answer, const struct model_packet *packet,
				const struct sluice_listener *listener)
{
	uint8_t options[20] = { 2, 4, 0, 0, 1, 1, 8, 10, [16] = 1, 3, 3, 0 };
	struct model_offer offer = model_offer(packet);
	bool keeps = (listener->flags & SLUICE_LISTENER_COOKIES_OPTIONS) && offer.timestamps;
	uint32_t option_bytes = !keeps ? 4 : offer.scaling == 15 ? 16 : 20;
	unsigned mss;

	if (packet->keeps_length &&
	    packet->len < packet->l3 + (packet->tuple.ipv4 ? 40 : 60) + option_bytes)
		return false;
	answer->mss_index = model_cookie_mss(packet, &mss);
	model_put16(options + 2, mss);
	if (offer.sack) {
		options[4] = 4;
		options[5] = 2;
	}
	model_put32(options + 8, offer.scaling | (offer.sack ? 16 : 0));
	model_put32(options + 12, offer.timestamp);
	options[19] = listener->cookie_wscale;
	model_reply(answer, packet, 0, packet->sequence + 1, MODEL_SYN | MODEL_ACK, 32768, options,
		    option_bytes);
	answer->stamp_at = keeps ? answer->l4 + 28 : 0;
	return true;
}

/*
 * Takes from the answer that was really sent what only its sender can know, as far as it may be so:
 * the timestamp is the kernel's clock in ms, not ahead, rounded down for what it keeps.
 */
static inline void model_put_cookie(struct model_answer *answer, const uint8_t *sent, uint64_t now_ns)
{
	memcpy(answer->bytes + answer->l4 + 4, sent + answer->l4 + 4, 4);
	if (answer->stamp_at) {
		uint32_t kept = model_get32(answer->bytes + answer->stamp_at);
		uint32_t stamp = model_get32(sent + answer->stamp_at);
		uint32_t age = (uint32_t)(now_ns / 1000000) - stamp;

		if (age < 2000)
			model_put32(answer->bytes + answer->stamp_at, (stamp & ~63u) | kept);
	}
	model_finish(answer, answer->bytes[answer->l3] >> 4 == 4);
}

#endif
