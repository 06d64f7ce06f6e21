/* SPDX-License-Identifier: MIT */
/*
 * fault.c - the allocators the linker puts in front of the real ones in unit tests. Fails what
 * fault_start asked for, else passes everything on.
 */
#include "fault.h"

#include <errno.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *str);
char *__real_strndup(const char *str, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *str);
char *__wrap_strndup(const char *str, size_t n);

static struct {
	bool armed, all, hit;
	unsigned nth, count;
} fault;

static void start(unsigned nth, bool all)
{
	fault.armed = true;
	fault.all = all;
	fault.hit = false;
	fault.nth = nth;
	fault.count = 0;
}

void fault_start(unsigned nth)
{
	start(nth, false);
}

void fault_start_all(unsigned nth)
{
	start(nth, true);
}

void fault_stop(void)
{
	fault.armed = false;
}

bool fault_hit(void)
{
	return fault.hit;
}

unsigned fault_count(void)
{
	return fault.count;
}

static bool fails(void)
{
	unsigned at;

	if (!fault.armed)
		return false;
	at = fault.count++;
	if (at != fault.nth && !(fault.all && at > fault.nth))
		return false;
	fault.hit = true;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *str)
{
	return fails() ? NULL : __real_strdup(str);
}

char *__wrap_strndup(const char *str, size_t n)
{
	return fails() ? NULL : __real_strndup(str, n);
}
