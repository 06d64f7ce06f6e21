/* SPDX-License-Identifier: MIT */
/*
 * main.c - sluiced's command line. Everything else is supervisor.c's.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "control/supervisor.h"
#include "proxy/config_hooks.h"
#include "sluice/control.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

static const char usage[] =
	"usage: sluiced [--config FILE] [--replace-maps] [--force] [--log-format text|json]\n"
	"       sluiced --check FILE\n"
	"\n"
	"  --config FILE        run with this configuration (default " SLUICE_CONFIG_PATH ")\n"
	"  --check FILE         print every error and warning in FILE, change nothing; exit 1 on errors\n"
	"  --replace-maps       remove pinned maps of another version instead of refusing to start\n"
	"  --force              replace XDP programs of others on the configured interfaces\n"
	"  --log-format FORMAT  text or json, whatever the configuration says\n"
	"  --version            print the version\n"
	"  --help               print this\n"
	"\n"
	"SIGHUP reloads the configuration, SIGTERM drains and ends; a second SIGTERM ends at once.\n"
	"See sluiced(8).\n";

static int check(const char *path)
{
	struct config_report report = { 0 };
	struct config *config = config_load(path, &report, &config_hooks);

	if (report.text)
		fputs(report.text, stdout);
	config_report_done(&report);
	if (!config)
		return EXIT_FAILED;
	config_unref(config);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", required_argument, NULL, 'C' },
		{ "replace-maps", no_argument, NULL, 'r' },
		{ "force", no_argument, NULL, 'f' },
		{ "log-format", required_argument, NULL, 'l' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct supervisor_options run = { .config_path = SLUICE_CONFIG_PATH };
	const char *check_path = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			run.config_path = optarg;
			break;
		case 'C':
			check_path = optarg;
			break;
		case 'r':
			run.kernel.replace_maps = true;
			break;
		case 'f':
			run.kernel.force = true;
			break;
		case 'l':
			if (strcmp(optarg, "text") && strcmp(optarg, "json")) {
				fprintf(stderr, "sluiced: --log-format is text or json, not %s\n",
					optarg);
				return EXIT_USAGE;
			}
			run.log_format_set = true;
			run.log_format = strcmp(optarg, "json") ? LOG_TEXT : LOG_JSON;
			break;
		case 'V':
			puts("sluiced " SLUICE_VERSION);
			return EXIT_OK;
		case 'h':
			fputs(usage, stdout);
			return EXIT_OK;
		default:
			fputs("try sluiced --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sluiced: unexpected argument %s; try sluiced --help\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	return check_path ? check(check_path) : supervisor_run(&run);
}
