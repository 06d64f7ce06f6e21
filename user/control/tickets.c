/* SPDX-License-Identifier: MIT */
/*
 * tickets.c - see tickets.h. The supervisor calls it at start and once an hour.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "control/tickets.h"

enum { CURRENT, NEXT, PREVIOUS };

static int fill_random(void *bytes, size_t len)
{
	/* Up to 256 bytes come whole. */
	ssize_t n = getrandom(bytes, len, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int tickets_init(struct channel_tickets *tickets)
{
	memset(tickets, 0, sizeof(*tickets));
	tickets->n = TICKET_KEYS_MAX;
	for (unsigned i = 0; i < TICKET_KEYS_MAX; i++) {
		int ret = fill_random(&tickets->keys[i], sizeof(tickets->keys[i]));

		if (ret)
			return ret;
	}
	return 0;
}

int tickets_rotate(struct channel_tickets *tickets)
{
	struct channel_ticket_key fresh;
	int ret = fill_random(&fresh, sizeof(fresh));

	if (ret)
		return ret;
	tickets->keys[PREVIOUS] = tickets->keys[CURRENT];
	tickets->keys[CURRENT] = tickets->keys[NEXT];
	tickets->keys[NEXT] = fresh;
	explicit_bzero(&fresh, sizeof(fresh));
	return 0;
}

void tickets_done(struct channel_tickets *tickets)
{
	explicit_bzero(tickets, sizeof(*tickets));
}
