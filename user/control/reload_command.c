/* SPDX-License-Identifier: MIT */
/*
 * reload_command.c - the operator's commands on their way into a revision, see reload.h. What they come
 * to is in overrides.c. Called by control.c with a command, by reload.c when it begins and ends a
 * revision; each command hears of its end exactly once, unless it is forgotten.
 */
#include <stdio.h>

#include "base/log.h"
#include "control/supervisor.h"

void reload_command(struct supervisor *supervisor, struct reload_command *command)
{
	list_add_tail(&supervisor->reload.commands, &command->link);
	loop_defer(&supervisor->loop, &supervisor->reload.task);
}

void reload_forget_command(struct reload_command *command)
{
	if (command->link.next)
		list_del(&command->link);
}

static void log_command(const struct override_command *what)
{
	static const char *const healths[] = { "auto", "up", "down" };
	char text[32];

	switch (what->verb) {
	case OVERRIDE_DRAIN:
		snprintf(text, sizeof(text), "drain");
		break;
	case OVERRIDE_UNDRAIN:
		snprintf(text, sizeof(text), "undrain");
		break;
	case OVERRIDE_WEIGHT:
		if (what->weight == OVERRIDE_WEIGHT_FILE)
			snprintf(text, sizeof(text), "weight file");
		else
			snprintf(text, sizeof(text), "weight %u", what->weight);
		break;
	case OVERRIDE_HEALTH:
		snprintf(text, sizeof(text), "health %s", healths[what->forced]);
		break;
	}
	if (what->drain_for_ns)
		log_info("command", F_STR("what", text), F_STR("group", what->group),
			 F_STR("backend", what->backend),
			 F_UINT("for_ms", what->drain_for_ns / NS_PER_MS));
	else
		log_info("command", F_STR("what", text), F_STR("group", what->group),
			 F_STR("backend", what->backend));
}

void reload_commands_take(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	char why[512];

	while (!list_empty(&reload->commands)) {
		struct reload_command *command =
			list_first(&reload->commands, struct reload_command, link);
		int ret = overrides_set(&supervisor->overrides, supervisor->current.config,
					&command->what, loop_now(&supervisor->loop), why,
					sizeof(why));

		list_del(&command->link);
		if (ret) {
			command->on_done(command, false, why);
			continue;
		}
		log_command(&command->what);
		list_add_tail(&reload->running, &command->link);
	}
}

void reload_commands_done(struct supervisor *supervisor, bool ok, const char *message)
{
	struct list *running = &supervisor->reload.running;

	while (!list_empty(running)) {
		struct reload_command *command = list_first(running, struct reload_command, link);

		list_del(&command->link);
		command->on_done(command, ok, message);
	}
}

void reload_commands_drop(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;

	while (!list_empty(&reload->commands)) {
		struct list *link = reload->commands.next;

		list_del(link);
		list_add_tail(&reload->running, link);
	}
	reload_commands_done(supervisor, false, "the daemon is draining");
}
