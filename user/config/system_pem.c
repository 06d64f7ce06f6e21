/* SPDX-License-Identifier: MIT */
/*
 * system_pem.c - the part of system.h that is about certificates, keys and CAs: reads the files into
 * the config and has them checked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/bounds.h"
#include "config/file.h"
#include "config/system.h"

#define SYSTEM_PEM_MAX (1u << 20)
#define SYSTEM_WHY_MAX 256
#define SYSTEM_TYPE_MAX 32

bool system_resolve(const char *config_path, char **path)
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

/* A file's bytes, at the path that the config then has. NULL: reported. */
static uint8_t *system_read(struct reporter *reporter, const struct config *config,
			    const char *what, char **path, const struct node *node, size_t *len)
{
	uint8_t *bytes = NULL;

	if (!system_resolve(config->path, path)) {
		report_no_memory(reporter);
		return NULL;
	}
	system_read_pem(reporter, what, *path, node, &bytes, len);
	return bytes;
}

/* What a hook found in the file at path, which node names. */
static void system_report(struct reporter *reporter, int err, bool expired, const char *what,
			  const struct node *node, const char *path, const char *why)
{
	char quoted[REPORT_QUOTE_MAX];

	report_quote(quoted, path);
	if (err == -ENOMEM)
		report_no_memory(reporter);
	else if (err)
		report_error(reporter, node->place, "%s %s %s", what, quoted, why);
	else if (expired)
		report_warning(reporter, node->place, "%s %s %s", what, quoted, why);
}

static void system_check_one(struct reporter *reporter, struct config *config,
			     struct config_certificate *certificate, const struct node *node,
			     const struct config_hooks *hooks)
{
	const struct node *chain = node_get(node, "chain"), *key = node_get(node, "key");
	char why[SYSTEM_WHY_MAX] = "";
	bool expired = false;
	int err;

	if (!certificate->chain_path || !certificate->key_path || !chain || !key)
		return;
	certificate->chain_pem = system_read(reporter, config, "chain", &certificate->chain_path,
					     chain, &certificate->chain_len);
	certificate->key_pem = system_read(reporter, config, "key", &certificate->key_path, key,
					   &certificate->key_len);
	if (!certificate->chain_pem || !certificate->key_pem || !hooks->check_certificate)
		return;
	err = hooks->check_certificate(certificate->chain_pem, certificate->chain_len,
				       certificate->key_pem, certificate->key_len, why, sizeof(why),
				       &expired);
	if (err == -EKEYREJECTED)
		system_report(reporter, err, false, "key", key, certificate->key_path, why);
	else
		system_report(reporter, err, expired, "certificate", chain,
			      certificate->chain_path, why);
}

static void system_check_ca(struct reporter *reporter, const struct config *config, char **path,
			    const struct node *node, uint8_t **pem, size_t *len,
			    const struct config_hooks *hooks)
{
	char why[SYSTEM_WHY_MAX] = "";
	bool expired = false;
	int err;

	*pem = system_read(reporter, config, "ca", path, node, len);
	if (!*pem || !hooks->check_ca)
		return;
	err = hooks->check_ca(*pem, *len, why, sizeof(why), &expired);
	system_report(reporter, err, expired, "ca", node, *path, why);
}

/* A listener's certificates: one of each key type, since TLS chooses by it. node: the first. */
static void system_check_types(struct reporter *reporter, const struct config_listener *listener,
			       const struct node *node, const struct config_hooks *hooks)
{
	char types[BOUNDS_CERTIFICATES][SYSTEM_TYPE_MAX];

	if (!hooks->key_type || listener->n_certificates > BOUNDS_CERTIFICATES)
		return;
	for (size_t i = 0; i < listener->n_certificates; i++, node = node->next) {
		const struct config_certificate *certificate = &listener->certificates[i];

		if (!certificate->chain_pem ||
		    hooks->key_type(certificate->chain_pem, certificate->chain_len, types[i],
				    SYSTEM_TYPE_MAX)) {
			types[i][0] = '\0'; /* reported */
			continue;
		}
		for (size_t j = 0; j < i; j++) {
			if (strcmp(types[i], types[j]))
				continue;
			report_error(reporter, node->place,
				     "a second certificate with a key of type %s (line %u has one), "
				     "want one of each type",
				     types[i], listener->certificates[j].place.line);
			break;
		}
	}
}

static void system_check_listeners(struct reporter *reporter, struct config *config,
				   const struct node *listeners, const struct config_hooks *hooks)
{
	struct config_listener *listener = config->listeners;
	const struct node *item;

	if (!listeners || !config->n_listeners)
		return;
	node_for_each(item, listeners) {
		const struct node *first = node_get(item, "certificate"), *node;
		const struct node *ca = node_get(node_get(item, "client_certificates"), "ca");

		if (first && first->kind == NODE_SEQUENCE)
			first = first->children;
		node = first;
		for (size_t i = 0; i < listener->n_certificates; i++, node = node->next)
			system_check_one(reporter, config, &listener->certificates[i], node, hooks);
		system_check_types(reporter, listener, first, hooks);
		if (ca && listener->client_ca_path)
			system_check_ca(reporter, config, &listener->client_ca_path, ca,
					&listener->client_ca_pem, &listener->client_ca_len, hooks);
		listener++;
	}
}

/* Where the systems that sluice runs on keep them, in one file. */
static const char *const system_ca_files[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static void system_read_cas(struct reporter *reporter, struct config *config,
			    const struct node *node)
{
	const char *chosen = secure_getenv("SSL_CERT_FILE"); /* as OpenSSL's own programs */

	if (config->system_ca_pem)
		return;
	if (chosen) {
		system_read_pem(reporter, "SSL_CERT_FILE's", chosen, node, &config->system_ca_pem,
				&config->system_ca_len);
		return;
	}
	for (size_t i = 0; i < sizeof(system_ca_files) / sizeof(system_ca_files[0]); i++)
		if (!file_read(system_ca_files[i], SYSTEM_PEM_MAX, &config->system_ca_pem,
			       &config->system_ca_len))
			return;
	report_error(reporter, node->place,
		     "tls without ca, and no file of the system's CAs (%s), want for example ca: "
		     "/etc/sluice/tls/ca.pem",
		     system_ca_files[0]);
}

static void system_check_groups(struct reporter *reporter, struct config *config,
				const struct node *groups, const struct config_hooks *hooks)
{
	struct config_group *group = config->groups;
	const struct node *item;

	if (!groups || !config->n_groups)
		return;
	node_for_each(item, groups) {
		const struct node *node = node_get(item, "tls");
		struct config_upstream_tls *tls = &group->tls;

		if (tls->certificate)
			system_check_one(reporter, config, tls->certificate,
					 node_get(node, "certificate"), hooks);
		if (tls->ca_path && node_get(node, "ca"))
			system_check_ca(reporter, config, &tls->ca_path, node_get(node, "ca"),
					&tls->ca_pem, &tls->ca_len, hooks);
		else if (tls->enabled && tls->verify && !node_get(node, "ca"))
			system_read_cas(reporter, config, node);
		config_share_system_cas(config, group);
		group++;
	}
}

void system_check_pem(struct reporter *reporter, struct config *config, const struct node *root,
		      const struct config_hooks *hooks)
{
	system_check_listeners(reporter, config, node_get(root, "listeners"), hooks);
	system_check_groups(reporter, config, node_get(root, "groups"), hooks);
}
