/* SPDX-License-Identifier: MIT */
/*
 * reload.c - see reload.h. The order of a commit is: rows of groups and backends, ACL and limits,
 * XDP, listen, the workers' sockets, COMMIT; what only the old config had goes last. Until COMMIT
 * is sent, any failure brings everything back to the current revision.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/fixed.h"
#include "control/notify.h"
#include "control/publish.h"
#include "control/reload.h"
#include "control/supervisor.h"
#include "proxy/config_hooks.h"

#define RELOAD_READY_MS 10000
/* A reload or command is in force when every child goes by it; a child that hangs is not waited for. */
#define RELOAD_SETTLE_MS 2000
/* A worker that has not read its COMMIT yet still picks among the old rows, and would answer
 * "no backend" if they were unused already. */
#define RELOAD_SWEEP_MS 10000
#define RELOAD_NAMES_MS 2000 /* for the first answer to a name that the old config has not */

void revision_done(struct revision *revision)
{
	config_unref(revision->config);
	if (revision->fd >= 0)
		close(revision->fd);
	*revision = (struct revision){ .fd = -1 };
}

static int revision_seal(struct revision *revision)
{
	uint8_t *bytes = NULL;
	int ret = config_encode(revision->config, &bytes, &revision->length);

	if (ret)
		return ret;
	revision->fd = channel_seal("sluice-config", bytes, revision->length);
	explicit_bzero(bytes, revision->length); /* it holds private keys */
	free(bytes);
	return revision->fd < 0 ? revision->fd : 0;
}

/* Fills in what the file does not say, takes ids and binds new sockets. Nothing that is in force
 * changes. On failure reason says why, and all is given back. */
static int prepare(struct supervisor *supervisor, struct revision *revision, char *reason,
		   size_t size)
{
	struct config *config = revision->config;
	const struct config_listener *failed = NULL;
	int ret = names_resolve(&supervisor->names, config);

	if (!ret)
		ret = overrides_apply(&supervisor->overrides, config, supervisor->reload.from_file);

	if (supervisor->options->log_format_set)
		config->log_format = supervisor->options->log_format;
	if (ret) {
		snprintf(reason, size, "%s", strerror(-ret));
		return ret;
	}
	ret = ids_assign(supervisor->ids, config);
	if (ret) {
		snprintf(reason, size, "too many listeners, groups, backends or routes at once "
			 "(at most %d, %d, %d, %d, old and new together)", SLUICE_MAX_LISTENERS,
			 SLUICE_MAX_GROUPS, SLUICE_MAX_BACKENDS, SLUICE_MAX_ROUTES);
		return ret;
	}
	ret = sockets_bind(&supervisor->sockets, config, &failed);
	if (ret) {
		char text[ADDR_TEXT_MAX];

		snprintf(reason, size, "listener %s: cannot bind %s: %s", failed->name,
			 addr_format(&failed->address, text, sizeof(text)), strerror(-ret));
		ids_abort(supervisor->ids);
		return ret;
	}
	config->revision = ++supervisor->reload.last_number;
	ret = revision_seal(revision);
	if (ret) {
		snprintf(reason, size, "cannot hand out the config: %s", strerror(-ret));
		ids_abort(supervisor->ids);
		if (supervisor->current.config)
			sockets_keep(&supervisor->sockets, supervisor->current.config);
	}
	return ret;
}

/* Puts the rules of config into force in the kernel and listens: all but the children. */
static int enforce(struct supervisor *supervisor, const struct config *config, char *reason,
		   size_t size)
{
	const struct config_listener *failed = NULL;
	/* New addresses change no rule, and an ACL can be long. */
	bool with_acl = supervisor->reload.from_file || config == supervisor->current.config;

	publish_config(&supervisor->state, config, loop_now(&supervisor->loop));
	penalties_adopt(&supervisor->penalties, config);
	events_configure(&supervisor->events, config);
	int ret = kernel_guard(&supervisor->kernel, &supervisor->state, config, supervisor->slots,
			       with_acl);

	if (!ret)
		ret = kernel_attach_xdp(&supervisor->kernel, config);
	if (ret) {
		snprintf(reason, size, "the kernel side: %s", strerror(-ret));
		return ret;
	}
	ret = sockets_listen(&supervisor->sockets, config, &failed);
	if (ret) {
		snprintf(reason, size, "listener %s: cannot listen: %s", failed->name,
			 strerror(-ret));
		return ret;
	}
	ret = kernel_sockets(&supervisor->kernel, config, &supervisor->sockets);
	if (ret)
		snprintf(reason, size, "the kernel side: %s", strerror(-ret));
	return ret;
}

int reload_first(struct supervisor *supervisor, struct config *config)
{
	struct revision *current = &supervisor->current;
	char reason[512];

	current->config = config;
	int ret = prepare(supervisor, current, reason, sizeof(reason));

	if (ret) {
		log_error("cannot start", F_STR("reason", reason));
		return ret;
	}
	ids_commit(supervisor->ids);
	publish_config(&supervisor->state, config, loop_now(&supervisor->loop));
	supervisor->reload.committed_ns = loop_now(&supervisor->loop);
	return 0;
}

int reload_enforce(struct supervisor *supervisor)
{
	char reason[512];
	int ret = enforce(supervisor, supervisor->current.config, reason, sizeof(reason));

	if (ret)
		log_error("cannot start", F_STR("reason", reason));
	return ret;
}

/* ok: the candidate is in force; else message says why not, and may be several lines. */
static void finish(struct supervisor *supervisor, bool ok, const char *message)
{
	struct reload *reload = &supervisor->reload;
	bool from_file = reload->from_file;

	if (ok)
		overrides_commit(&supervisor->overrides, from_file);
	else
		overrides_revert(&supervisor->overrides);
	/* A refused file must not take with it what DNS said meanwhile. */
	if (!ok && from_file && reload->with_names)
		reload->want_names = true;
	reload->with_names = false;
	loop_timer_cancel(&supervisor->loop, &reload->timer);
	loop_timer_cancel(&supervisor->loop, &reload->names_timer);
	revision_done(&reload->candidate);
	reload->from_file = reload->waits_for_names = reload->settles = false;
	if (from_file) {
		notify_ready(ok ? "running" : "running; the last reload was refused");
		control_reload_done(&supervisor->control, reload->covers, ok, message);
	}
	reload_commands_done(supervisor, ok, message);
	supervisor_on_reloaded(supervisor);
	loop_defer(&supervisor->loop, &reload->task);
}

static void refuse(struct supervisor *supervisor, const char *reason)
{
	log_error(supervisor->reload.from_file ?
			  "reload refused, the running config stays" :
			  "new addresses or commands refused, the old ones stay",
		  F_STR("reason", reason));
	finish(supervisor, false, reason);
}

/* The report is several lines: each its own record. */
static void refuse_report(struct supervisor *supervisor, struct config_report *report)
{
	char reason[64];

	if (!report->text) {
		refuse(supervisor, "no memory");
		return;
	}
	supervisor_log_report(LOG_ERROR, report->text);
	snprintf(reason, sizeof(reason), "%u error%s in the file", report->errors,
		 report->errors == 1 ? "" : "s");
	log_error("reload refused, the running config stays", F_STR("reason", reason));
	report->text[strlen(report->text) - 1] = '\0'; /* its last newline */
	finish(supervisor, false, report->text);
}

static void on_sweep(struct loop_timer *timer)
{
	struct supervisor *supervisor = container_of(timer, struct supervisor, reload.sweep_timer);

	publish_sweep(&supervisor->state, supervisor->ids);
}

static void sweep_later(struct supervisor *supervisor)
{
	loop_timer_set(&supervisor->loop, &supervisor->reload.sweep_timer,
		       RELOAD_SWEEP_MS * NS_PER_MS);
}

/* Gives back what prepare took, and undoes what enforce did. */
static void roll_back(struct supervisor *supervisor, bool enforced)
{
	const struct config *current = supervisor->current.config;
	const struct config *candidate = supervisor->reload.candidate.config;
	const struct channel_config abort_message = { .revision = candidate->revision };

	children_send(supervisor, CHANNEL_ABORT, &abort_message, sizeof(abort_message), NULL, 0);
	if (enforced) {
		publish_config(&supervisor->state, current, loop_now(&supervisor->loop));
		events_configure(&supervisor->events, current);
		kernel_guard(&supervisor->kernel, &supervisor->state, current, supervisor->slots,
			     true);
		kernel_attach_xdp(&supervisor->kernel, current);
	}
	sockets_keep(&supervisor->sockets, current);
	if (enforced)
		kernel_retire(&supervisor->kernel, candidate, current);
	ids_abort(supervisor->ids);
	sweep_later(supervisor);
}

static void send_new_listeners(struct supervisor *supervisor, const struct config *old,
			       const struct config *now)
{
	for (size_t i = 0; i < now->n_listeners; i++) {
		bool known = false;

		for (size_t k = 0; k < old->n_listeners && !known; k++)
			known = old->listeners[k].id == now->listeners[i].id;
		if (!known)
			children_send_listener(supervisor, now->listeners[i].id);
	}
}

static void refuse_removed(struct supervisor *supervisor, const struct config *old,
			   const struct config *now)
{
	for (size_t i = 0; i < old->n_listeners; i++) {
		bool kept = false;

		for (size_t k = 0; k < now->n_listeners && !kept; k++)
			kept = old->listeners[i].id == now->listeners[k].id;
		if (!kept)
			sockets_refuse_new(&supervisor->sockets.rows[old->listeners[i].id],
					   supervisor->sockets.slots);
	}
}

static void commit(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	struct revision old = supervisor->current;
	struct config *config = reload->candidate.config;
	const struct channel_config message = { .revision = config->revision };
	bool from_file = reload->from_file;
	char reason[512];

	int ret = enforce(supervisor, config, reason, sizeof(reason));

	loop_refresh(&supervisor->loop); /* a long access list takes seconds */
	if (ret) {
		roll_back(supervisor, true);
		refuse(supervisor, reason);
		return;
	}
	send_new_listeners(supervisor, old.config, config);
	refuse_removed(supervisor, old.config, config);
	supervisor->current = reload->candidate;
	reload->candidate = (struct revision){ .fd = -1 };
	reload->committed_ns = loop_now(&supervisor->loop);
	children_send(supervisor, CHANNEL_COMMIT, &message, sizeof(message), NULL, 0);

	sockets_keep(&supervisor->sockets, config);
	kernel_retire(&supervisor->kernel, old.config, config);
	ids_commit(supervisor->ids);
	sweep_later(supervisor);
	names_sweep(&supervisor->names, config);
	rights_raise_nofile(config, supervisor->slots);
	penalties_configure(&supervisor->penalties, config);
	revision_done(&old);
	supervisor_set_log(supervisor, config);
	log_info(from_file			? "reloaded" :
		 list_empty(&reload->running)	? "backend addresses changed" :
						  "command in force",
		 F_UINT("revision", config->revision), F_UINT("listeners", config->n_listeners),
		 F_UINT("groups", config->n_groups));
	reload->settles = true;
	loop_timer_set(&supervisor->loop, &reload->timer, RELOAD_SETTLE_MS * NS_PER_MS);
	reload_on_ready(supervisor);
}

/* Where every child goes by what was committed last, that is the end of it. */
static void settle(struct supervisor *supervisor, bool late)
{
	struct reload *reload = &supervisor->reload;

	if (late || children_all_committed(supervisor, supervisor->current.config->revision))
		finish(supervisor, true, reload->from_file ? reload->kept : "");
}

static void on_timeout(struct loop_timer *timer)
{
	struct supervisor *supervisor = container_of(timer, struct supervisor, reload.timer);

	char who[16], text[64];

	if (supervisor->reload.settles) {
		log_warn("a child has not taken the new config in time");
		settle(supervisor, true);
		return;
	}
	snprintf(text, sizeof(text), "%s did not answer in time",
		 children_not_ready(supervisor, supervisor->reload.candidate.config->revision, who));
	roll_back(supervisor, false);
	refuse(supervisor, text);
}

static void begin(struct supervisor *supervisor, struct config *config);

/* The same file once more, with the addresses that were found out while it was prepared: a group
 * must not be without backends for a moment only because their names are new. */
static void begin_again(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	struct config *config = config_ref(reload->candidate.config);

	roll_back(supervisor, false);
	revision_done(&reload->candidate);
	reload->want_names = false;
	begin(supervisor, config);
}

void reload_on_ready(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	const struct config *config = reload->candidate.config;

	if (reload->settles)
		settle(supervisor, false);
	if (!config || !children_all_ready(supervisor, config->revision))
		return;
	if (reload->waits_for_names && supervisor->children.monitor.pid &&
	    names_unanswered(&supervisor->names, config))
		return;
	if (reload->waits_for_names && reload->want_names) {
		reload->waits_for_names = false;
		begin_again(supervisor);
	} else {
		commit(supervisor);
	}
}

static void on_names_timeout(struct loop_timer *timer)
{
	struct supervisor *supervisor = container_of(timer, struct supervisor, reload.names_timer);

	supervisor->reload.waits_for_names = false;
	reload_on_ready(supervisor);
}

void reload_on_refused(struct supervisor *supervisor, const char *who, uint64_t revision,
		       const char *reason)
{
	struct reload *reload = &supervisor->reload;
	char text[512];

	if (!reload->candidate.config || reload->candidate.config->revision != revision)
		return;
	snprintf(text, sizeof(text), "%s: %s", who, reason);
	roll_back(supervisor, false);
	refuse(supervisor, text);
}

/* Takes config over. */
static void begin(struct supervisor *supervisor, struct config *config)
{
	struct reload *reload = &supervisor->reload;
	struct revision candidate = { .config = config, .fd = -1 };
	char reason[512];

	if (prepare(supervisor, &candidate, reason, sizeof(reason))) {
		revision_done(&candidate);
		refuse(supervisor, reason);
		return;
	}
	reload->candidate = candidate;
	if (names_unanswered(&supervisor->names, config) && !loop_timer_is_set(&reload->timer)) {
		reload->waits_for_names = true;
		loop_timer_set(&supervisor->loop, &reload->names_timer, RELOAD_NAMES_MS * NS_PER_MS);
	}
	const struct channel_config message = {
		.revision = config->revision,
		.length = candidate.length,
	};

	loop_timer_set(&supervisor->loop, &reload->timer, RELOAD_READY_MS * NS_PER_MS);
	children_send(supervisor, CHANNEL_CONFIG, &message, sizeof(message), &candidate.fd, 1);
	reload_on_ready(supervisor);
}

static void begin_file(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	struct config_report report = { 0 };

	reload->want_file = false;
	/* The file says everything: what DNS said meanwhile goes in with it. */
	reload->with_names = reload->want_names;
	reload->want_names = false;
	reload->from_file = true;
	reload->covers = reload->asked;
	notify_reloading();
	struct config *config = config_load(supervisor->options->config_path, &report,
					    &config_hooks);

	loop_refresh(&supervisor->loop);
	if (config) {
		supervisor_log_report(LOG_WARN, report.text);
		int ret = fixed_keep(config, supervisor->current.config, reload->kept,
				     sizeof(reload->kept));

		if (ret) {
			config_unref(config);
			refuse(supervisor, strerror(-ret));
		} else {
			begin(supervisor, config);
		}
	} else {
		refuse_report(supervisor, &report);
	}
	config_report_done(&report);
}

/* The running file with what DNS and the operator say now. */
static void begin_changes(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;

	reload_commands_take(supervisor);
	if (list_empty(&reload->running) && !reload->want_names)
		return;
	reload->want_names = false;
	struct config *config = config_clone(supervisor->current.config);

	if (config)
		begin(supervisor, config);
	else
		refuse(supervisor, "no memory");
}

static void on_begin(struct loop_task *task)
{
	struct reload *reload = container_of(task, struct reload, task);
	struct supervisor *supervisor = container_of(reload, struct supervisor, reload);

	if (supervisor->phase == PHASE_DRAINING || reload->candidate.config || reload->settles)
		return;
	if (reload->want_file)
		begin_file(supervisor);
	else if (reload->want_names || !list_empty(&reload->commands))
		begin_changes(supervisor);
}

uint64_t reload_file(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;

	reload->asked++;
	reload->want_file = true;
	loop_defer(&supervisor->loop, &reload->task);
	return reload->asked;
}

void reload_names(struct supervisor *supervisor)
{
	supervisor->reload.want_names = true;
	loop_defer(&supervisor->loop, &supervisor->reload.task);
}

bool reload_under_way(const struct supervisor *supervisor)
{
	return supervisor->reload.candidate.config || supervisor->reload.settles ||
	       supervisor->reload.want_file || supervisor->reload.want_names;
}

void reload_init(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;

	reload->candidate = (struct revision){ .fd = -1 };
	list_init(&reload->commands);
	list_init(&reload->running);
	reload->timer.on_timer = on_timeout;
	reload->names_timer.on_timer = on_names_timeout;
	reload->sweep_timer.on_timer = on_sweep;
	reload->task.on_run = on_begin;
}

void reload_done(struct supervisor *supervisor)
{
	loop_timer_cancel(&supervisor->loop, &supervisor->reload.timer);
	loop_timer_cancel(&supervisor->loop, &supervisor->reload.names_timer);
	loop_timer_cancel(&supervisor->loop, &supervisor->reload.sweep_timer);
	loop_defer_cancel(&supervisor->reload.task);
	supervisor->reload.settles = false;
	reload_commands_drop(supervisor);
	revision_done(&supervisor->reload.candidate);
}
