/* SPDX-License-Identifier: MIT */
/*
 * shadow_match.c - whether one route's conditions follow from another's: what check_shadows.c asks
 * about each pair. Says yes only where it is sure.
 */
#include <string.h>

#include "config/check.h"

/* Each of b's texts by one of a's; a without texts asks nothing. */
static bool shadow_texts(const struct config_texts *a, const struct config_texts *b,
			 bool (*covers)(const char *a, const char *b))
{
	if (!a->n)
		return true;
	for (size_t i = 0; i < b->n; i++) {
		size_t j = 0;

		while (j < a->n && !covers(a->items[j], b->items[i]))
			j++;
		if (j == a->n)
			return false;
	}
	return b->n > 0;
}

/* "*.example.com" is every name below, and no URI or mail address. */
static bool shadow_name(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);

	if (strcmp(a, b) == 0)
		return true;
	if (strncmp(a, "*.", 2) || strpbrk(b, "/@") || b_len < a_len)
		return false;
	return strcmp(b + b_len - (a_len - 1), a + 1) == 0;
}

static bool shadow_equal(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool shadow_prefix(const char *a, const char *b)
{
	return strncmp(a, b, strlen(a)) == 0;
}

static bool shadow_suffix(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);

	return b_len >= a_len && strcmp(a, b + b_len - a_len) == 0;
}

static bool shadow_path(const struct config_path *a, const struct config_path *b)
{
	const char *slash;

	switch (a->match) {
	case PATH_SERVICE:
		slash = strrchr(b->text, '/');
		if (b->match == PATH_EXACT && slash)
			return strlen(a->text) == (size_t)(slash + 1 - b->text) &&
			       shadow_prefix(a->text, b->text);
		break;
	case PATH_PREFIX:
		return b->match != PATH_REGEX && shadow_prefix(a->text, b->text);
	case PATH_EXACT:
	case PATH_REGEX:
		break;
	}
	return a->match == b->match && strcmp(a->text, b->text) == 0;
}

/* Every call's path begins with a slash (but for OPTIONS *, which no gRPC call is). */
static bool shadow_any_path(const struct config_path *path)
{
	if (path->match == PATH_PREFIX)
		return strcmp(path->text, "/") == 0;
	return path->match == PATH_REGEX &&
	       (strcmp(path->text, ".*") == 0 || strcmp(path->text, "/.*") == 0);
}

static bool shadow_paths(const struct config_match *a, const struct config_match *b)
{
	if (!a->n_paths)
		return true;
	for (size_t i = 0; i < a->n_paths; i++)
		if (shadow_any_path(&a->paths[i]))
			return true;
	for (size_t i = 0; i < b->n_paths; i++) {
		size_t j = 0;

		while (j < a->n_paths && !shadow_path(&a->paths[j], &b->paths[i]))
			j++;
		if (j == a->n_paths)
			return false;
	}
	return b->n_paths > 0;
}

/* Whether b of one key cannot hold without a. */
static bool shadow_condition(const struct config_metadata_condition *a,
			     const struct config_metadata_condition *b)
{
	/* the begin of base64 is not that of the bytes */
	bool binary = config_is_binary_key(a->key);

	if (strcmp(a->key, b->key))
		return false;
	if (a->match == METADATA_PRESENT || a->match == METADATA_ABSENT)
		return (a->match == METADATA_ABSENT) == (b->match == METADATA_ABSENT);
	if (b->match == a->match && (binary || a->match == METADATA_EXACT ||
				     a->match == METADATA_REGEX))
		return shadow_texts(&a->values, &b->values, shadow_equal);
	if (binary || (b->match != a->match && b->match != METADATA_EXACT))
		return false;
	if (a->match == METADATA_PREFIX)
		return shadow_texts(&a->values, &b->values, shadow_prefix);
	if (a->match == METADATA_SUFFIX)
		return shadow_texts(&a->values, &b->values, shadow_suffix);
	return false;
}

static bool shadow_metadata(const struct config_match *a, const struct config_match *b)
{
	for (size_t i = 0; i < a->n_metadata; i++) {
		size_t j = 0;

		while (j < b->n_metadata && !shadow_condition(&a->metadata[i], &b->metadata[j]))
			j++;
		if (j == b->n_metadata)
			return false;
	}
	return true;
}

static bool shadow_source(const struct prefix *a, const struct prefix *b)
{
	unsigned whole = a->len / 8, rest = a->len % 8;

	if (a->family != b->family || a->len > b->len || memcmp(a->bytes, b->bytes, whole))
		return false;
	return !rest || !((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest));
}

static bool shadow_sources(const struct config_match *a, const struct config_match *b)
{
	if (!a->n_sources)
		return true;
	for (size_t i = 0; i < b->n_sources; i++) {
		size_t j = 0;

		while (j < a->n_sources && !shadow_source(&a->sources[j], &b->sources[i]))
			j++;
		if (j == a->n_sources)
			return false;
	}
	return b->n_sources > 0;
}

bool shadow_covers(const struct config_match *a, const struct config_match *b)
{
	return shadow_paths(a, b) && shadow_texts(&a->hosts, &b->hosts, shadow_name) &&
	       shadow_metadata(a, b) && shadow_sources(a, b) &&
	       shadow_texts(&a->snis, &b->snis, shadow_name) &&
	       shadow_texts(&a->sans, &b->sans, shadow_name);
}
