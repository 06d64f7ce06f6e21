/* SPDX-License-Identifier: MIT */
/*
 * scalar.c - see scalar.h. Strict: decimal digits only, whole numbers only, a unit wherever there
 * is one, so that nothing is read in two ways.
 */
#include "config/scalar.h"

#include <stdlib.h>
#include <string.h>

struct scalar_unit {
	const char *name;
	uint64_t factor;
};

static const struct scalar_unit scalar_durations[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { 0 }
};
static const struct scalar_unit scalar_sizes[] = {
	{ "B", 1 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { 0 }
};
static const struct scalar_unit scalar_rates[] = {
	{ "/s", 1000000000ull }, { "/m", 60000000000ull }, { 0 }
};

static bool scalar_is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

bool scalar_is_null(const struct node *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };

	return node->kind == NODE_SCALAR && !node->quoted && scalar_is_one_of(node->text, nulls);
}

static bool scalar_is_truth(const struct node *node)
{
	static const char *const truths[] = { "true",  "True",	"TRUE",	 "false",
					      "False", "FALSE", NULL };

	return !node->quoted && scalar_is_one_of(node->text, truths);
}

static bool scalar_is_number(const struct node *node)
{
	const char *text = node->text;
	char *end;

	if (node->quoted)
		return false;
	if (*text == '+' || *text == '-')
		text++;
	if (*text == '.')
		text++;
	if (*text < '0' || *text > '9')
		return false;
	strtod(text, &end);
	return *end == '\0';
}

const char *scalar_describe(const struct node *node)
{
	if (node->quoted)
		return "text in quotes";
	if (scalar_is_null(node))
		return "nothing";
	if (scalar_is_truth(node))
		return "a truth value";
	if (scalar_is_number(node))
		return "a number";
	return "text";
}

/* Digits at *text, which is moved behind them. */
static enum scalar_fault scalar_digits(const char **text, uint64_t *value)
{
	const char *p = *text;
	uint64_t sum = 0;
	bool over = false;

	if (*p < '0' || *p > '9')
		return SCALAR_TYPE;
	if (*p == '0' && p[1] >= '0' && p[1] <= '9')
		return SCALAR_TYPE; /* 010 is eight to some readers */
	for (; *p >= '0' && *p <= '9'; p++) {
		over |= __builtin_mul_overflow(sum, 10, &sum);
		over |= __builtin_add_overflow(sum, (uint64_t)(*p - '0'), &sum);
	}
	*text = p;
	*value = sum;
	return over ? SCALAR_RANGE : SCALAR_OK;
}

enum scalar_fault scalar_uint(const struct node *node, uint64_t *value)
{
	enum scalar_fault fault;
	const char *text;
	uint64_t number;

	if (node->kind != NODE_SCALAR || node->quoted)
		return SCALAR_TYPE;
	text = node->text;
	if (*text == '-') {
		text++;
		fault = scalar_digits(&text, &number);
		return fault == SCALAR_TYPE || *text ? SCALAR_TYPE : SCALAR_RANGE;
	}
	fault = scalar_digits(&text, &number);
	if (fault == SCALAR_TYPE || *text)
		return SCALAR_TYPE;
	if (fault == SCALAR_OK)
		*value = number;
	return fault;
}

enum scalar_fault scalar_bool(const struct node *node, bool *value)
{
	if (node->kind != NODE_SCALAR || node->quoted)
		return SCALAR_TYPE;
	if (strcmp(node->text, "true") && strcmp(node->text, "false"))
		return SCALAR_TYPE;
	*value = node->text[0] == 't';
	return SCALAR_OK;
}

enum scalar_fault scalar_text(const struct node *node, const char **text)
{
	if (node->kind != NODE_SCALAR || scalar_is_null(node) || scalar_is_truth(node) ||
	    scalar_is_number(node))
		return SCALAR_TYPE;
	*text = node->text;
	return SCALAR_OK;
}

static enum scalar_fault scalar_with_unit(const struct node *node, const struct scalar_unit *units,
					  uint64_t *count, uint64_t *factor)
{
	enum scalar_fault fault;
	const char *text;
	bool negative;

	if (node->kind != NODE_SCALAR)
		return SCALAR_TYPE;
	text = node->text;
	negative = *text == '-';
	text += negative;
	fault = scalar_digits(&text, count);
	if (fault == SCALAR_TYPE)
		return SCALAR_TYPE;
	if (!*text)
		return SCALAR_UNIT_MISSING;
	if (*text == '.' || *text == ',')
		return SCALAR_TYPE; /* 1.5s */
	for (; units->name; units++) {
		if (strcmp(text, units->name) == 0) {
			*factor = units->factor;
			return negative ? SCALAR_RANGE : fault;
		}
	}
	return SCALAR_UNIT_UNKNOWN;
}

static enum scalar_fault scalar_product(const struct node *node, const struct scalar_unit *units,
					uint64_t *value)
{
	uint64_t count, factor;
	enum scalar_fault fault = scalar_with_unit(node, units, &count, &factor);

	if (fault != SCALAR_OK)
		return fault;
	if (__builtin_mul_overflow(count, factor, &count))
		return SCALAR_RANGE;
	*value = count;
	return SCALAR_OK;
}

enum scalar_fault scalar_duration(const struct node *node, uint64_t *ms)
{
	return scalar_product(node, scalar_durations, ms);
}

enum scalar_fault scalar_size(const struct node *node, uint64_t *bytes)
{
	return scalar_product(node, scalar_sizes, bytes);
}

enum scalar_fault scalar_rate(const struct node *node, uint64_t *count, uint64_t *unit_ns)
{
	uint64_t number, factor;
	enum scalar_fault fault = scalar_with_unit(node, scalar_rates, &number, &factor);

	if (fault != SCALAR_OK)
		return fault;
	*count = number;
	*unit_ns = factor;
	return SCALAR_OK;
}

enum scalar_fault scalar_decimal(const struct node *node, unsigned decimals, const char *unit,
				 uint64_t *value)
{
	enum scalar_fault fault;
	const char *text;
	uint64_t number;
	bool negative;

	if (node->kind != NODE_SCALAR || (node->quoted && !*unit))
		return SCALAR_TYPE;
	text = node->text;
	negative = *text == '-';
	text += negative;
	fault = scalar_digits(&text, &number);
	if (fault == SCALAR_TYPE)
		return SCALAR_TYPE;
	if (*text == '.' && (!decimals || text[1] < '0' || text[1] > '9'))
		return SCALAR_TYPE;
	text += *text == '.';
	for (; decimals; decimals--) {
		bool digit = *text >= '0' && *text <= '9';

		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, digit ? (uint64_t)(*text - '0') : 0, &number))
			fault = SCALAR_RANGE;
		text += digit;
	}
	if (*text >= '0' && *text <= '9')
		return SCALAR_TYPE; /* finer than it is kept */
	if (strcmp(text, unit) && !*unit)
		return SCALAR_TYPE;
	if (strcmp(text, unit))
		return *text ? SCALAR_UNIT_UNKNOWN : SCALAR_UNIT_MISSING;
	if (fault == SCALAR_OK && !negative)
		*value = number;
	return negative ? SCALAR_RANGE : fault;
}
