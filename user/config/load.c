/* SPDX-License-Identifier: MIT */
/*
 * load.c - config_load, in order: read the file, parse, walk the schema, check, look at the
 * machine. Each step reports all it finds and the next one goes on with what there is, so that one
 * run shows every error.
 */
#include "config/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/fields.h"
#include "config/file.h"
#include "config/parse.h"
#include "config/scalar.h"
#include "config/system.h"

struct config *load_text(const uint8_t *bytes, size_t len, struct tree *tree,
			 struct reporter *reporter)
{
	const struct config_place start = { 1, 1 };
	struct config *config;

	if (!parse_tree(tree, bytes, len, reporter))
		return NULL;
	if (!tree->root || scalar_is_null(tree->root)) {
		report_error(reporter, start, "nothing in the file, want listeners and groups");
		return NULL;
	}
	config = calloc(1, sizeof(*config));
	if (!config) {
		report_no_memory(reporter);
		return NULL;
	}
	config->refs = 1;
	schema_read(reporter, &fields_config, tree->root, config);
	check_config(reporter, config, tree->root);
	return config;
}

static void load_report_unreadable(struct reporter *reporter, int err)
{
	const struct config_place start = { 1, 1 };

	switch (err) {
	case -EISDIR:
		report_error(reporter, start, "a directory, want a file");
		break;
	case -EINVAL:
		report_error(reporter, start, "no plain file, want one");
		break;
	case -EFBIG:
		report_error(reporter, start, "larger than %u MiB, want a smaller file",
			     LOAD_FILE_MAX >> 20);
		break;
	case -ENOMEM:
		report_no_memory(reporter);
		break;
	default:
		report_error(reporter, start, "cannot be read (%s), want a readable file",
			     strerror(-err));
	}
}

struct config *config_load(const char *path, struct config_report *report,
			   const struct config_hooks *hooks)
{
	static const struct config_hooks no_hooks;
	struct reporter reporter = { 0 };
	struct config *config = NULL;
	struct tree tree = { 0 };
	uint8_t *bytes = NULL;
	size_t len = 0;
	int err;

	err = file_read(path, LOAD_FILE_MAX, &bytes, &len);
	if (err) {
		load_report_unreadable(&reporter, err);
		goto out;
	}
	if (!hooks)
		hooks = &no_hooks;
	config = load_text(bytes, len, &tree, &reporter);
	if (!config)
		goto out;
	if (hooks->check_regex)
		check_regexes(&reporter, tree.root, hooks->check_regex);
	config->path = strdup(path);
	if (config->path)
		system_check(&reporter, config, tree.root, hooks);
	else
		report_no_memory(&reporter);
	if (reporter.errors || reporter.no_memory) {
		config_unref(config);
		config = NULL;
	}
out:
	report_flush(&reporter, path, report);
	tree_done(&tree);
	free(bytes);
	return config;
}
