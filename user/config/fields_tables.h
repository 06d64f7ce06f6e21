/* SPDX-License-Identifier: MIT */
/*
 * fields_tables.h - what the files of tables (fields*.c) share. For them only.
 */
#ifndef SLUICE_CONFIG_FIELDS_TABLES_H
#define SLUICE_CONFIG_FIELDS_TABLES_H

#include "config/schema.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND 1000ull /* in ms */
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define WEEK (168 * HOUR)

#define AT(type, member) .offset = offsetof(struct type, member)
#define NUMBER(type, member) AT(type, member), .width = sizeof(((struct type *)NULL)->member)
#define ARRAY_OF(type, member, count) AT(type, member), .count_offset = offsetof(struct type, count)

/* Of a struct config_kernel, config_acl, config_listener, config_group and config_certificate. */
extern const struct schema_map fields_kernel;
extern const struct schema_map fields_acl;
extern const struct schema_map fields_listener;
extern const struct schema_map fields_group;
extern const struct schema_map fields_certificate;

#endif
