/* SPDX-License-Identifier: MIT */
/*
 * config_hooks.h - the checks that config_load takes from here: certificates by OpenSSL, regular
 * expressions by PCRE2.
 */
#ifndef SLUICE_PROXY_CONFIG_HOOKS_H
#define SLUICE_PROXY_CONFIG_HOOKS_H

#include "config/config.h"

extern const struct config_hooks config_hooks;

#endif
