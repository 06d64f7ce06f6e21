/* SPDX-License-Identifier: MIT */
/*
 * config_hooks.c - see config_hooks.h.
 */
#include "proxy/config_hooks.h"

#include "proxy/route_regex.h"
#include "proxy/tls_check.h"

const struct config_hooks config_hooks = {
	.check_certificate = tls_check_certificate,
	.key_type = tls_check_key_type,
	.check_ca = tls_check_ca,
	.check_regex = route_regex_check,
};
