/* SPDX-License-Identifier: MIT */
/*
 * template.c - see template.h.
 */
#include "config/template.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *name;
	enum template_variable variable;
} template_variables[] = {
	{ "client.ip", TEMPLATE_CLIENT_IP },
	{ "client.port", TEMPLATE_CLIENT_PORT },
	{ "listener.name", TEMPLATE_LISTENER_NAME },
	{ "route.name", TEMPLATE_ROUTE_NAME },
	{ "tls.sni", TEMPLATE_TLS_SNI },
	{ "tls.client.subject", TEMPLATE_TLS_CLIENT_SUBJECT },
	{ "tls.client.fingerprint", TEMPLATE_TLS_CLIENT_FINGERPRINT },
	{ "tls.client.san", TEMPLATE_TLS_CLIENT_SAN },
	{ "request.id", TEMPLATE_REQUEST_ID },
	{ "request.authority", TEMPLATE_REQUEST_AUTHORITY },
	{ "request.path", TEMPLATE_REQUEST_PATH },
	{ "backend.address", TEMPLATE_BACKEND_ADDRESS },
	{ "group.name", TEMPLATE_GROUP_NAME },
};

static const char template_header[] = "request.header.";

/* A metadata key: small letters, digits, - _ and . */
static bool template_is_key(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9') &&
		    !memchr("-_.", text[i], 3))
			return false;
	return len > 0;
}

/* name of len bytes, between its braces. NULL, or what is wrong. */
static const char *template_read_variable(const char *name, size_t len, struct template_part *part)
{
	size_t prefix = sizeof(template_header) - 1;

	if (len >= prefix && memcmp(name, template_header, prefix) == 0) {
		if (!template_is_key(name + prefix, len - prefix))
			return "no metadata key, want for example {request.header.x-user}";
		*part = (struct template_part){ TEMPLATE_REQUEST_HEADER, name + prefix,
						len - prefix };
		return NULL;
	}
	for (size_t i = 0; i < sizeof(template_variables) / sizeof(template_variables[0]); i++) {
		const char *known = template_variables[i].name;

		if (strlen(known) == len && memcmp(known, name, len) == 0) {
			*part = (struct template_part){ template_variables[i].variable, NULL, 0 };
			return NULL;
		}
	}
	return "unknown variable, want one such as {client.ip} or {request.header.x-user} ({{ for a "
	       "brace)";
}

int template_next(const char *template, size_t *at, struct template_part *part, const char **why)
{
	const char *text = template + *at;
	const char *end;
	size_t len = strcspn(text, "{}");

	if (len) {
		*part = (struct template_part){ TEMPLATE_LITERAL, text, len };
		*at += len;
		return 1;
	}
	if (!*text)
		return 0;
	if (text[1] == *text) {
		*part = (struct template_part){ TEMPLATE_LITERAL, text, 1 };
		*at += 2;
		return 1;
	}
	if (*text == '}') {
		*why = "a } without a {, want }} for a brace";
		return -EINVAL;
	}
	end = text + 1 + strcspn(text + 1, "{}");
	if (*end != '}') {
		*why = "a { without its }, want {{ for a brace";
		return -EINVAL;
	}
	*why = template_read_variable(text + 1, (size_t)(end - text - 1), part);
	if (*why)
		return -EINVAL;
	*at = (size_t)(end + 1 - template);
	return 1;
}

const char *template_check(const char *template, bool response, size_t *at)
{
	struct template_part part;
	const char *why = NULL;
	size_t next = 0;
	int more;

	do {
		*at = next;
		more = template_next(template, &next, &part, &why);
		if (more > 0 && !response && part.variable >= TEMPLATE_BACKEND_ADDRESS)
			return "not known before a backend is picked, want it in response only";
	} while (more > 0);
	return more ? why : NULL;
}
