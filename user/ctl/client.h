/* SPDX-License-Identifier: MIT */
/*
 * client.h - asks the daemon over its control socket (include/sluice/control.h).
 */
#ifndef SLUICE_CTL_CLIENT_H
#define SLUICE_CTL_CLIENT_H

#include <jansson.h>

#include "ctl/ctl.h"

#define CLIENT_WHY_MAX 512

/* The daemon's document, the caller's to decref; its text too where text is not NULL (malloced). NULL
 * after saying on stderr what is wrong, also when the daemon answered that it does not know. */
json_t *client_ask(const struct ctl *ctl, const char *command, char **text);
/* Likewise for a request with more than a command; it is taken over, also on failure. */
json_t *client_request(const struct ctl *ctl, json_t *request, char **text);
/* Likewise, and says nothing: what is wrong goes into why, as one line. */
json_t *client_try(const struct ctl *ctl, json_t *request, char **text, char why[CLIENT_WHY_MAX]);
/* Sends request, which is taken over, and returns the connection, to be read; -1 with why. */
int client_open(const struct ctl *ctl, json_t *request, char why[CLIENT_WHY_MAX]);

#endif
