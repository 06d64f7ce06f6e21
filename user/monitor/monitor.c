/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - the monitor's process: speaks with the supervisor and hands the current config to
 * health.c and resolve.c. Called by the supervisor's child after fork. When the supervisor is gone
 * it ends at once: the next one starts a monitor of its own, and the words in the maps have one
 * writer.
 */
#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "monitor/health.h"
#include "monitor/outlier.h"
#include "monitor/resolve.h"
#include "shared/channel.h"
#include "shared/state.h"

#define LINGER_NS (2 * NS_PER_S)

struct monitor {
	struct loop loop;
	struct loop_io channel;
	int exit_code;
	bool mapped;
	struct state state;
	struct health *health;
	struct outlier_watch *outliers;
	struct resolver *resolver;
	struct config *current, *pending;
	uint64_t pending_revision;
	struct channel_message message; /* the one being handled */
};

static void monitor_stop(struct monitor *monitor, int exit_code)
{
	monitor->exit_code = exit_code;
	loop_stop(&monitor->loop);
}

static void monitor_send(struct monitor *monitor, enum channel_type type, const void *payload,
			 size_t length)
{
	int err = channel_send(monitor->channel.fd, type, payload, length, NULL, 0);

	/* Where the supervisor is gone, the channel's end says so by itself. */
	if (err < 0 && err != -EPIPE)
		log_error("cannot answer the supervisor", F_ERR(err));
}

static void on_answer(void *ctx, const struct channel_resolved *answer)
{
	monitor_send(ctx, CHANNEL_RESOLVED, answer, sizeof(*answer));
}

/* Appends the names in config (may be NULL) to hosts[]; with hosts NULL only counts. */
static size_t config_names(const struct config *config, const char **hosts)
{
	size_t n = 0;

	for (size_t g = 0; config && g < config->n_groups; g++) {
		const struct config_group *group = &config->groups[g];

		for (size_t b = 0; b < group->n_backends; b++) {
			if (!group->backends[b].is_name)
				continue;
			if (hosts)
				hosts[n] = group->backends[b].host;
			n++;
		}
	}
	return n;
}

/* The names of both configs: a new one is asked for while its config still waits for its commit. */
static int monitor_resolve(struct monitor *monitor)
{
	size_t n = config_names(monitor->current, NULL) + config_names(monitor->pending, NULL);
	const char **hosts = calloc(n + 1, sizeof(*hosts));
	int err;

	if (!hosts)
		return -ENOMEM;
	n = config_names(monitor->current, hosts);
	n += config_names(monitor->pending, hosts + n);
	err = resolver_set_names(monitor->resolver, hosts, n);
	free(hosts);
	return err;
}

static void on_setup(struct monitor *monitor)
{
	int err;

	if (monitor->mapped || monitor->message.n_fds != STATE_FDS) {
		err = -EPROTO;
		goto out;
	}
	err = state_map(&monitor->state, monitor->message.fds);
	if (err)
		goto out;
	monitor->mapped = true;
	monitor->health = health_new(&monitor->loop, &monitor->state);
	monitor->outliers = outlier_watch_new(&monitor->loop, &monitor->state);
	if (!monitor->health || !monitor->outliers)
		err = -ENOMEM;
out:
	if (err) {
		log_error("monitor cannot map the shared state", F_ERR(err));
		monitor_stop(monitor, 1);
	}
}

/* This process opens no TLS: it should not be a place to find keys in. */
static void config_forget_keys(struct config *config)
{
	for (size_t l = 0; l < config->n_listeners; l++) {
		for (size_t c = 0; c < config->listeners[l].n_certificates; c++) {
			struct config_certificate *certificate =
				&config->listeners[l].certificates[c];

			if (certificate->key_len)
				explicit_bzero(certificate->key_pem, certificate->key_len);
		}
	}
}

static struct config *config_from_message(const struct channel_message *message,
					  const struct channel_config *header)
{
	const uint8_t *bytes;
	struct config *config;

	if (message->n_fds != 1)
		return NULL;
	bytes = channel_map_sealed(message->fds[0], header->length);
	if (!bytes)
		return NULL;
	config = config_decode(bytes, header->length);
	channel_unmap(bytes, header->length);
	if (config)
		config_forget_keys(config);
	return config;
}

static void monitor_forget_pending(struct monitor *monitor)
{
	config_unref(monitor->pending);
	monitor->pending = NULL;
}

static void on_config(struct monitor *monitor, const struct channel_config *header)
{
	struct channel_refused refused = { .revision = header->revision };

	monitor_forget_pending(monitor);
	if (!monitor->health) {
		snprintf(refused.reason, sizeof(refused.reason), "config before setup");
		goto refuse;
	}
	monitor->pending = config_from_message(&monitor->message, header);
	monitor->pending_revision = header->revision;
	if (!monitor->pending) {
		snprintf(refused.reason, sizeof(refused.reason),
			 "cannot read the config: malformed, or out of memory");
		goto refuse;
	}
	if (monitor_resolve(monitor) < 0)
		log_error("not all names are asked for", F_ERR(ENOMEM));
	monitor_send(monitor, CHANNEL_READY,
		     &(struct channel_config){ .revision = header->revision },
		     sizeof(struct channel_config));
	return;
refuse:
	monitor_send(monitor, CHANNEL_REFUSED, &refused, sizeof(refused));
}

static void on_commit(struct monitor *monitor, const struct channel_config *header)
{
	int err;

	if (!monitor->pending || monitor->pending_revision != header->revision)
		return;
	config_unref(monitor->current);
	monitor->current = monitor->pending;
	monitor->pending = NULL;
	log_init("monitor", monitor->current->log_level, monitor->current->log_format);
	err = health_apply(monitor->health, monitor->current);
	if (err)
		log_error("not all backends are checked", F_ERR(err));
	err = outlier_watch_apply(monitor->outliers, monitor->current);
	if (err)
		log_error("not all groups are watched for outliers", F_ERR(err));
	err = monitor_resolve(monitor);
	if (err)
		log_error("not all names are asked for", F_ERR(err));
	monitor_send(monitor, CHANNEL_COMMITTED, header, sizeof(*header));
}

static void on_abort(struct monitor *monitor, const struct channel_config *header)
{
	if (!monitor->pending || monitor->pending_revision != header->revision)
		return;
	monitor_forget_pending(monitor);
	monitor_resolve(monitor);
}

static void monitor_handle(struct monitor *monitor)
{
	const struct channel_message *message = &monitor->message;
	struct channel_config header = { 0 };

	if (message->length == sizeof(header))
		memcpy(&header, message->payload, sizeof(header));
	switch (message->type) {
	case CHANNEL_SETUP:
		on_setup(monitor);
		break;
	case CHANNEL_CONFIG:
		on_config(monitor, &header);
		break;
	case CHANNEL_COMMIT:
		on_commit(monitor, &header);
		break;
	case CHANNEL_ABORT:
		on_abort(monitor, &header);
		break;
	case CHANNEL_DRAIN:
		monitor_stop(monitor, 0);
		break;
	default: /* ticket keys and listeners are the workers' */
		break;
	}
}

static void on_channel(struct loop_io *io, uint32_t events)
{
	struct monitor *monitor = container_of(io, struct monitor, channel);

	while (!monitor->loop.stopped) {
		int n = channel_receive(io->fd, &monitor->message);

		if (n == -EAGAIN)
			return;
		if (n == 0) {
			log_warn("the supervisor is gone: monitor ends");
			monitor_stop(monitor, 0);
			return;
		}
		if (n < 0) {
			log_error("cannot read from the supervisor", F_ERR(n));
			monitor_stop(monitor, 1);
			return;
		}
		monitor_handle(monitor);
		channel_message_close_fds(&monitor->message);
	}
}

/* The supervisor alone says when to end: a terminal's or service manager's signals to the whole
 * group must not take the checks away while workers still finish their calls. */
static void ignore_signals(void)
{
	static const int numbers[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		signal(numbers[i], SIG_IGN);
}

static int monitor_init(struct monitor *monitor, int channel_fd)
{
	int err = loop_init(&monitor->loop);

	if (err)
		return err;
	if (fcntl(channel_fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	monitor->channel.on_event = on_channel;
	err = loop_io_add(&monitor->loop, &monitor->channel, channel_fd, EPOLLIN);
	if (err)
		return err;
	monitor->resolver = resolver_new(&monitor->loop, on_answer, monitor, &err);
	return monitor->resolver ? 0 : -err;
}

/* Lets the connections say goodbye. Only they still have timers, and bounded ones. */
static void monitor_linger(struct loop *loop)
{
	uint64_t end_ns = loop_now(loop) + LINGER_NS;

	/* A turn without timers or tasks would wait for ever. */
	while ((loop->heap_len || !list_empty(&loop->tasks)) && loop_now(loop) < end_ns)
		if (loop_turn(loop) < 0)
			return;
}

int monitor_main(int channel_fd)
{
	struct monitor *monitor = calloc(1, sizeof(*monitor));
	int err, exit_code = 1;

	log_init("monitor", LOG_INFO, LOG_TEXT);
	if (!monitor)
		return 1;
	ignore_signals();
	monitor->loop.epoll_fd = -1;
	monitor->channel.fd = -1;
	err = monitor_init(monitor, channel_fd);
	if (!err)
		err = loop_run(&monitor->loop);
	if (err)
		log_error("monitor cannot go on", F_ERR(err));
	else
		exit_code = monitor->exit_code;

	health_free(monitor->health);
	outlier_watch_free(monitor->outliers);
	resolver_free(monitor->resolver);
	config_unref(monitor->pending);
	config_unref(monitor->current);
	loop_io_del(&monitor->loop, &monitor->channel);
	monitor_linger(&monitor->loop);
	loop_done(&monitor->loop);
	if (monitor->mapped)
		state_unmap(&monitor->state);
	close(channel_fd);
	free(monitor);
	return exit_code;
}
