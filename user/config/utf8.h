/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - is a file text? Checked before libyaml sees it, so that the message names the place.
 */
#ifndef SLUICE_CONFIG_UTF8_H
#define SLUICE_CONFIG_UTF8_H

#include "config/config.h"

/* Length of the well-formed sequence at bytes, 0 where there is none. */
size_t utf8_sequence(const uint8_t *bytes, size_t len);

enum utf8_fault { UTF8_OK, UTF8_MALFORMED, UTF8_CONTROL };

/* The first byte that is not UTF-8 (RFC 3629), or that begins a control character other than tab
 * and line ends, with its place (columns count characters). */
enum utf8_fault utf8_check(const uint8_t *bytes, size_t len, struct config_place *place,
			   uint8_t *byte);

#endif
