/* SPDX-License-Identifier: MIT */
/*
 * main.c - sluicectl's command line: the table of commands, the options that all of them take and
 * those of some. What a command does is in its own file.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "sluice/control.h"

static const struct command {
	const char *name;
	const char *arguments; /* their names; NULL: takes none */
	const char *options[8]; /* its own: "for DURATION" */
	const char *summary;
	const char *help;
	int (*run)(const struct ctl *ctl);
} commands[] = {
	{ "status", NULL, { "kernel" }, "the daemon on one screen",
	  "Mode of each interface, live backends of each group, connections, calls and calls a\n"
	  "second (over the last second), and what the XDP gate did. With --kernel: what this\n"
	  "kernel can do for it, what is off without that, and the sysctls that matter.\n",
	  ctl_status },
	{ "listeners", NULL, { 0 }, "listeners, and new connections at the gate",
	  "SYNS and what follows count new connections at the XDP gate; PICKED are those that\n"
	  "sk_lookup gave to a worker, FALLBACK those it left to SO_REUSEPORT.\n", ctl_listeners },
	{ "routes", NULL, { 0 }, "routes of every listener, and their calls",
	  "In the order in which they are tried. ACTIVE counts only on routes with a limit of\n"
	  "concurrent calls or a retry budget.\n", ctl_routes },
	{ "route", "LISTENER",
	  { "host HOST", "path /PACKAGE.SERVICE/METHOD", "header KEY=VALUE", "source IP", "sni NAME",
	    "san NAME" },
	  "the route that a call would take, and why",
	  "Asks the code that the workers run, and sends nothing. --header and --san may be given\n"
	  "more than once. Behind trusted_hops x-forwarded-for counts as it does for calls.\n",
	  ctl_route },
	{ "groups", NULL, { 0 }, "groups and how many of their backends are live",
	  "LIVE and TOTAL count backends with a weight above 0 that are not drained.\n", ctl_groups },
	{ "backends", NULL, { 0 }, "backends, their health and calls",
	  "HEALTH is up, down or unknown (no verdict yet: counts as live); SINCE is how long it has\n"
	  "been so; LAST-FAILURE is why the last failed check failed.\n", ctl_backends },
	{ "workers", NULL, { 0 }, "worker processes and their counters",
	  "HEARTBEAT is how old the last sign of life is: sk_lookup passes over a worker above 1s.\n"
	  "Counters start anew with each worker process; status keeps the totals.\n",
	  ctl_workers },
	{ "verdicts", NULL, { 0 }, "what the XDP gate did, by verdict",
	  "Packets and bytes of every verdict since the maps were made.\n", ctl_verdicts },
	{ "explain", "SRC:PORT DST:PORT", { "syn", "ack", "interface NAME" },
	  "what the XDP gate does with a packet, and why",
	  "Runs the gate's own program on a made-up packet, a SYN unless --ack, and prints each\n"
	  "step up to the verdict. Nothing is sent, counted or changed. WORKER is whom sk_lookup\n"
	  "would give the connection to: it draws two by lot, so it is asked 128 times.\n",
	  ctl_explain },
	{ "events", NULL, { "reason VERDICT", "follow", "for DURATION", "count N", "packets" },
	  "what becomes of packets at the gate, as it happens",
	  "Samples within kernel.events' rate, for 5s, for --for 30s, until --count 100, or with\n"
	  "--follow until it is stopped. --reason may be given more than once: a verdict's name,\n"
	  "drop_* for all that begin so, all; without it all but pass_not_ours and\n"
	  "pass_established. --json: a line for each, with --packets also the packet's first 192\n"
	  "bytes (base64). The gate sends events only while somebody listens.\n", ctl_events },
	{ "capture", NULL, { "write FILE", "reason VERDICT", "for DURATION", "count N" },
	  "packets of chosen verdicts into a pcapng file (-w FILE)",
	  "For tcpdump and Wireshark: the first 192 bytes of each, its interface, and the verdict\n"
	  "as a comment. Until --for, --count, or Ctrl-C; -w - writes to a pipe. --reason as for\n"
	  "events.\n", ctl_capture },
	{ "penalties", NULL, { 0 }, "sources that are kept out for what they did",
	  "REASON is the evidence that weighed most. TIMES counts the penalties that made this one\n"
	  "as long as it is; DROPPED the packets that XDP dropped for it.\n", ctl_penalties },
	{ "acl", "add|del|list [PREFIX...]",
	  { "allow", "for DURATION", "listener LISTENER", "limit N" },
	  "entries of access lists, while the daemon runs",
	  "add denies each PREFIX (an address, or 203.0.113.0/24), or with --allow makes it an\n"
	  "exception, for --for 10m or until del; in the list of all listeners, or of --listener.\n"
	  "An entry holds instead of the config's of the same prefix, over reloads, and until\n"
	  "sluiced ends. list shows where entries come from and how long they stay: up to 1000 or\n"
	  "--limit of them, or those that have an address in common with PREFIX.\n", ctl_acl },
	{ "sources", NULL, { 0 }, "who has connections open, and what speaks against them",
	  "The 100 with most connections, then most points. POINTS and GOOD calls decay; where they\n"
	  "bring a penalty, kernel.penalties says. Only while that or per_source.connections is set.\n",
	  ctl_sources },
	{ "penalize", "IP", { "for DURATION", "level connections|packets" },
	  "keep a source out for a time",
	  "Its connections are closed, and new ones dropped, for 10m or --for 1h; with\n"
	  "--level packets all its packets to listeners are. The source is all of per_source's\n"
	  "ipv4_prefix or ipv6_prefix around IP. Holds over reloads.\n", ctl_penalize },
	{ "pardon", "IP|all", { 0 }, "take a source's penalty back",
	  "And forget what was held against it.\n", ctl_pardon },
	{ "top", NULL, { "interval DURATION", "batch", "count N" }, "all of it, live in the terminal",
	  "Verdicts, listeners, groups, backends, workers and the sources that the gate drops most,\n"
	  "each second; h shows the keys. With --batch as text, --count times (1), for scripts;\n"
	  "with --json too, one document a line. Listens to events for the sources.\n", ctl_top },
	{ "drain", "GROUP BACKEND", { "for DURATION" },
	  "no new calls to a backend, or no new connections (listener NAME)",
	  "BACKEND as the file has it, or one address of a DNS name. Running calls finish; with\n"
	  "--for 60s what still runs then is cut. In force when the command returns, until\n"
	  "undrain, a change of the backend's drain in the file, or a restart of sluiced.\n"
	  "With \"listener\" and a listener's name: new connections to it are refused, those that\n"
	  "it has get GOAWAY and finish their calls; until undrain or a restart, over reloads.\n",
	  ctl_drain },
	{ "undrain", "GROUP BACKEND", { 0 }, "new calls to a backend (or listener NAME) again",
	  "Takes a drain back, by command or in the file.\n", ctl_undrain },
	{ "weight", "GROUP BACKEND N", { 0 }, "set a backend's weight",
	  "N from 0 to 100, or \"file\" for what the file says. In force when the command returns,\n"
	  "until the file changes that weight or sluiced is restarted.\n", ctl_weight },
	{ "health", "GROUP BACKEND up|down|auto", { 0 }, "force a backend's health",
	  "Whatever the checks say, until auto or a restart of sluiced; the checks go on.\n",
	  ctl_health },
	{ "check", "FILE", { 0 }, "check a configuration file",
	  "Prints every error and warning as file:line:column: text. Needs no daemon and changes\n"
	  "nothing. Exits 1 where there is an error.\n", ctl_check },
	{ "reload", NULL, { 0 }, "have the daemon read its configuration anew",
	  "Waits for the outcome: the new file is in force as a whole, or refused as a whole and\n"
	  "the reasons are printed. Exits 1 where it is refused.\n", ctl_reload },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char options_help[] =
	"  --json         the daemon's own JSON, one document, instead of tables\n"
	"  --socket PATH  control socket (default " SLUICE_CONTROL_SOCKET ")\n"
	"  --version      print the version\n"
	"  --help         print this, or with a command what it shows\n";

/* Names of arguments: those in brackets may be left out, "..." stands for more of the last one. */
static void count_arguments(const char *text, int *least, int *most)
{
	*least = *most = 0;
	for (; text && *text; text += strspn(text, " ")) {
		size_t len = strcspn(text, " ");

		*least += *text != '[';
		*most = memmem(text, len, "...", 3) ? INT_MAX : *most + 1;
		text += len;
	}
}

static void print_usage(FILE *file)
{
	fputs("usage: sluicectl [--json] [--socket PATH] COMMAND\n\ncommands:\n", file);
	for (size_t i = 0; i < COMMANDS; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s", commands[i].name,
			 commands[i].arguments ? " " : "",
			 commands[i].arguments ? commands[i].arguments : "");
		fprintf(file, "  %-33s  %s\n", name, commands[i].summary);
	}
	fprintf(file, "\noptions:\n%s\nExits 0, 1 on failure, 2 on wrong usage. See sluicectl(8).\n",
		options_help);
}

static void print_help(const struct command *command)
{
	printf("usage: sluicectl [--json] [--socket PATH] %s%s%s", command->name,
	       command->arguments ? " " : "", command->arguments ? command->arguments : "");
	for (size_t i = 0; command->options[i]; i++)
		printf(" [--%s]", command->options[i]);
	printf("\n\n%s: %s.\n%s\noptions:\n%s", command->name, command->summary, command->help,
	       options_help);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int usage_error(const char *what, const char *which)
{
	fprintf(stderr, "sluicectl: %s%s; try sluicectl --help\n", what, which);
	return CTL_USAGE;
}

/* Whether an option's text ("for DURATION") is of this name. */
static bool option_is(const char *option, const char *name)
{
	size_t len = strcspn(option, " ");

	return strlen(name) == len && !strncmp(option, name, len);
}

static bool takes_option(const struct command *command, const char *name)
{
	for (size_t i = 0; command->options[i]; i++)
		if (option_is(command->options[i], name))
			return true;
	return false;
}

const char *ctl_option(const struct ctl *ctl, const char *name)
{
	for (int i = ctl->n_options; i-- > 0;)
		if (!strcmp(ctl->options[i].name, name))
			return ctl->options[i].value;
	return NULL;
}

bool ctl_has_option(const struct ctl *ctl, const char *name)
{
	for (int i = 0; i < ctl->n_options; i++)
		if (!strcmp(ctl->options[i].name, name))
			return true;
	return false;
}

static int run(const struct command *command, struct ctl *ctl, int argc, char **argv)
{
	int least, most;

	for (int i = 0; i < ctl->n_options; i++)
		if (!takes_option(command, ctl->options[i].name))
			return usage_error("not an option of this command: --",
					   ctl->options[i].name);
	count_arguments(command->arguments, &least, &most);
	if (argc < least)
		return usage_error("missing argument: ", command->arguments);
	if (argc > most)
		return usage_error("unexpected argument: ", argv[most]);
	ctl->arguments = argv;
	ctl->n_arguments = argc;
	int ret = command->run(ctl);

	/* A full disk must not look like success to a script. */
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "sluicectl: cannot write the output: %s\n", strerror(errno));
		return CTL_FAILED;
	}
	return ret;
}

#define OPTION_OWN 256 /* what getopt_long returns for a command's own */

/* The options of all, and of every command: which go together is looked at afterwards, since an
 * option may stand before its command. Names are cut out of the texts into names. */
static void collect_options(struct option options[CTL_OPTIONS_MAX], char names[][32])
{
	static const struct option common[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
	};
	size_t n = sizeof(common) / sizeof(common[0]);

	memcpy(options, common, sizeof(common));
	for (size_t i = 0; i < COMMANDS; i++) {
		for (size_t k = 0; commands[i].options[k] && n + 1 < CTL_OPTIONS_MAX; k++) {
			const char *text = commands[i].options[k];

			snprintf(names[n], 32, "%.*s", (int)strcspn(text, " "), text);
			options[n] = (struct option){
				.name = names[n],
				.has_arg = strchr(text, ' ') ? required_argument : no_argument,
				.val = OPTION_OWN,
			};
			n++;
		}
	}
	options[n] = (struct option){ 0 };
}

int main(int argc, char **argv)
{
	struct option options[CTL_OPTIONS_MAX];
	char names[CTL_OPTIONS_MAX][32];
	struct ctl ctl = { .socket = SLUICE_CONTROL_SOCKET };
	const struct command *command;
	bool help = false;
	int option, index = 0;

	collect_options(options, names);
	/* GNU's getopt_long takes options before and after the command. */
	while ((option = getopt_long(argc, argv, "js:w:h", options, &index)) != -1) {
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
		case 'w': /* as tcpdump and tshark have it */
		case OPTION_OWN:
			if (ctl.n_options == CTL_OPTIONS_MAX)
				return usage_error("too many options", "");
			ctl.options[ctl.n_options].name = option == 'w' ? "write" :
									  options[index].name;
			ctl.options[ctl.n_options++].value = optarg;
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
