/* SPDX-License-Identifier: MIT */
/*
 * scalar.h - what one YAML scalar says: text, number, duration, size, rate, share. libyaml gives only
 * characters; quoted or plain decides here whether 5 is a number or text. Pure.
 */
#ifndef SLUICE_CONFIG_SCALAR_H
#define SLUICE_CONFIG_SCALAR_H

#include "config/tree.h"

enum scalar_fault {
	SCALAR_OK,
	SCALAR_TYPE,	     /* not of that type at all */
	SCALAR_UNIT_MISSING,
	SCALAR_UNIT_UNKNOWN,
	SCALAR_RANGE,	     /* negative, or over 64 bits in the base unit */
};

/* For all: node may be of any kind; *value is set on SCALAR_OK only. */
enum scalar_fault scalar_uint(const struct node *node, uint64_t *value);
enum scalar_fault scalar_bool(const struct node *node, bool *value);
/* Quoted, or plain and nothing that YAML reads as a number, truth value or null. */
enum scalar_fault scalar_text(const struct node *node, const char **text);
/* 500ms 2s 1m 1h → ms */
enum scalar_fault scalar_duration(const struct node *node, uint64_t *ms);
/* 512B 64KiB 16MiB 1GiB → bytes */
enum scalar_fault scalar_size(const struct node *node, uint64_t *bytes);
/* 100/s 10/m → count, and the unit's length */
enum scalar_fault scalar_rate(const struct node *node, uint64_t *count, uint64_t *unit_ns);
/* 1.9 0.25% → value × 10^decimals; at most so many decimals, and unit at the end ("": none). */
enum scalar_fault scalar_decimal(const struct node *node, unsigned decimals, const char *unit,
				 uint64_t *value);

/* A plain scalar that says nothing: empty, ~ or null. */
bool scalar_is_null(const struct node *node);
/* "a number", "text", ... for messages. */
const char *scalar_describe(const struct node *node);

#endif
