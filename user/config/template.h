/* SPDX-License-Identifier: MIT */
/*
 * template.h - the one reader of templates: text with {variables}, where {{ and }} stand for a
 * brace. The config's checks and those who fill templates in use it alike. Pure, allocates nothing.
 */
#ifndef SLUICE_CONFIG_TEMPLATE_H
#define SLUICE_CONFIG_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

enum template_variable {
	TEMPLATE_LITERAL, /* text as it stands */
	TEMPLATE_CLIENT_IP,
	TEMPLATE_CLIENT_PORT,
	TEMPLATE_LISTENER_NAME,
	TEMPLATE_ROUTE_NAME,
	TEMPLATE_TLS_SNI,
	TEMPLATE_TLS_CLIENT_SUBJECT,
	TEMPLATE_TLS_CLIENT_FINGERPRINT,
	TEMPLATE_TLS_CLIENT_SAN,
	TEMPLATE_REQUEST_ID,
	TEMPLATE_REQUEST_AUTHORITY,
	TEMPLATE_REQUEST_PATH,
	TEMPLATE_REQUEST_HEADER, /* text: its key */
	/* in responses only, from here on */
	TEMPLATE_BACKEND_ADDRESS,
	TEMPLATE_GROUP_NAME,
};

struct template_part {
	enum template_variable variable;
	const char *text; /* of LITERAL and REQUEST_HEADER; into the template, not NUL-terminated */
	size_t len;
};

/* The part at template[*at], which is moved behind it; start with 0. Returns 1 with *part, 0 at the
 * end, or -EINVAL with *at where it is wrong, and *why in words that read on from the place ("unknown
 * variable, want one of ..."). Two literals may follow each other ({{). A template that config_load
 * took has no errors. */
int template_next(const char *template, size_t *at, struct template_part *part, const char **why);

/* What is wrong with a template for a request or response: NULL, or as template_next with *at. */
const char *template_check(const char *template, bool response, size_t *at);

#endif
