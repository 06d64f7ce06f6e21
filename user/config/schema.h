/* SPDX-License-Identifier: MIT */
/*
 * schema.h - tables that say what a mapping may hold, and the walk that fills structs by them.
 * The tables are in fields*.c. The walk reports unknown keys, wrong types, ranges, units and what is
 * missing, and goes on; what cannot be read keeps its default.
 */
#ifndef SLUICE_CONFIG_SCHEMA_H
#define SLUICE_CONFIG_SCHEMA_H

#include "config/report.h"
#include "config/tree.h"

enum schema_type {
	SCHEMA_UINT,	 /* a whole number, min..max */
	SCHEMA_DURATION, /* uint32_t ms, min..max */
	SCHEMA_SIZE,	 /* bytes, min..max */
	SCHEMA_RATE,	 /* struct config_rate, min..max is of the count */
	SCHEMA_PERCENT,	 /* 20% -> 20 */
	SCHEMA_SHARE,	 /* 0.25% -> 25, in 1/10000 */
	SCHEMA_FACTOR,	 /* 1.9 -> 1900, in 1/1000 */
	SCHEMA_BOOL,
	SCHEMA_CHOICE,	 /* an enum, by choices */
	SCHEMA_TEXT,	 /* char *, checked by check */
	SCHEMA_MAP,	 /* a mapping whose fields stand in the same struct, at offset */
	SCHEMA_LIST,	 /* a sequence of mappings: an array of structs and its length */
	SCHEMA_CUSTOM,	 /* read does it; map, where there is one, is for the reference's test */
};

#define SCHEMA_REQUIRED 1u
#define SCHEMA_OR_ONE	2u /* a list may also be its one item, without the sequence */
#define SCHEMA_OR_ZERO	4u /* 0 is good, though below min: it turns the thing off */

struct schema_choice {
	const char *name;
	unsigned value;
};

struct schema_map;
struct schema_field {
	const char *key;
	enum schema_type type;
	unsigned flags;
	size_t offset; /* in the struct of the map */
	size_t width;  /* of an integer: 1, 2, 4 or 8 bytes */
	uint64_t min, max; /* of a number; of a list's length */
	uint64_t preset;   /* the default of numbers, bools and choices; of a rate, how many a second */
	const char *preset_text; /* the default of texts; NULL: NULL */
	const struct schema_choice *choices; /* up to one without a name */
	const struct schema_map *map;	     /* of SCHEMA_MAP, and of a list's items */
	size_t count_offset;		     /* of a list */
	const char *example; /* what would be right, for "missing" and for wrong texts */
	/* SCHEMA_TEXT: what is wrong with text, or NULL. */
	const char *(*check)(const char *text);
	void (*read)(struct reporter *reporter, const struct schema_field *field,
		     const struct node *node, void *object);
};

#define SCHEMA_NO_PLACE SIZE_MAX
struct schema_map {
	const char *what; /* "listener": for messages */
	size_t size;	  /* of the struct, for lists */
	size_t place_offset; /* where the struct config_place goes, or SCHEMA_NO_PLACE */
	const struct schema_field *fields; /* up to one without a key */
	/* After the fields of a mapping were read; may be NULL. Not called where it is absent. */
	void (*finish)(struct reporter *reporter, const struct node *node, void *object);
};

/* Fills object (zeroed) with the defaults. */
void schema_preset(struct reporter *reporter, const struct schema_map *map, void *object);
/* The same, then from node. */
void schema_read(struct reporter *reporter, const struct schema_map *map, const struct node *node,
		 void *object);
/* For read functions: what stands there is of another type than it should be. */
void schema_wrong_type(struct reporter *reporter, const char *key, const struct node *node,
		       const char *want);

#endif
