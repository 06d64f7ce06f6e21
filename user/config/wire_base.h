/* SPDX-License-Identifier: MIT */
/*
 * wire_base.h - what wire*.c describe a config with: each function measures, writes or reads one
 * piece, by the mode. For wire*.c only.
 *
 * Reading trusts nothing: lengths are held against what is left, numbers that index or switch
 * against their ranges. What fails sets wire->failed and leaves what a config can be freed with.
 */
#ifndef SLUICE_CONFIG_WIRE_BASE_H
#define SLUICE_CONFIG_WIRE_BASE_H

#include "config/bounds.h"
#include "config/config.h"

enum wire_mode { WIRE_MEASURE, WIRE_WRITE, WIRE_READ };

struct wire {
	enum wire_mode mode;
	uint8_t *out;
	const uint8_t *in;
	size_t at, len; /* len: of in, or of out */
	bool failed;	/* malformed or beyond a bound, or no memory */
};

void wire_raw(struct wire *wire, void *bytes, size_t size);
void wire_u64(struct wire *wire, uint64_t *value);
void wire_u32(struct wire *wire, uint32_t *value);
void wire_u16(struct wire *wire, uint16_t *value);
void wire_u8(struct wire *wire, uint8_t *value);
void wire_bool(struct wire *wire, bool *value);
/* What is below limit; an enum's value, an index. */
uint32_t wire_below(struct wire *wire, uint32_t value, uint32_t limit);
#define WIRE_ENUM(wire, value, limit)                                                              \
	((value) = (__typeof__(value))wire_below(wire, (uint32_t)(value), limit))
/* Malloced bytes; *bytes may be NULL with *len 0. */
void wire_bytes(struct wire *wire, uint8_t **bytes, size_t *len);
void wire_text(struct wire *wire, char **text);
/* A text that the rest of the program takes for granted. */
void wire_some_text(struct wire *wire, char **text);
void wire_addr(struct wire *wire, struct addr *addr);
/* The length of an array, and when reading its zeroed memory. Every item takes at least one byte,
 * so a length beyond what is left is malformed; max keeps memory in bounds. */
size_t wire_array(struct wire *wire, void *items, size_t *count, size_t size, size_t max);
void wire_place(struct wire *wire, struct config_place *place);
void wire_rate(struct wire *wire, struct config_rate *rate);
void wire_prefix(struct wire *wire, struct prefix *prefix);
void wire_texts(struct wire *wire, struct config_texts *texts);
void wire_key(struct wire *wire, struct config_key *key);
void wire_certificate(struct wire *wire, struct config_certificate *certificate);

/* wire_route.c, wire_group.c */
void wire_route(struct wire *wire, struct config_route *route);
void wire_group(struct wire *wire, struct config_group *group);

#endif
