/* SPDX-License-Identifier: MIT */
/*
 * values.h - the config file's values that are no plain numbers or texts: addresses, prefixes,
 * backends' hosts, sets of status codes, names and paths. Read functions for the tables in
 * fields.c.
 */
#ifndef SLUICE_CONFIG_VALUES_H
#define SLUICE_CONFIG_VALUES_H

#include "config/schema.h"

/* enum schema_type SCHEMA_CUSTOM. offset is that of: uint32_t (auto = 0), struct addr, struct
 * config_backend, uint64_t of bits, the array of prefixes (count_offset: its length). */
void values_read_workers(struct reporter *reporter, const struct schema_field *field,
			 const struct node *node, void *object);
void values_read_listen_address(struct reporter *reporter, const struct schema_field *field,
				const struct node *node, void *object);
void values_read_backend_address(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, void *object);
void values_read_codes(struct reporter *reporter, const struct schema_field *field,
		       const struct node *node, void *object);
void values_read_prefixes(struct reporter *reporter, const struct schema_field *field,
			  const struct node *node, void *object);
/* Checked against the groups when all are read: check.c. */
void values_read_group_reference(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, void *object);

/* What is wrong with text (and what would be right), or NULL. */
const char *values_check_name(const char *text);
const char *values_check_path(const char *text);	/* absolute */
const char *values_check_socket(const char *text);	/* absolute, fits sun_path */
const char *values_check_file(const char *text);	/* not empty */
const char *values_check_interface(const char *text);
const char *values_check_user(const char *text);
const char *values_check_method_path(const char *text); /* /package.Service/Method */
const char *values_check_service(const char *text);

#endif
