/* SPDX-License-Identifier: MIT */
/*
 * supervisor.c - see supervisor.h. Brings everything up in order, turns signals into actions, and
 * takes everything down in order. What a reload does is in reload.c, what a child gets in
 * children.c. No traffic passes here.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "control/kernel_acl.h"
#include "control/notify.h"
#include "control/supervisor.h"
#include "control/tickets.h"
#include "proxy/config_hooks.h"

#define NAMES_WAIT_MS	 2000 /* at start, for a first answer to each name */
#define DRAIN_SETTLE_MS	 100  /* handshakes under way may finish */
#define DRAIN_SLACK_MS	 2000 /* beyond the grace time, before SIGKILL */
#define DRAIN_MONITOR_MS 2000
#define DRAIN_REST_MS	 15000 /* what an end may take besides the grace time */
#define SAMPLE_MS	 1000
/* timeout(1) and some managers signal the process and then its whole group: that is one order. */
#define TERM_TWICE_MS	 200

void supervisor_set_log(const struct supervisor *supervisor, const struct config *config)
{
	log_init("supervisor", config->log_level,
		 supervisor->options->log_format_set ? supervisor->options->log_format :
						       config->log_format);
}

void supervisor_log_report(enum log_level level, const char *text)
{
	while (text && *text) {
		int len = (int)strcspn(text, "\n");
		char line[1024];

		snprintf(line, sizeof(line), "%.*s", len, text);
		log_at(level, "config", F_STR("report", line));
		text += len + (text[len] == '\n');
	}
}

static void start_workers(struct supervisor *supervisor)
{
	loop_timer_cancel(&supervisor->loop, &supervisor->timer);
	if (reload_enforce(supervisor)) {
		supervisor->exit_code = 1;
		loop_stop(&supervisor->loop);
		return;
	}
	children_start_workers(supervisor);
}

static bool workers_started(const struct supervisor *supervisor)
{
	return supervisor->children.workers[0].wanted;
}

void supervisor_on_ready(struct supervisor *supervisor)
{
	if (supervisor->phase != PHASE_STARTING || !workers_started(supervisor) ||
	    !children_all_ready(supervisor, supervisor->current.config->revision))
		return;
	supervisor->phase = PHASE_RUNNING;
	notify_ready("running");
	log_info("ready", F_STR("config", supervisor->options->config_path),
		 F_UINT("workers", supervisor->slots),
		 F_UINT("listeners", supervisor->current.config->n_listeners),
		 F_UINT("groups", supervisor->current.config->n_groups),
		 F_STR("kernel", kernel_is_on(&supervisor->kernel) ? "on" : "off"));
}

void supervisor_on_start_refused(struct supervisor *supervisor, const char *reason)
{
	if (supervisor->phase != PHASE_STARTING)
		return; /* a replacement: it will be tried again */
	log_error("cannot start", F_STR("reason", reason));
	supervisor->exit_code = 1;
	loop_stop(&supervisor->loop);
}

/* At start: the workers begin when every name had an answer and that answer is in force. */
static void start_when_resolved(struct supervisor *supervisor)
{
	if (supervisor->phase != PHASE_STARTING || workers_started(supervisor) ||
	    reload_under_way(supervisor) ||
	    names_unanswered(&supervisor->names, supervisor->current.config))
		return;
	start_workers(supervisor);
}

void supervisor_on_resolved(struct supervisor *supervisor, const struct channel_resolved *resolved)
{
	int ret = names_store(&supervisor->names, resolved);

	if (ret < 0)
		log_error("cannot keep a DNS answer", F_ERR(ret));
	if (ret > 0)
		reload_names(supervisor);
	reload_on_ready(supervisor);
	start_when_resolved(supervisor);
}

void supervisor_on_reloaded(struct supervisor *supervisor)
{
	start_when_resolved(supervisor);
}

/* Draining, in steps: settle → workers → monitor → end. */
static void drain_monitor(struct supervisor *supervisor)
{
	children_drain_monitor(supervisor);
	loop_timer_set(&supervisor->loop, &supervisor->timer, DRAIN_MONITOR_MS * NS_PER_MS);
}

void supervisor_on_child_gone(struct supervisor *supervisor)
{
	if (supervisor->phase != PHASE_DRAINING)
		return;
	if (!children_running(supervisor))
		loop_stop(&supervisor->loop);
	else if (!children_workers_running(supervisor) && supervisor->children.monitor.wanted)
		drain_monitor(supervisor);
}

static void drain_workers(struct supervisor *supervisor, uint32_t grace_ms)
{
	children_drain_workers(supervisor, grace_ms);
	/* The workers have theirs: the last one closed is what makes the kernel refuse. */
	sockets_done(&supervisor->sockets);
	loop_timer_set(&supervisor->loop, &supervisor->timer,
		       (uint64_t)(grace_ms + DRAIN_SLACK_MS) * NS_PER_MS);
	if (!children_workers_running(supervisor))
		drain_monitor(supervisor);
}

static void drain_begin(struct supervisor *supervisor)
{
	supervisor->phase = PHASE_DRAINING;
	notify_stopping((uint64_t)supervisor->current.config->drain_grace_ms + DRAIN_REST_MS);
	log_info("draining", F_UINT("grace_ms", supervisor->current.config->drain_grace_ms));
	reload_done(supervisor);
	kernel_refuse(&supervisor->kernel, supervisor->current.config, supervisor->slots, NULL);
	sockets_refuse_all(&supervisor->sockets);
	loop_timer_set(&supervisor->loop, &supervisor->timer, DRAIN_SETTLE_MS * NS_PER_MS);
}

static void drain_end(struct supervisor *supervisor)
{
	log_warn("the drain ends here: killing the children that still run",
		 F_UINT("children", children_running(supervisor)));
	children_kill(supervisor);
	if (!children_running(supervisor))
		loop_stop(&supervisor->loop);
}

static void on_timer(struct loop_timer *timer)
{
	struct supervisor *supervisor = container_of(timer, struct supervisor, timer);

	if (supervisor->phase != PHASE_DRAINING) {
		log_warn("some backend names do not resolve yet: starting without them",
			 F_UINT("names", names_unanswered(&supervisor->names,
							  supervisor->current.config)));
		start_workers(supervisor);
	} else if (!supervisor->drain_sent) {
		supervisor->drain_sent = true;
		drain_workers(supervisor, supervisor->current.config->drain_grace_ms);
	} else {
		drain_end(supervisor);
	}
}

static void on_term(struct supervisor *supervisor)
{
	uint64_t now_ns = loop_now(&supervisor->loop);

	if (supervisor->phase != PHASE_DRAINING) {
		supervisor->drained_ns = now_ns;
		drain_begin(supervisor);
	} else if (now_ns - supervisor->drained_ns > TERM_TWICE_MS * NS_PER_MS) {
		drain_end(supervisor);
	}
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct supervisor *supervisor = container_of(io, struct supervisor, signals);
	struct signalfd_siginfo info;

	while (read(io->fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			on_term(supervisor);
			break;
		case SIGHUP:
			if (supervisor->phase != PHASE_DRAINING)
				reload_file(supervisor);
			break;
		case SIGCHLD:
			children_reap(supervisor);
			break;
		}
	}
}

static void on_ticket_timer(struct loop_timer *timer)
{
	struct supervisor *supervisor = container_of(timer, struct supervisor, ticket_timer);
	int ret = tickets_rotate(&supervisor->tickets);

	if (ret)
		log_error("cannot make a new session ticket key: the old ones stay", F_ERR(ret));
	else
		children_send_tickets(supervisor);
	loop_timer_set(&supervisor->loop, timer, TICKETS_ROTATE_S * NS_PER_S);
}

static void on_sample(struct loop_timer *timer)
{
	struct supervisor *supervisor = container_of(timer, struct supervisor, sample_timer);

	totals_sample(&supervisor->totals, &supervisor->state, supervisor->slots,
		      loop_now(&supervisor->loop));
	kernel_watch(&supervisor->kernel);
	penalties_sweep(&supervisor->penalties, loop_now(&supervisor->loop));
	if (supervisor->current.config) {
		kernel_watch_cookies(&supervisor->kernel, supervisor->current.config,
				     supervisor->slots);
		kernel_acl_expire(&supervisor->kernel, supervisor->current.config,
				  supervisor->slots, loop_now(&supervisor->loop));
	}
	loop_timer_set(&supervisor->loop, timer, SAMPLE_MS * NS_PER_MS);
}

static int open_signals(struct supervisor *supervisor)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	int ret = loop_io_add(&supervisor->loop, &supervisor->signals, fd, EPOLLIN);

	if (ret)
		close(fd);
	return ret;
}

static uint32_t count_slots(const struct config *config)
{
	long n = config->workers ? (long)config->workers : sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		n = 1;
	return n > SLUICE_MAX_WORKERS ? SLUICE_MAX_WORKERS : (uint32_t)n;
}

/* What can be refused without having touched anything, first. config is taken over. */
static int bring_up(struct supervisor *supervisor, struct config *config)
{
	int ret;

	rights_probe(&supervisor->rights);
	ret = rights_identity(&supervisor->rights, config, &supervisor->identity);
	if (!ret)
		ret = rights_check_ports(&supervisor->rights, config);
	if (!ret)
		ret = control_open(&supervisor->control, config->control_socket);
	if (!ret)
		ret = kernel_open(&supervisor->kernel, config, &supervisor->rights,
				  &supervisor->options->kernel, supervisor->state_fds);
	if (ret) {
		config_unref(config);
		return ret; /* logged */
	}
	kernel_follow(&supervisor->kernel, &supervisor->loop);
	supervisor->slots = count_slots(config);
	rights_raise_nofile(config, supervisor->slots);
	sockets_init(&supervisor->sockets, supervisor->slots);
	children_init(supervisor);
	supervisor->ids = ids_new();
	ret = supervisor->ids ? state_create_fds(supervisor->state_fds) : -ENOMEM;
	if (!ret)
		ret = state_map(&supervisor->state, supervisor->state_fds);
	if (!ret && getrandom(supervisor->state.switches->hash_key,
			      sizeof(supervisor->state.switches->hash_key), 0) < 0)
		ret = -errno;
	if (!ret)
		ret = tickets_init(&supervisor->tickets);
	if (!ret && getrandom(supervisor->hash_key, sizeof(supervisor->hash_key), 0) !=
			    (ssize_t)sizeof(supervisor->hash_key))
		ret = -EIO;
	if (ret) {
		log_error("cannot start", F_ERR(ret));
		config_unref(config);
		return ret;
	}
	ret = reload_first(supervisor, config);
	if (ret)
		return ret;
	loop_timer_set(&supervisor->loop, &supervisor->ticket_timer, TICKETS_ROTATE_S * NS_PER_S);
	loop_timer_set(&supervisor->loop, &supervisor->sample_timer, SAMPLE_MS * NS_PER_MS);
	children_start_monitor(supervisor);
	if (names_unanswered(&supervisor->names, supervisor->current.config))
		loop_timer_set(&supervisor->loop, &supervisor->timer, NAMES_WAIT_MS * NS_PER_MS);
	else
		start_workers(supervisor);
	return 0;
}

static void take_down(struct supervisor *supervisor)
{
	bool keep = supervisor->current.config && supervisor->current.config->kernel.keep;

	children_kill(supervisor);
	control_close(&supervisor->control);
	events_done(&supervisor->events);
	kernel_close(&supervisor->kernel, keep);
	reload_done(supervisor);
	sockets_done(&supervisor->sockets);
	state_unmap(&supervisor->state);
	for (int i = 0; i < STATE_FDS; i++)
		if (supervisor->state_fds[i] >= 0)
			close(supervisor->state_fds[i]);
	ids_free(supervisor->ids);
	names_done(&supervisor->names);
	overrides_done(&supervisor->overrides);
	penalties_done(&supervisor->penalties);
	tickets_done(&supervisor->tickets);
	revision_done(&supervisor->current);
	if (supervisor->signals.fd >= 0)
		close(supervisor->signals.fd);
	loop_done(&supervisor->loop);
}

int supervisor_run(const struct supervisor_options *options)
{
	struct config_report report = { 0 };
	struct config *config = config_load(options->config_path, &report, &config_hooks);
	struct supervisor *supervisor = config ? calloc(1, sizeof(*supervisor)) : NULL;

	if (!supervisor) {
		if (report.text) /* how to log, only a whole config says */
			fputs(report.text, stderr);
		config_report_done(&report);
		config_unref(config);
		return 1;
	}
	supervisor->options = options;
	supervisor_set_log(supervisor, config);
	supervisor_log_report(LOG_WARN, report.text);
	config_report_done(&report);
	supervisor->timer.on_timer = on_timer;
	supervisor->ticket_timer.on_timer = on_ticket_timer;
	supervisor->sample_timer.on_timer = on_sample;
	supervisor->signals = (struct loop_io){ .fd = -1, .on_event = on_signal };
	supervisor->current.fd = -1;
	for (int i = 0; i < STATE_FDS; i++)
		supervisor->state_fds[i] = -1;
	notify_init();
	names_init(&supervisor->names);
	overrides_init(&supervisor->overrides);
	reload_init(supervisor);
	control_init(supervisor);
	penalties_init(supervisor);
	events_init(supervisor);

	int ret = loop_init(&supervisor->loop);

	if (ret) {
		log_error("cannot start", F_ERR(ret));
		config_unref(config);
		free(supervisor);
		return 1;
	}
	ret = open_signals(supervisor);
	if (ret) {
		log_error("cannot start", F_ERR(ret));
		config_unref(config);
	} else {
		supervisor->started_ns = loop_refresh(&supervisor->loop);
		ret = bring_up(supervisor, config);
	}
	if (!ret)
		ret = loop_run(&supervisor->loop);
	int exit_code = ret ? 1 : supervisor->exit_code;

	take_down(supervisor);
	free(supervisor);
	if (!exit_code)
		log_info("ended");
	return exit_code;
}
