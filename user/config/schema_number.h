/* SPDX-License-Identifier: MIT */
/*
 * schema_number.h - the part of schema.c that reads numbers: whole ones, durations, sizes, rates,
 * shares and factors. For schema.c only.
 */
#ifndef SLUICE_CONFIG_SCHEMA_NUMBER_H
#define SLUICE_CONFIG_SCHEMA_NUMBER_H

#include "config/schema.h"

#define SCHEMA_WANT_MAX 192

/* Writes value at field's place, in its width. */
void schema_store(void *object, const struct schema_field *field, uint64_t value);

void schema_read_number(struct reporter *reporter, const struct schema_field *field,
			const struct node *node, void *object);
void schema_read_rate(struct reporter *reporter, const struct schema_field *field,
		      const struct node *node, void *object);

#endif
