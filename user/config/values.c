/* SPDX-License-Identifier: MIT */
/*
 * values.c - see values.h. Pure but for memory: names are not resolved, files not opened.
 */
#include "config/values.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config/scalar.h"

#define VALUES_NAME_MAX (SLUICE_NAME_MAX - 1)
#define VALUES_HOST_MAX 253
#define VALUES_LABEL_MAX 63

const char *values_text(struct reporter *reporter, const struct schema_field *field,
			const struct node *node)
{
	char want[128];
	const char *text;

	if (scalar_text(node, &text) == SCALAR_OK)
		return text;
	snprintf(want, sizeof(want), "text such as %s", field->example);
	schema_wrong_type(reporter, field->key, node, want);
	return NULL;
}

char *values_copy(struct reporter *reporter, const char *text, bool lower)
{
	char *copy = strdup(text);

	if (!copy) {
		report_no_memory(reporter);
		return NULL;
	}
	for (char *p = copy; lower && *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return copy;
}

void values_read_workers(struct reporter *reporter, const struct schema_field *field,
			 const struct node *node, void *object)
{
	char quoted[REPORT_QUOTE_MAX], want[64];
	enum scalar_fault fault;
	uint64_t value;

	if (node->kind == NODE_SCALAR && strcmp(node->text, "auto") == 0)
		return;
	snprintf(want, sizeof(want), "auto, or a whole number 1 to %d", SLUICE_MAX_WORKERS);
	fault = scalar_uint(node, &value);
	if (fault == SCALAR_TYPE)
		schema_wrong_type(reporter, field->key, node, want);
	else if (fault == SCALAR_RANGE || value < 1 || value > SLUICE_MAX_WORKERS)
		report_error(reporter, node->place, "%s %s is out of range, want %s", field->key,
			     report_quote(quoted, node->text), want);
	else
		*(uint32_t *)values_at(object, field) = (uint32_t)value;
}

void values_read_listen_address(struct reporter *reporter, const struct schema_field *field,
				const struct node *node, void *object)
{
	const char *text = values_text(reporter, field, node);
	char quoted[REPORT_QUOTE_MAX];
	struct addr addr;
	int err;

	if (!text)
		return;
	report_quote(quoted, text);
	err = addr_parse(&addr, text);
	if (err == -ERANGE)
		report_error(reporter, node->place, "address %s has a bad port, want 1 to 65535",
			     quoted);
	else if (err)
		report_error(reporter, node->place,
			     "bad address %s, want an IP address and port such as \"[::]:443\" "
			     "or 192.0.2.1:443",
			     quoted);
	else if (addr_port(&addr) == 0)
		report_error(reporter, node->place, "address %s has port 0, want 1 to 65535",
			     quoted);
	else
		*(struct addr *)values_at(object, field) = addr;
}

/* RFC 1123: labels of letters, digits and inner hyphens; _ as well, since names with it exist. */
bool values_is_host_name(const char *name, size_t len)
{
	size_t label = 0;
	bool letters = false;

	if (len && name[len - 1] == '.')
		len--;
	if (!len || len > VALUES_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '.') {
			if (!label || name[i - 1] == '-')
				return false;
			label = 0;
			letters = false;
			continue;
		}
		if (!(isascii(c) && isalnum(c)) && c != '_' && (c != '-' || !label))
			return false;
		letters |= !isdigit(c);
		if (++label > VALUES_LABEL_MAX)
			return false;
	}
	/* a last label of digits is an IPv4 address gone wrong */
	return label && name[len - 1] != '-' && letters;
}

/* Digits after the last colon. 0, or -ERANGE. */
static int values_port(const char *digits, uint16_t *port)
{
	unsigned long value = 0;

	if (!*digits)
		return -ERANGE;
	for (; *digits; digits++) {
		if (!isascii((unsigned char)*digits) || !isdigit((unsigned char)*digits))
			return -ERANGE;
		value = value * 10 + (unsigned long)(*digits - '0');
		if (value > 65535)
			return -ERANGE;
	}
	*port = (uint16_t)value;
	return 0;
}

/* Why text is no backend address, or NULL with host (malloced), port and maybe address filled. */
static const char *values_backend(const char *text, struct config_backend *backend,
				  bool *no_memory)
{
	const char *colon = strrchr(text, ':');
	char ip[ADDR_TEXT_MAX];
	struct addr addr;
	uint16_t port;
	int err = addr_parse(&addr, text);

	if (err == -ERANGE)
		return "has a bad port, want 1 to 65535";
	if (err == 0) {
		if (addr_port(&addr) == 0)
			return "has port 0, want 1 to 65535";
		if (addr_is_any(&addr))
			return "is no address to connect to, want a server's address";
		backend->address = addr;
		backend->port = addr_port(&addr);
		backend->host = strdup(addr_format_ip(&addr, ip, sizeof(ip)));
		*no_memory = !backend->host;
		return NULL;
	}
	if (!colon)
		return "has no port, want address:port such as 192.0.2.11:50051";
	if (!values_is_host_name(text, (size_t)(colon - text)))
		return "is a bad address, want 192.0.2.11:50051, \"[2001:db8::11]:50051\" or "
		       "name.example:50051";
	if (values_port(colon + 1, &port))
		return "has a bad port, want 1 to 65535";
	if (!port)
		return "has port 0, want 1 to 65535";
	backend->host = strndup(text, (size_t)(colon - text));
	for (char *c = backend->host; c && *c; c++) /* equal names are equal bytes */
		*c = (char)tolower((unsigned char)*c);
	backend->port = port;
	backend->is_name = true;
	*no_memory = !backend->host;
	return NULL;
}

void values_read_backend_address(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, void *object)
{
	struct config_backend *backend = values_at(object, field);
	const char *text = values_text(reporter, field, node), *wrong;
	char quoted[REPORT_QUOTE_MAX];
	bool no_memory = false;

	if (!text)
		return;
	wrong = values_backend(text, backend, &no_memory);
	if (wrong)
		report_error(reporter, node->place, "address %s %s", report_quote(quoted, text),
			     wrong);
	if (no_memory)
		report_no_memory(reporter);
}

static bool values_read_prefix(struct reporter *reporter, const struct node *node,
			       struct prefix *prefix)
{
	char quoted[REPORT_QUOTE_MAX];

	if (node->kind == NODE_BROKEN)
		return false;
	if (node->kind != NODE_SCALAR || scalar_is_null(node)) {
		schema_wrong_type(reporter, "prefix", node,
				  "a prefix such as 203.0.113.0/24 (in quotes, where it ends in "
				  "a colon)");
		return false;
	}
	report_quote(quoted, node->text);
	switch (prefix_parse(prefix, node->text)) {
	case 0:
		return true;
	case -ERANGE:
		report_error(reporter, node->place,
			     "prefix %s has a bad length, want 0 to 32 for IPv4 and 0 to 128 for "
			     "IPv6",
			     quoted);
		return false;
	case -EDOM:
		report_error(reporter, node->place,
			     "prefix %s has bits set behind its length, want them 0", quoted);
		return false;
	default:
		report_error(reporter, node->place,
			     "bad prefix %s, want one such as 203.0.113.0/24 or 2001:db8::/48",
			     quoted);
		return false;
	}
}

void values_read_prefixes(struct reporter *reporter, const struct schema_field *field,
			  const struct node *node, void *object)
{
	struct prefix **items = values_at(object, field);
	size_t *count = values_count(object, field);
	bool one = field->flags & SCHEMA_OR_ONE && node->kind == NODE_SCALAR;
	size_t n = one ? 1 : node->n_children;
	const struct node *item;

	if (!one && node->kind != NODE_SEQUENCE) {
		schema_wrong_type(reporter, field->key, node,
				  "a sequence of prefixes: [203.0.113.0/24]");
		return;
	}
	if (n > field->max) {
		report_error(reporter, node->place, "%s has %zu prefixes, want at most %zu",
			     field->key, n, (size_t)field->max);
		return;
	}
	if (!n)
		return;
	*items = calloc(n, sizeof(**items));
	if (!*items) {
		report_no_memory(reporter);
		return;
	}
	for (item = one ? node : node->children; n--; item = item->next)
		if (values_read_prefix(reporter, item, &(*items)[*count]))
			(*count)++;
}

void values_read_acl_files(struct reporter *reporter, const struct schema_field *field,
			   const struct node *node, void *object)
{
	struct config_acl_file **items = values_at(object, field);
	size_t *count = values_count(object, field);
	const struct node *item;

	if (node->kind != NODE_SEQUENCE) {
		schema_wrong_type(reporter, field->key, node,
				  "a sequence of files: [/etc/sluice/acl/list.txt]");
		return;
	}
	if (node->n_children > field->max) {
		report_error(reporter, node->place, "%s has %zu files, want at most %zu",
			     field->key, node->n_children, (size_t)field->max);
		return;
	}
	if (!node->n_children)
		return;
	*items = calloc(node->n_children, sizeof(**items));
	if (!*items) {
		report_no_memory(reporter);
		return;
	}
	node_for_each(item, node) {
		const struct schema_field one = { field->key, SCHEMA_TEXT,
						  .example = "/etc/sluice/acl/list.txt" };
		const char *path = values_text(reporter, &one, item);
		struct config_acl_file *file = &(*items)[*count];

		if (path && !*path)
			report_error(reporter, item->place, "%s \"\" is empty, want a file's path",
				     field->key);
		if (!path || !*path)
			continue;
		file->path = values_copy(reporter, path, false);
		file->place = item->place;
		*count += file->path != NULL;
	}
}

void values_read_group_reference(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, void *object)
{
	values_text(reporter, field, node);
}

const char *values_check_name(const char *text)
{
	size_t len = strlen(text);

	if (!len || len > VALUES_NAME_MAX)
		return "is empty or too long, want 1 to 39 characters";
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (!(isascii(c) && isalnum(c)) && !strchr("._-", c))
			return "has a character that names cannot have, want letters, digits, "
			       "., _ and - only";
	}
	return NULL;
}

const char *values_check_path(const char *text)
{
	return text[0] == '/' ? NULL : "is no absolute path, want one that begins with /";
}

const char *values_check_socket(const char *text)
{
	if (strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return "is too long for a socket, want at most 107 characters";
	return values_check_path(text);
}

const char *values_check_file(const char *text)
{
	return *text ? NULL : "is empty, want the path of a PEM file";
}

const char *values_check_interface(const char *text)
{
	size_t len = strlen(text);

	if (!len || len >= IFNAMSIZ || strpbrk(text, "/: \t"))
		return "cannot be an interface, want a name of 1 to 15 characters such as eth0";
	return NULL;
}

const char *values_check_user(const char *text)
{
	if (!*text || strpbrk(text, ":/ \t"))
		return "cannot be a name, want one such as sluice";
	return NULL;
}

const char *values_check_method_path(const char *text)
{
	const char *slash;

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return "has a character that paths cannot have, want "
			       "/package.Service/Method";
	if (text[0] != '/' || strlen(text) > HEALTH_SERVICE_MAX)
		return "is no method path, want /package.Service/Method";
	slash = strchr(text + 1, '/');
	if (!slash || slash == text + 1 || !slash[1])
		return "is no method path, want /package.Service/Method";
	return NULL;
}

const char *values_check_service(const char *text)
{
	return strlen(text) <= HEALTH_SERVICE_MAX ? NULL :
						    "is too long, want at most 255 characters";
}
