/* SPDX-License-Identifier: MIT */
/*
 * monitor_world.h - a world for the monitor process: a supervisor's end of the channel, the shared
 * state, and gRPC backends on loopback that answer as they are told. The monitor runs as a real
 * child process; everything else on one loop in the test's own. At its end monitor_world.c has the
 * program's world, its teardown, and what the maps say: words, health, reason, live.
 */
#ifndef SLUICE_SELFTESTS_MONITOR_WORLD_H
#define SLUICE_SELFTESTS_MONITOR_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "config/config.h"
#include "proxy/h2.h"
#include "shared/channel.h"
#include "shared/state.h"

#define WORLD_BACKENDS 8

enum backend_mode {
	BACKEND_SERVING,     /* HealthCheckResponse SERVING */
	BACKEND_NOT_SERVING, /* ... NOT_SERVING */
	BACKEND_STATUS,	     /* Trailers-Only with backend.status */
	BACKEND_HTTP_404,    /* no grpc-status */
	BACKEND_SILENT,	     /* takes the call and never answers */
	BACKEND_RESET,	     /* RST_STREAM CANCEL */
	BACKEND_REFUSE,	     /* RST_STREAM REFUSED_STREAM */
	BACKEND_HANG_UP,     /* closes each connection as it comes */
	BACKEND_HTTP1,	     /* answers in HTTP/1.1 */
};

struct backend {
	struct world *world;
	enum backend_mode mode;
	int status;
	struct loop_io listener; /* fd -1: not listening */
	uint16_t port;
	struct h2 *connections[16];
	int http1_fd; /* 0: none */
	unsigned n_accepted, n_calls;
	char path[128], authority[128], content_type[64], timeout[16];
	uint8_t body[300];
	size_t body_len;
	/* Watch */
	bool has_watch; /* else it answers UNIMPLEMENTED */
	bool one_stream; /* at once on a connection */
	unsigned n_watches;
	struct h2 *watch_h2; /* the one that stands; NULL: none */
	int32_t watch;
	uint8_t told[512]; /* waits to go out */
	size_t told_len;
	int watch_end; /* grpc-status that ends it; -1: none */
};

struct world {
	struct loop loop;
	struct loop_timer tick;
	int fds[STATE_FDS];
	struct state state;
	pid_t monitor;
	int channel;
	uint64_t revision;
	struct backend backends[WORLD_BACKENDS];
	struct channel_resolved resolved;
	unsigned n_resolved;
	/* A config with one group, "g" with id 3, and one endpoint a backend with id 10 + its index. */
	struct config config;
	struct config_group group;
	struct config_backend config_backends[WORLD_BACKENDS];
	struct config_endpoint endpoints[WORLD_BACKENDS];
};

#define WORLD_GROUP	 3
#define WORLD_BACKEND(i) (10 + (i))

/* n backends listening on 127.0.0.1, all SERVING; no monitor yet. Asserts on failure. */
void world_init(struct world *world, unsigned n);
/* Ends the monitor (drain), checks that it exits with 0, frees everything. */
void world_done(struct world *world);

void world_start_monitor(struct world *world); /* and gives it SETUP */
void world_configure(struct world *world);     /* CONFIG, waits for READY, COMMIT */
/* Waits for the monitor's exit; its code, or -1 after five seconds. */
int world_monitor_exit(struct world *world);

void backend_listen(struct backend *backend);
/* Stops listening and resets every connection, as a killed process would. */
void backend_kill(struct backend *backend);
/* Sends GOAWAY on every connection and closes it in order. */
void backend_goaway(struct backend *backend);

/* Sends these bytes on the Watch that stands; without one fails the test. */
void backend_tell(struct backend *backend, const uint8_t *bytes, size_t len);
/* A HealthCheckResponse. */
void backend_tell_status(struct backend *backend, uint8_t status);
/* Ends the Watch with a grpc-status, or (reset) by RST_STREAM with that code. */
void backend_end_watch(struct backend *backend, int status);
void backend_reset_watch(struct backend *backend, uint32_t code);

/* One turn of the loop, at most 10 ms. */
void world_turn(struct world *world);
uint64_t world_now_ms(void);

/* Runs the loop until cond, at most timeout_ms; fails the test then. */
#define world_wait(world, timeout_ms, cond)                                                        \
	do {                                                                                       \
		uint64_t end_ = world_now_ms() + (timeout_ms);                                     \
		while (!(cond)) {                                                                  \
			if (world_now_ms() > end_)                                                 \
				fail_msg("after %d ms still not: %s", (int)(timeout_ms), #cond);   \
			world_turn(world);                                                         \
		}                                                                                  \
	} while (0)
/* Runs the loop for ms, and fails the test when cond turns false. */
#define world_hold(world, ms, cond)                                                                \
	do {                                                                                       \
		uint64_t end_ = world_now_ms() + (ms);                                             \
		while (world_now_ms() < end_) {                                                    \
			if (!(cond))                                                               \
				fail_msg("no longer: %s", #cond);                                  \
			world_turn(world);                                                         \
		}                                                                                  \
	} while (0)

#endif
