/* SPDX-License-Identifier: MIT */
/*
 * schema_number.c - see schema_number.h: numbers in their units, and what is said of wrong ones.
 */
#include "config/schema_number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/scalar.h"

static void schema_format_uint(char *out, size_t size, uint64_t value)
{
	snprintf(out, size, "%" PRIu64, value);
}

static void schema_format_duration(char *out, size_t size, uint64_t ms)
{
	if (ms && ms % 3600000 == 0)
		snprintf(out, size, "%" PRIu64 "h", ms / 3600000);
	else if (ms && ms % 60000 == 0)
		snprintf(out, size, "%" PRIu64 "m", ms / 60000);
	else if (ms % 1000 == 0)
		snprintf(out, size, "%" PRIu64 "s", ms / 1000);
	else
		snprintf(out, size, "%" PRIu64 "ms", ms);
}

static void schema_format_size(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
	unsigned unit = 0;

	while (unit < 3 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, size, "%" PRIu64 "%s", bytes, units[unit]);
}

static void schema_format_rate(char *out, size_t size, uint64_t count)
{
	snprintf(out, size, "%" PRIu64 "/s", count);
}

/* So many decimals, as few as say it. */
static void schema_format_decimal(char *out, size_t size, uint64_t value, unsigned scale,
				  const char *unit)
{
	char digits[8];
	size_t len;

	snprintf(digits, sizeof(digits), "%04u", (unsigned)(value % scale * (10000 / scale)));
	for (len = 4; len && digits[len - 1] == '0'; len--)
		digits[len - 1] = '\0';
	snprintf(out, size, "%" PRIu64 "%s%s%s", value / scale, len ? "." : "", digits, unit);
}

static void schema_format_percent(char *out, size_t size, uint64_t value)
{
	schema_format_decimal(out, size, value, 1, "%");
}

static void schema_format_share(char *out, size_t size, uint64_t value)
{
	schema_format_decimal(out, size, value, 100, "%");
}

static void schema_format_factor(char *out, size_t size, uint64_t value)
{
	schema_format_decimal(out, size, value, 1000, "");
}

/* The types that are a number in some unit. */
struct schema_number {
	const char *what, *units, *example;
	void (*format)(char *out, size_t size, uint64_t value);
};

static const struct schema_number schema_numbers[] = {
	[SCHEMA_UINT] = { "a whole number", NULL, NULL, schema_format_uint },
	[SCHEMA_DURATION] = { "a duration", "ms, s, m or h", "2s", schema_format_duration },
	[SCHEMA_SIZE] = { "a size", "B, KiB, MiB or GiB", "64KiB", schema_format_size },
	[SCHEMA_RATE] = { "a rate", "/s or /m", "100/s", schema_format_rate },
	[SCHEMA_PERCENT] = { "a whole share", "%", "20%", schema_format_percent },
	[SCHEMA_SHARE] = { "a share of at most two decimals", "%", "0.25%", schema_format_share },
	[SCHEMA_FACTOR] = { "a number of at most three decimals", NULL, "1.9",
			    schema_format_factor },
};

static void schema_report_range(struct reporter *reporter, const struct schema_field *field,
				const struct node *node)
{
	const struct schema_number *number = &schema_numbers[field->type];
	char quoted[REPORT_QUOTE_MAX], zero[32], least[32], most[32];

	number->format(zero, sizeof(zero), 0);
	number->format(least, sizeof(least), field->min);
	number->format(most, sizeof(most), field->max);
	report_quote(quoted, node->text);
	if (field->flags & SCHEMA_OR_ZERO)
		report_error(reporter, node->place,
			     "%s %s is out of range, want %s (off) or %s to %s", field->key, quoted,
			     zero, least, most);
	else
		report_error(reporter, node->place, "%s %s is out of range, want %s to %s",
			     field->key, quoted, least, most);
}

static void schema_report_number(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, enum scalar_fault fault)
{
	const struct schema_number *number = &schema_numbers[field->type];
	char quoted[REPORT_QUOTE_MAX], want[SCHEMA_WANT_MAX], least[32], most[32];

	switch (fault) {
	case SCALAR_TYPE:
		number->format(least, sizeof(least), field->min);
		number->format(most, sizeof(most), field->max);
		if (number->example)
			snprintf(want, sizeof(want), "%s such as %s", number->what,
				 number->example);
		else
			snprintf(want, sizeof(want), "%s %s to %s%s", number->what, least, most,
				 field->example ? field->example : "");
		schema_wrong_type(reporter, field->key, node, want);
		break;
	case SCALAR_UNIT_MISSING:
		report_error(reporter, node->place, "%s %s has no unit, want %s: %s such as %s",
			     field->key, report_quote(quoted, node->text), number->units,
			     number->what, number->example);
		break;
	case SCALAR_UNIT_UNKNOWN:
		report_error(reporter, node->place,
			     "%s %s has an unknown unit, want %s: %s such as %s", field->key,
			     report_quote(quoted, node->text), number->units, number->what,
			     number->example);
		break;
	case SCALAR_RANGE:
		schema_report_range(reporter, field, node);
		break;
	case SCALAR_OK:
		break;
	}
}

static bool schema_in_range(const struct schema_field *field, uint64_t value)
{
	if (value == 0 && field->flags & SCHEMA_OR_ZERO)
		return true;
	return value >= field->min && value <= field->max;
}

static enum scalar_fault schema_scan(const struct schema_field *field, const struct node *node,
				     uint64_t *value)
{
	switch (field->type) {
	case SCHEMA_UINT:
		return scalar_uint(node, value);
	case SCHEMA_DURATION:
		return scalar_duration(node, value);
	case SCHEMA_PERCENT:
		return scalar_decimal(node, 0, "%", value);
	case SCHEMA_SHARE:
		return scalar_decimal(node, 2, "%", value);
	case SCHEMA_FACTOR:
		return scalar_decimal(node, 3, "", value);
	default:
		return scalar_size(node, value);
	}
}

void schema_read_number(struct reporter *reporter, const struct schema_field *field,
			const struct node *node, void *object)
{
	uint64_t value = 0;
	enum scalar_fault fault = schema_scan(field, node, &value);

	/* nothing has no unit, where nothing is good */
	if (fault == SCALAR_UNIT_MISSING && strcmp(node->text, "0") == 0 && schema_in_range(field, 0))
		fault = SCALAR_OK;
	if (fault == SCALAR_OK && !schema_in_range(field, value))
		fault = SCALAR_RANGE;
	if (fault == SCALAR_OK)
		schema_store(object, field, value);
	else
		schema_report_number(reporter, field, node, fault);
}

void schema_read_rate(struct reporter *reporter, const struct schema_field *field,
		      const struct node *node, void *object)
{
	struct config_rate *rate = (struct config_rate *)((char *)object + field->offset);
	uint64_t count = 0, unit_ns = 0;
	enum scalar_fault fault = scalar_rate(node, &count, &unit_ns);

	if (fault == SCALAR_OK && !schema_in_range(field, count))
		fault = SCALAR_RANGE;
	if (fault != SCALAR_OK) {
		schema_report_number(reporter, field, node, fault);
		return;
	}
	rate->interval_ns = unit_ns / count;
	if (!rate->burst) /* a key "burst" may have been read before */
		rate->burst = (uint32_t)count;
}
