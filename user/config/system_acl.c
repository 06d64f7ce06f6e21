/* SPDX-License-Identifier: MIT */
/*
 * system_acl.c - the part of system.h that is about access lists' files: one prefix a line, #
 * comments. Appends what they hold to the config's lists, which can then be a million long, so that
 * nothing here is worse than linear.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"
#include "config/file.h"
#include "config/system.h"

#define SYSTEM_ACL_FILE_MAX (64u << 20)
#define SYSTEM_ACL_TOKEN_MAX 64 /* of a line; no prefix is as long */

/* One of a list's two arrays while it grows. lines: of the prefixes from files, by index - n_inline. */
struct acl_half {
	struct prefix **prefixes;
	size_t *n;
	size_t cap, n_inline;
	uint32_t *lines;
	struct config_acl_file *files;
	size_t n_files;
};

static bool acl_grow(struct reporter *reporter, struct acl_half *half, size_t more)
{
	size_t want = *half->n + more;
	struct prefix *prefixes;
	uint32_t *lines;

	if (want <= half->cap)
		return true;
	prefixes = realloc(*half->prefixes, want * sizeof(*prefixes));
	if (prefixes)
		*half->prefixes = prefixes;
	lines = realloc(half->lines, (want - half->n_inline) * sizeof(*lines));
	if (lines)
		half->lines = lines;
	if (!prefixes || !lines) {
		report_no_memory(reporter);
		return false;
	}
	half->cap = want;
	return true;
}

/* The line's one word; false: blank. One beyond out, or with a NUL in it, is made no prefix. */
static bool acl_word(const char *line, size_t len, char out[SYSTEM_ACL_TOKEN_MAX],
		     uint32_t *ret_column)
{
	const char *hash = memchr(line, '#', len);
	size_t start = 0, n;

	if (hash)
		len = (size_t)(hash - line);
	while (len && memchr(" \t\r", line[len - 1], 3))
		len--;
	while (start < len && memchr(" \t", line[start], 2))
		start++;
	if (start == len)
		return false;
	n = len - start < SYSTEM_ACL_TOKEN_MAX ? len - start : SYSTEM_ACL_TOKEN_MAX - 1;
	memcpy(out, line + start, n);
	out[n] = '\0';
	for (char *nul = out; (nul = memchr(nul, '\0', (size_t)(out + n - nul))); nul++)
		*nul = '?';
	*ret_column = (uint32_t)start + 1;
	return true;
}

static void acl_report(struct reporter *reporter, const char *path, struct config_place place,
		       const char *word, int err)
{
	char quoted[REPORT_QUOTE_MAX];

	report_quote(quoted, word);
	if (err == -ERANGE)
		report_error_in(reporter, path, place,
				"prefix %s has a bad length, want 0 to 32 for IPv4 and 0 to 128 "
				"for IPv6",
				quoted);
	else if (err == -EDOM)
		report_error_in(reporter, path, place,
				"prefix %s has bits set behind its length, want them 0", quoted);
	else
		report_error_in(reporter, path, place,
				"bad prefix %s, want one a line such as 203.0.113.0/24 or "
				"2001:db8::/48",
				quoted);
}

static void acl_read_lines(struct reporter *reporter, struct acl_half *half, const char *path,
			   const char *bytes, size_t len)
{
	const char *end = bytes + len;
	size_t newlines = 1;

	for (const char *at = bytes; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
		newlines++;
	if (!acl_grow(reporter, half, newlines))
		return;
	for (uint32_t line = 1; bytes < end; line++) {
		const char *stop = memchr(bytes, '\n', (size_t)(end - bytes));
		char word[SYSTEM_ACL_TOKEN_MAX];
		struct config_place place = { .line = line };

		if (!stop)
			stop = end;
		if (acl_word(bytes, (size_t)(stop - bytes), word, &place.column)) {
			int err = prefix_parse(&(*half->prefixes)[*half->n], word);

			if (err)
				acl_report(reporter, path, place, word, err);
			else
				half->lines[(*half->n)++ - half->n_inline] = line;
		}
		bytes = stop + 1;
	}
}

static void acl_report_unreadable(struct reporter *reporter, const struct config_acl_file *file,
				  int err)
{
	char quoted[REPORT_QUOTE_MAX];

	report_quote(quoted, file->path);
	if (err == -ENOMEM)
		report_no_memory(reporter);
	else if (err == -ENOENT)
		report_error(reporter, file->place,
			     "access list %s does not exist, want a file of prefixes", quoted);
	else if (err == -EISDIR || err == -EINVAL)
		report_error(reporter, file->place,
			     "access list %s is no plain file, want a file of prefixes", quoted);
	else if (err == -EFBIG)
		report_error(reporter, file->place,
			     "access list %s is larger than %u MiB, want a smaller file", quoted,
			     SYSTEM_ACL_FILE_MAX >> 20);
	else
		report_error(reporter, file->place,
			     "access list %s cannot be read (%s), want a readable file", quoted,
			     strerror(-err));
}

static void acl_read_half(struct reporter *reporter, const struct config *config,
			  struct acl_half *half)
{
	for (size_t i = 0; i < half->n_files && !reporter->no_memory; i++) {
		struct config_acl_file *file = &half->files[i];
		uint8_t *bytes = NULL;
		size_t len = 0;
		int err = system_resolve(config->path, &file->path) ? 0 : -ENOMEM;

		file->first = *half->n;

		if (!err)
			err = file_read(file->path, SYSTEM_ACL_FILE_MAX, &bytes, &len);
		if (err)
			acl_report_unreadable(reporter, file, err);
		else
			acl_read_lines(reporter, half, file->path, (const char *)bytes, len);
		free(bytes);
		file->end = *half->n;
	}
}

/* The longest prefix decides, so one in both halves decides nothing. Those that both stand in the
 * config file are check_kernel.c's. */

static size_t acl_slot(const uint8_t key[16], const struct prefix *prefix, size_t mask)
{
	return (size_t)siphash(key, prefix, sizeof(*prefix)) & mask;
}

/* One of half's own, which the other half has too. */
static void acl_report_both(struct reporter *reporter, const struct acl_half *half, size_t at,
			    const char *other)
{
	const struct config_place place = { half->lines[at - half->n_inline], 1 };
	char text[ADDR_TEXT_MAX];
	size_t file = 0;

	while (file + 1 < half->n_files && at >= half->files[file].end)
		file++;
	report_error_in(reporter, half->files[file].path, place,
			"prefix \"%s\" is in %s too, want it in one of the lists",
			prefix_format(&(*half->prefixes)[at], text, sizeof(text)), other);
}

static void acl_check_both(struct reporter *reporter, const struct acl_half *deny,
			   const struct acl_half *allow)
{
	/* The table is of the shorter half. */
	bool swap = *deny->n < *allow->n;
	const struct acl_half *table = swap ? deny : allow, *other = swap ? allow : deny;
	uint8_t key[16] = { 0 };
	size_t mask = 1;
	uint32_t *slots; /* index + 1 */

	if (!*table->n || (!deny->n_files && !allow->n_files))
		return;
	while (mask < 2 * *table->n)
		mask = 2 * mask + 1;
	slots = calloc(mask + 1, sizeof(*slots));
	if (!slots) {
		report_no_memory(reporter);
		return;
	}
	if (getrandom(key, sizeof(key), GRND_NONBLOCK) < 0)
		key[0] = 1; /* early in the boot: a list made to collide only makes this slow */
	for (size_t i = 0; i < *table->n; i++) {
		const struct prefix *prefix = &(*table->prefixes)[i];
		size_t at = acl_slot(key, prefix, mask);

		while (slots[at] &&
		       memcmp(&(*table->prefixes)[slots[at] - 1], prefix, sizeof(*prefix)))
			at = (at + 1) & mask;
		slots[at] = (uint32_t)i + 1; /* of equal ones the last, from a file where one is */
	}
	for (size_t i = 0; i < *other->n && reporter->errors < REPORT_MAX; i++) {
		const struct prefix *prefix = &(*other->prefixes)[i];
		size_t at = acl_slot(key, prefix, mask);

		for (; slots[at]; at = (at + 1) & mask) {
			size_t k = slots[at] - 1;

			if (memcmp(&(*table->prefixes)[k], prefix, sizeof(*prefix)))
				continue;
			if (i >= other->n_inline)
				acl_report_both(reporter, other, i, table == deny ? "deny" : "allow");
			else if (k >= table->n_inline)
				acl_report_both(reporter, table, k, other == deny ? "deny" : "allow");
			break;
		}
	}
	free(slots);
}

static void acl_check_room(struct reporter *reporter, const struct config_acl *acl)
{
	uint64_t exact = 0, v4 = 0, v6 = 0;
	const struct prefix *halves[] = { acl->deny, acl->allow };
	const size_t lengths[] = { acl->n_deny, acl->n_allow };

	for (size_t half = 0; half < 2; half++) {
		for (size_t i = 0; i < lengths[half]; i++) {
			const struct prefix *prefix = &halves[half][i];

			if (prefix->len == (prefix->family == AF_INET ? 32 : 128))
				exact++;
			else if (prefix->family == AF_INET)
				v4++;
			else
				v6++;
		}
	}
	if (exact > SLUICE_MAX_ACL_EXACT)
		report_error(reporter, acl->place,
			     "%" PRIu64 " single addresses in the access list, want at most %d",
			     exact, SLUICE_MAX_ACL_EXACT);
	if (v4 > SLUICE_MAX_ACL_PREFIXES || v6 > SLUICE_MAX_ACL_PREFIXES)
		report_error(reporter, acl->place,
			     "%" PRIu64 " prefixes of IPv%d in the access list, want at most %d",
			     v4 > SLUICE_MAX_ACL_PREFIXES ? v4 : v6,
			     v4 > SLUICE_MAX_ACL_PREFIXES ? 4 : 6, SLUICE_MAX_ACL_PREFIXES);
}

static void system_check_acl(struct reporter *reporter, const struct config *config,
			     struct config_acl *acl)
{
	struct acl_half deny = {
		.prefixes = &acl->deny, .n = &acl->n_deny, .cap = acl->n_deny,
		.n_inline = acl->n_deny, .files = acl->deny_files, .n_files = acl->n_deny_files,
	};
	struct acl_half allow = {
		.prefixes = &acl->allow, .n = &acl->n_allow, .cap = acl->n_allow,
		.n_inline = acl->n_allow, .files = acl->allow_files, .n_files = acl->n_allow_files,
	};

	acl_read_half(reporter, config, &deny);
	acl_read_half(reporter, config, &allow);
	acl_check_both(reporter, &deny, &allow);
	acl_check_room(reporter, acl);
	free(deny.lines);
	free(allow.lines);
}

void system_check_acls(struct reporter *reporter, struct config *config)
{
	system_check_acl(reporter, config, &config->kernel.acl);
	for (size_t i = 0; i < config->n_listeners; i++)
		system_check_acl(reporter, config, &config->listeners[i].acl);
}
