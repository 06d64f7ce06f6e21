/* SPDX-License-Identifier: MIT */
/*
 * fuzz_base.c - what takes text from outside in base/: addresses and prefixes read back what they
 * print, and a log record is one clean line whatever its values are.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void addr_round_trip(const char *text)
{
	char printed[ADDR_TEXT_MAX];
	struct addr first, second;

	if (addr_parse(&first, text) != 0)
		return;
	addr_format(&first, printed, sizeof(printed));
	require(addr_parse(&second, printed) == 0 && addr_equal(&first, &second));
}

static void prefix_round_trip(const char *text)
{
	char printed[ADDR_TEXT_MAX];
	struct prefix first, second;

	if (prefix_parse(&first, text) != 0)
		return;
	prefix_format(&first, printed, sizeof(printed));
	require(prefix_parse(&second, printed) == 0 && memcmp(&first, &second, sizeof(first)) == 0);
}

static void log_line(const char *text, enum log_format format)
{
	static int memory = -1;
	char line[LOG_LINE_MAX + 1];
	int saved = dup(STDERR_FILENO);
	ssize_t n, i;

	if (memory < 0)
		memory = memfd_create("log", MFD_CLOEXEC);
	require(ftruncate(memory, 0) == 0 && lseek(memory, 0, SEEK_SET) == 0);
	dup2(memory, STDERR_FILENO);
	log_init("fuzz", LOG_DEBUG, format);
	log_info(text, F_STR("value", text), F_INT("number", -1), F_STR("again", text));
	dup2(saved, STDERR_FILENO);
	close(saved);

	n = pread(memory, line, sizeof(line), 0);
	require(n > 1 && n <= LOG_LINE_MAX && line[n - 1] == '\n');
	for (i = 0; i < n - 1; i++)
		require((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
	if (format == LOG_JSON)
		require(line[0] == '{' && line[n - 2] == '}');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	addr_round_trip(text);
	prefix_round_trip(text);
	log_line(text, LOG_TEXT);
	log_line(text, LOG_JSON);
	free(text);
	return 0;
}
