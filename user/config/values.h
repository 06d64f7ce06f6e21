/* SPDX-License-Identifier: MIT */
/*
 * values.h - the config file's values that are no plain numbers or texts: addresses, prefixes,
 * backends' hosts, names and paths (values.c), status codes (values_codes.c), what a route matches
 * (values_match.c), what it does to metadata (values_edit.c). Read functions for the tables in
 * fields*.c.
 */
#ifndef SLUICE_CONFIG_VALUES_H
#define SLUICE_CONFIG_VALUES_H

#include "config/schema.h"

static inline void *values_at(void *object, const struct schema_field *field)
{
	return (char *)object + field->offset;
}

static inline size_t *values_count(void *object, const struct schema_field *field)
{
	return (size_t *)((char *)object + field->count_offset);
}

/* NULL: reported. */
const char *values_text(struct reporter *reporter, const struct schema_field *field,
			const struct node *node);
/* RFC 1123, and _. */
bool values_is_host_name(const char *name, size_t len);
/* A copy, lower case where lower; NULL: no memory, reported. */
char *values_copy(struct reporter *reporter, const char *text, bool lower);

/* enum schema_type SCHEMA_CUSTOM. offset is that of: uint32_t (auto = 0), struct addr, struct
 * config_backend, uint64_t of bits, the array of prefixes (count_offset: its length). */
void values_read_workers(struct reporter *reporter, const struct schema_field *field,
			 const struct node *node, void *object);
void values_read_listen_address(struct reporter *reporter, const struct schema_field *field,
				const struct node *node, void *object);
void values_read_backend_address(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, void *object);
/* field->min..max: which codes; width 4 or 8 */
void values_read_codes(struct reporter *reporter, const struct schema_field *field,
		       const struct node *node, void *object);
/* one of 0..16 */
void values_read_code(struct reporter *reporter, const struct schema_field *field,
		      const struct node *node, void *object);
void values_read_prefixes(struct reporter *reporter, const struct schema_field *field,
			  const struct node *node, void *object);
/* The array of struct config_acl_file. */
void values_read_acl_files(struct reporter *reporter, const struct schema_field *field,
			   const struct node *node, void *object);
/* Checked against the groups when all are read: check.c. */
void values_read_group_reference(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, void *object);

/* struct config_texts, one or a sequence, each by field->check; in lower case. */
void values_read_names(struct reporter *reporter, const struct schema_field *field,
		       const struct node *node, void *object);
/* One struct config_metadata_condition: its kind and values; at most one kind, checked in
 * fields_route.c. */
void values_read_condition(struct reporter *reporter, const struct schema_field *field,
			   const struct node *node, void *object);
/* The array of struct config_path. */
void values_read_paths(struct reporter *reporter, const struct schema_field *field,
		       const struct node *node, void *object);
/* struct config_key */
void values_read_key(struct reporter *reporter, const struct schema_field *field,
		     const struct node *node, void *object);
/* struct config_edits, one of each op for the request and for the response. */
void values_read_remove(struct reporter *reporter, const struct schema_field *field,
			const struct node *node, void *object);
void values_read_set(struct reporter *reporter, const struct schema_field *field,
		     const struct node *node, void *object);
void values_read_add(struct reporter *reporter, const struct schema_field *field,
		     const struct node *node, void *object);
/* char *, a template for the request */
void values_read_authority(struct reporter *reporter, const struct schema_field *field,
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
const char *values_check_host(const char *text);	/* or *.suffix */
const char *values_check_server_name(const char *text); /* of a certificate */
const char *values_check_san(const char *text);
const char *values_check_authority(const char *text);	/* plain, no template */
const char *values_check_key(const char *text);		/* of metadata, to be read */
const char *values_check_edit_key(const char *text);	/* of metadata, to be changed */
const char *values_check_message(const char *text);
const char *values_check_path_prefix(const char *text);

#endif
