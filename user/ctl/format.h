/* SPDX-License-Identifier: MIT */
/*
 * format.h - numbers as people read them. Pure; each writes into text and returns it.
 */
#ifndef SLUICE_CTL_FORMAT_H
#define SLUICE_CTL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_MAX 64

/* "1,234,567" */
const char *format_count(uint64_t count, char *text, size_t size);
/* "512 B", "1.5 KiB", "20 GiB" */
const char *format_bytes(uint64_t bytes, char *text, size_t size);
/* "0.4s", "12s", "3m05s", "2h10m", "5d03h" */
const char *format_seconds(double seconds, char *text, size_t size);

#endif
