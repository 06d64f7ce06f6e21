/* SPDX-License-Identifier: MIT */
/*
 * main.c - sluicectl's command line: the table of commands, and the options that all of them take.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "sluice/control.h"

static const struct command {
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *summary;
	const char *help;
	int (*run)(const struct ctl *ctl);
} commands[] = {
	{ "status", NULL, "the daemon on one screen",
	  "Mode of each interface, live backends of each group, connections, calls and calls a\n"
	  "second (over the last second), and what the XDP gate did.\n", ctl_status },
	{ "listeners", NULL, "listeners, and new connections at the gate",
	  "SYNS and what follows count new connections at the XDP gate; PICKED are those that\n"
	  "sk_lookup gave to a worker, FALLBACK those it left to SO_REUSEPORT.\n", ctl_listeners },
	{ "groups", NULL, "groups and how many of their backends are live",
	  "LIVE and TOTAL count backends with a weight above 0.\n", ctl_groups },
	{ "backends", NULL, "backends, their health and calls",
	  "HEALTH is up, down or unknown (no verdict yet: counts as live); SINCE is how long it has\n"
	  "been so; LAST-FAILURE is why the last failed check failed.\n", ctl_backends },
	{ "workers", NULL, "worker processes and their counters",
	  "HEARTBEAT is how old the last sign of life is: sk_lookup passes over a worker above 1s.\n"
	  "Counters start anew with each worker process; status keeps the totals.\n",
	  ctl_workers },
	{ "verdicts", NULL, "what the XDP gate did, by verdict",
	  "Packets and bytes of every verdict since the maps were made.\n", ctl_verdicts },
	{ "check", "FILE", "check a configuration file",
	  "Prints every error and warning as file:line:column: text. Needs no daemon and changes\n"
	  "nothing. Exits 1 where there is an error.\n", ctl_check },
	{ "reload", NULL, "have the daemon read its configuration anew",
	  "Waits for the outcome: the new file is in force as a whole, or refused as a whole and\n"
	  "the reasons are printed. Exits 1 where it is refused.\n", ctl_reload },
};

static const char options_help[] =
	"  --json         the daemon's own JSON, one document, instead of tables\n"
	"  --socket PATH  control socket (default " SLUICE_CONTROL_SOCKET ")\n"
	"  --version      print the version\n"
	"  --help         print this, or with a command what it shows\n";

static void print_usage(FILE *file)
{
	fputs("usage: sluicectl [--json] [--socket PATH] COMMAND\n\ncommands:\n", file);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s%s%s", commands[i].name,
			 commands[i].argument ? " " : "",
			 commands[i].argument ? commands[i].argument : "");
		fprintf(file, "  %-13s  %s\n", name, commands[i].summary);
	}
	fprintf(file, "\noptions:\n%s\nExits 0, 1 on failure, 2 on wrong usage. See sluicectl(8).\n",
		options_help);
}

static void print_help(const struct command *command)
{
	printf("usage: sluicectl [--json] [--socket PATH] %s%s%s\n\n%s: %s.\n%s\noptions:\n%s",
	       command->name, command->argument ? " " : "",
	       command->argument ? command->argument : "", command->name, command->summary,
	       command->help, options_help);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int usage_error(const char *what, const char *which)
{
	fprintf(stderr, "sluicectl: %s%s; try sluicectl --help\n", what, which);
	return CTL_USAGE;
}

static int run(const struct command *command, struct ctl *ctl, int argc, char **argv)
{
	int wanted = command->argument ? 1 : 0;

	if (argc < wanted)
		return usage_error("missing argument: ", command->argument);
	if (argc > wanted)
		return usage_error("unexpected argument: ", argv[wanted]);
	ctl->argument = wanted ? argv[0] : NULL;
	int ret = command->run(ctl);

	/* A full disk must not look like success to a script. */
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "sluicectl: cannot write the output: %s\n", strerror(errno));
		return CTL_FAILED;
	}
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct ctl ctl = { .socket = SLUICE_CONTROL_SOCKET };
	const struct command *command;
	bool help = false;
	int option;

	/* GNU's getopt_long takes options before and after the command. */
	while ((option = getopt_long(argc, argv, "js:h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			ctl.json = true;
			break;
		case 's':
			ctl.socket = optarg;
			break;
		case 'V':
			puts("sluicectl " SLUICE_VERSION);
			return CTL_OK;
		case 'h':
			help = true;
			break;
		default:
			fputs("try sluicectl --help\n", stderr);
			return CTL_USAGE;
		}
	}
	if (optind == argc) {
		print_usage(help ? stdout : stderr);
		return help ? CTL_OK : CTL_USAGE;
	}
	command = find(argv[optind]);
	if (!command)
		return usage_error("no such command: ", argv[optind]);
	if (help) {
		print_help(command);
		return CTL_OK;
	}
	return run(command, &ctl, argc - optind - 1, argv + optind + 1);
}
