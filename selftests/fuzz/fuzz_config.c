/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config.c - libFuzzer against the config's ways in. The first byte chooses: text (parse, schema,
 * checks, and a round trip of what is accepted), the wire form or a template. Built by `make fuzz`.
 */
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/load.h"
#include "config/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_round_trip(const struct config *config)
{
	uint8_t *bytes, *again;
	size_t len, len_again;
	struct config *copy;

	if (config_encode(config, &bytes, &len))
		abort();
	copy = config_decode(bytes, len);
	if (!copy || config_encode(copy, &again, &len_again))
		abort();
	if (len != len_again || memcmp(bytes, again, len))
		abort();
	config_unref(copy);
	free(again);
	free(bytes);
}

/* Stands for PCRE2, which has fuzzers of its own. */
static int fuzz_regex(const char *pattern, char *why, size_t why_size)
{
	if (!strchr(pattern, '('))
		return 0;
	memset(why, 'w', why_size);
	why[why_size - 1] = '\0';
	return -1;
}

static void fuzz_text(const uint8_t *text, size_t size)
{
	struct config_report report = { 0 };
	struct reporter reporter = { 0 };
	struct tree tree = { 0 };
	struct config *config = load_text(text, size, &tree, &reporter);
	bool good;

	if (config)
		check_regexes(&reporter, tree.root, fuzz_regex);
	good = config && !reporter.errors && !reporter.no_memory;
	tree_done(&tree);
	report_flush(&reporter, "fuzz", &report);
	if (good == (report.errors > 0))
		abort();
	if (report.text && strlen(report.text) != report.len)
		abort();
	if (good)
		fuzz_round_trip(config);
	config_unref(config);
	config_report_done(&report);
}

static void fuzz_wire(const uint8_t *bytes, size_t size)
{
	struct config *config = config_decode(bytes, size);

	if (config)
		fuzz_round_trip(config);
	config_unref(config);
}

/* Parts lie in the text in order, and what check takes next takes too. */
static void fuzz_template(const uint8_t *bytes, size_t size)
{
	char *text = calloc(1, size + 1);
	struct template_part part;
	size_t at = 0, before = 0;
	const char *wrong, *why;
	int more;

	if (!text)
		abort();
	memcpy(text, bytes, size);
	while ((more = template_next(text, &at, &part, &why)) > 0) {
		if (at <= before || at > strlen(text))
			abort();
		if (part.text && (part.text < text + before || part.text + part.len > text + at))
			abort();
		before = at;
	}
	wrong = template_check(text, true, &at);
	if ((more < 0) != (wrong != NULL) || at > strlen(text) || (wrong && at != before))
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == 'w')
		fuzz_wire(data + 1, size - 1);
	else if (data[0] == 'p')
		fuzz_template(data + 1, size - 1);
	else
		fuzz_text(data + 1, size - 1);
	return 0;
}
