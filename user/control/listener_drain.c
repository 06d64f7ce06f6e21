/* SPDX-License-Identifier: MIT */
/*
 * listener_drain.c - see listener_drain.h. Called by control.c for `sluicectl drain listener`. The
 * state is in sockets.c's rows, so that reloads and new workers keep to it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "control/listener_drain.h"
#include "control/supervisor.h"

/* From the last SYN to the accept queue. */
#define SETTLE_MS 100

static const struct config_listener *find(const struct supervisor *supervisor, const char *name)
{
	const struct config *config = supervisor->current.config;

	for (size_t i = 0; i < config->n_listeners; i++)
		if (!strcmp(config->listeners[i].name, name))
			return &config->listeners[i];
	return NULL;
}

/* The workers take what waits in the accept queue, and close; here the last descriptors go. */
static void close_refusing(struct supervisor *supervisor)
{
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++) {
		if (!supervisor->sockets.rows[id].drained || !supervisor->sockets.rows[id].used)
			continue;
		children_send_drain_listener(supervisor, id);
		sockets_close_row(&supervisor->sockets, id);
	}
}

static void on_settled(struct loop_timer *timer)
{
	close_refusing(container_of(timer, struct supervisor, sockets.drain_timer));
}

int listener_drain(struct supervisor *supervisor, const char *name)
{
	const struct config_listener *listener = find(supervisor, name);

	if (!listener)
		return -ENOENT;
	struct socket_row *row = &supervisor->sockets.rows[listener->id];

	if (row->drained)
		return 0;
	log_info("listener drained by command", F_STR("listener", name));
	kernel_refuse(&supervisor->kernel, supervisor->current.config, supervisor->slots, listener);
	sockets_refuse_new(row, supervisor->sockets.slots);
	row->drained = true;
	supervisor->sockets.drain_timer.on_timer = on_settled;
	loop_timer_set(&supervisor->loop, &supervisor->sockets.drain_timer, SETTLE_MS * NS_PER_MS);
	return 0;
}

int listener_undrain(struct supervisor *supervisor, const char *name, char *why, size_t size)
{
	const struct config *config = supervisor->current.config;
	const struct config_listener *listener = find(supervisor, name), *failed;

	if (!listener)
		return -ENOENT;
	struct socket_row *row = &supervisor->sockets.rows[listener->id];

	if (!row->drained)
		return 0;
	if (reload_under_way(supervisor)) {
		snprintf(why, size, "a reload is under way: try again");
		return -EAGAIN;
	}
	close_refusing(supervisor);
	row->drained = false;
	int ret = sockets_bind(&supervisor->sockets, config, &failed);

	if (!ret)
		ret = sockets_listen(&supervisor->sockets, config, &failed);
	if (ret) {
		char text[ADDR_TEXT_MAX];

		sockets_close_row(&supervisor->sockets, listener->id);
		row->drained = true;
		snprintf(why, size, "cannot listen on %s: %s",
			 addr_format(&listener->address, text, sizeof(text)), strerror(-ret));
		return ret;
	}
	kernel_accept(&supervisor->kernel, config, supervisor->slots, listener);
	/* Without it SO_REUSEPORT picks the worker: good enough, and logged. */
	kernel_sockets(&supervisor->kernel, config, &supervisor->sockets);
	children_send_listener(supervisor, listener->id);
	log_info("listener accepts again, by command", F_STR("listener", name));
	return 0;
}
