/* SPDX-License-Identifier: MIT */
/*
 * fields.h - every key of the config file, as a table for schema.c.
 */
#ifndef SLUICE_CONFIG_FIELDS_H
#define SLUICE_CONFIG_FIELDS_H

#include "config/schema.h"

#define FIELDS_STANDARD_HEALTH_PATH "/grpc.health.v1.Health/Check"

/* Fills a zeroed struct config. */
extern const struct schema_map fields_config;
/* Its part for one struct config_route. */
extern const struct schema_map fields_route;

#endif
