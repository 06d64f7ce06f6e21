/* SPDX-License-Identifier: MIT */
/*
 * client.h - asks the daemon over its control socket (include/sluice/control.h).
 */
#ifndef SLUICE_CTL_CLIENT_H
#define SLUICE_CTL_CLIENT_H

#include <jansson.h>

#include "ctl/ctl.h"

/* The daemon's document, the caller's to decref; its text too where text is not NULL (malloced). NULL
 * after saying on stderr what is wrong, also when the daemon answered that it does not know. */
json_t *client_ask(const struct ctl *ctl, const char *command, char **text);
/* Likewise for a request with more than a command; it is taken over, also on failure. */
json_t *client_request(const struct ctl *ctl, json_t *request, char **text);

#endif
