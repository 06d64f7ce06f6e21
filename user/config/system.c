/* SPDX-License-Identifier: MIT */
/*
 * system.c - see system.h. Changes nothing on the machine.
 */
#include "config/system.h"

#include <errno.h>
#include <grp.h>
#include <net/if.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "config/file.h"

#define SYSTEM_PEM_MAX (1u << 20)
#define SYSTEM_WHY_MAX 256

typedef int system_check_certificate(const uint8_t *chain_pem, size_t chain_len,
				     const uint8_t *key_pem, size_t key_len, char *why,
				     size_t why_size, bool *expired);

/* Makes *path, of a PEM file, relative to the config's folder. False: no memory. */
static bool system_resolve(const char *config_path, char **path)
{
	const char *slash = strrchr(config_path, '/');
	size_t folder_len = slash ? (size_t)(slash - config_path) + 1 : 0;
	char *whole;

	if ((*path)[0] == '/' || !folder_len)
		return true;
	whole = malloc(folder_len + strlen(*path) + 1);
	if (!whole)
		return false;
	memcpy(whole, config_path, folder_len);
	strcpy(whole + folder_len, *path);
	free(*path);
	*path = whole;
	return true;
}

static void system_read_pem(struct reporter *reporter, const char *what, const char *path,
			    const struct node *node, uint8_t **bytes, size_t *len)
{
	char quoted[REPORT_QUOTE_MAX];
	int err = file_read(path, SYSTEM_PEM_MAX, bytes, len);

	report_quote(quoted, path);
	switch (err) {
	case 0:
		return;
	case -ENOENT:
		report_error(reporter, node->place, "%s file %s does not exist, want a PEM file",
			     what, quoted);
		return;
	case -EISDIR:
		report_error(reporter, node->place, "%s file %s is a directory, want a PEM file",
			     what, quoted);
		return;
	case -EFBIG:
		report_error(reporter, node->place,
			     "%s file %s is larger than 1 MiB, want a PEM file", what, quoted);
		return;
	case -EINVAL:
		report_error(reporter, node->place, "%s file %s is no plain file, want a PEM file",
			     what, quoted);
		return;
	case -ENOMEM:
		report_no_memory(reporter);
		return;
	default:
		report_error(reporter, node->place,
			     "%s file %s cannot be read (%s), want a readable PEM file", what,
			     quoted, strerror(-err));
	}
}

static void system_check_one(struct reporter *reporter, struct config *config,
			     struct config_certificate *certificate, const struct node *node,
			     system_check_certificate *check_certificate)
{
	const struct node *chain = node_get(node, "chain"), *key = node_get(node, "key");
	char why[SYSTEM_WHY_MAX] = "", quoted[REPORT_QUOTE_MAX];
	bool expired = false;

	if (!certificate->chain_path || !certificate->key_path || !chain || !key)
		return;
	if (!system_resolve(config->path, &certificate->chain_path) ||
	    !system_resolve(config->path, &certificate->key_path)) {
		report_no_memory(reporter);
		return;
	}
	system_read_pem(reporter, "chain", certificate->chain_path, chain, &certificate->chain_pem,
			&certificate->chain_len);
	system_read_pem(reporter, "key", certificate->key_path, key, &certificate->key_pem,
			&certificate->key_len);
	if (!certificate->chain_pem || !certificate->key_pem || !check_certificate)
		return;
	switch (check_certificate(certificate->chain_pem, certificate->chain_len,
				  certificate->key_pem, certificate->key_len, why, sizeof(why),
				  &expired)) {
	case 0:
		if (expired)
			report_warning(reporter, chain->place, "certificate %s %s",
				       report_quote(quoted, certificate->chain_path), why);
		break;
	case -ENOMEM:
		report_no_memory(reporter);
		break;
	case -EKEYREJECTED:
		report_error(reporter, key->place, "key %s %s",
			     report_quote(quoted, certificate->key_path), why);
		break;
	default:
		report_error(reporter, chain->place, "certificate %s %s",
			     report_quote(quoted, certificate->chain_path), why);
	}
}

static void system_check_certificates(struct reporter *reporter, struct config *config,
				      const struct node *listeners,
				      system_check_certificate *check_certificate)
{
	struct config_listener *listener = config->listeners;
	const struct node *item;

	if (!listeners || !config->n_listeners)
		return;
	node_for_each(item, listeners) {
		const struct node *node = node_get(item, "certificate");
		size_t n = listener->n_certificates;

		if (node && node->kind == NODE_SEQUENCE)
			node = node->children;
		for (size_t i = 0; i < n; i++, node = node->next)
			system_check_one(reporter, config, &listener->certificates[i], node,
					 check_certificate);
		listener++;
	}
}

static void system_check_interfaces(struct reporter *reporter, const struct config *config,
				    const struct node *interfaces)
{
	const struct node *item;
	char quoted[REPORT_QUOTE_MAX];
	size_t i = 0;

	if (!interfaces || !config->kernel.n_interfaces || config->kernel.mode == KERNEL_OFF)
		return;
	node_for_each(item, interfaces) {
		const char *name = config->kernel.interfaces[i++].name;
		const struct node *node = node_get(item, "name");

		if (name && node && !if_nametoindex(name))
			report_error(reporter, node->place,
				     "interface %s does not exist, want one that `ip link` shows",
				     report_quote(quoted, name));
	}
}

static void system_check_runtime(struct reporter *reporter, const struct config *config,
				 const struct node *runtime)
{
	const struct node *user = node_get(runtime, "user"), *group = node_get(runtime, "group");
	char quoted[REPORT_QUOTE_MAX];

	if (user && config->user && !getpwnam(config->user))
		report_error(reporter, user->place,
			     "user %s does not exist, want an existing one, or the key left out",
			     report_quote(quoted, config->user));
	if (group && config->group && !getgrnam(config->group))
		report_error(reporter, group->place,
			     "group %s does not exist, want an existing one, or the key left out",
			     report_quote(quoted, config->group));
}

void system_check(struct reporter *reporter, struct config *config, const struct node *root,
		  system_check_certificate *check_certificate)
{
	system_check_certificates(reporter, config, node_get(root, "listeners"),
				  check_certificate);
	system_check_interfaces(reporter, config, node_get(node_get(root, "kernel"), "interfaces"));
	system_check_runtime(reporter, config, node_get(root, "runtime"));
}
