/* SPDX-License-Identifier: MIT */
/*
 * addr.c - socket addresses and prefixes: parse, print, compare. Used by everyone, from the
 * config to the access log. Accepts numbers only and never asks a resolver; an IPv4-mapped IPv6
 * address is the IPv4 address everywhere here.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_head[12] = { [10] = 0xff, [11] = 0xff };

/* Decimal digits only, no sign, no blanks, no leading zeros beyond "0". */
static int parse_number(const char *text, unsigned long max, unsigned long *ret)
{
	unsigned long value = 0;
	const char *c;

	if (!*text || (text[0] == '0' && text[1]))
		return -ERANGE;
	for (c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -ERANGE;
		value = value * 10 + (unsigned long)(*c - '0');
		if (value > max)
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

static void from_v4(struct addr *addr, const void *bytes, uint16_t port)
{
	memset(addr, 0, sizeof(*addr));
	addr->v4.sin_family = AF_INET;
	addr->v4.sin_port = htons(port);
	memcpy(&addr->v4.sin_addr, bytes, 4);
	addr->len = sizeof(addr->v4);
}

static void from_v6(struct addr *addr, const void *bytes, uint16_t port, uint32_t scope)
{
	memset(addr, 0, sizeof(*addr));
	addr->v6.sin6_family = AF_INET6;
	addr->v6.sin6_port = htons(port);
	memcpy(&addr->v6.sin6_addr, bytes, 16);
	addr->v6.sin6_scope_id = scope;
	addr->len = sizeof(addr->v6);
}

static int parse_scope(const char *text, uint32_t *ret)
{
	unsigned long number;

	if (parse_number(text, UINT32_MAX, &number) == 0)
		*ret = (uint32_t)number;
	else
		*ret = if_nametoindex(text);
	return *ret ? 0 : -EINVAL;
}

int addr_from_ip(struct addr *addr, const char *ip, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];
	const char *percent = strchr(ip, '%');
	size_t length = percent ? (size_t)(percent - ip) : strlen(ip);
	uint8_t bytes[16];
	uint32_t scope = 0;

	if (length >= sizeof(text))
		return -EINVAL;
	memcpy(text, ip, length);
	text[length] = '\0';

	if (!percent && inet_pton(AF_INET, text, bytes) == 1) {
		from_v4(addr, bytes, port);
		return 0;
	}
	if (inet_pton(AF_INET6, text, bytes) != 1)
		return -EINVAL;
	if (percent && parse_scope(percent + 1, &scope) < 0)
		return -EINVAL;
	from_v6(addr, bytes, port, scope);
	return 0;
}

int addr_parse(struct addr *addr, const char *text)
{
	char ip[ADDR_TEXT_MAX];
	const char *end, *begin = text;
	struct addr parsed;
	unsigned long port;

	if (text[0] == '[') {
		begin = text + 1;
		end = strchr(begin, ']');
		if (!end)
			return -EINVAL;
	} else {
		end = strchrnul(text, ':');
	}
	if ((size_t)(end - begin) >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, begin, (size_t)(end - begin));
	ip[end - begin] = '\0';

	if (addr_from_ip(&parsed, ip, 0) < 0)
		return -EINVAL;
	/* Brackets are for IPv6, and only for it. */
	if ((text[0] == '[') != (parsed.sa.sa_family == AF_INET6))
		return -EINVAL;
	if (*end == ']')
		end++;
	if (*end != ':' || parse_number(end + 1, UINT16_MAX, &port) < 0)
		return -ERANGE;
	addr_set_port(&parsed, (uint16_t)port);
	*addr = parsed;
	return 0;
}

void addr_from_mapped(struct addr *addr, const uint8_t bytes[16], uint16_t port)
{
	if (memcmp(bytes, mapped_head, sizeof(mapped_head)) == 0)
		from_v4(addr, bytes + 12, port);
	else
		from_v6(addr, bytes, port, 0);
}

void addr_to_mapped(const struct addr *addr, uint8_t bytes[16])
{
	if (addr->sa.sa_family == AF_INET) {
		memcpy(bytes, mapped_head, sizeof(mapped_head));
		memcpy(bytes + 12, &addr->v4.sin_addr, 4);
	} else if (addr->sa.sa_family == AF_INET6) {
		memcpy(bytes, &addr->v6.sin6_addr, 16);
	} else {
		memset(bytes, 0, 16);
	}
}

uint16_t addr_port(const struct addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return ntohs(addr->v4.sin_port);
	if (addr->sa.sa_family == AF_INET6)
		return ntohs(addr->v6.sin6_port);
	return 0;
}

void addr_set_port(struct addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET)
		addr->v4.sin_port = htons(port);
	else if (addr->sa.sa_family == AF_INET6)
		addr->v6.sin6_port = htons(port);
}

static uint32_t addr_scope(const struct addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? addr->v6.sin6_scope_id : 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	uint8_t bytes_a[16], bytes_b[16];

	addr_to_mapped(a, bytes_a);
	addr_to_mapped(b, bytes_b);
	return memcmp(bytes_a, bytes_b, 16) == 0 && addr_port(a) == addr_port(b) &&
	       addr_scope(a) == addr_scope(b);
}

bool addr_is_any(const struct addr *addr)
{
	static const uint8_t zero[16];
	uint8_t bytes[16];

	addr_to_mapped(addr, bytes);
	if (memcmp(bytes, mapped_head, sizeof(mapped_head)) == 0)
		return memcmp(bytes + 12, zero, 4) == 0;
	return memcmp(bytes, zero, 16) == 0;
}

const char *addr_format_ip(const struct addr *addr, char *text, size_t size)
{
	char ip[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
	uint32_t scope = addr_scope(addr);
	uint8_t bytes[16];

	addr_to_mapped(addr, bytes);
	if (memcmp(bytes, mapped_head, sizeof(mapped_head)) == 0)
		inet_ntop(AF_INET, bytes + 12, ip, sizeof(ip));
	else
		inet_ntop(AF_INET6, bytes, ip, sizeof(ip));

	if (!scope)
		snprintf(text, size, "%s", ip);
	else if (if_indextoname(scope, name))
		snprintf(text, size, "%s%%%s", ip, name);
	else
		snprintf(text, size, "%s%%%u", ip, scope);
	return text;
}

const char *addr_format(const struct addr *addr, char *text, size_t size)
{
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(addr, ip, sizeof(ip));
	snprintf(text, size, strchr(ip, ':') ? "[%.70s]:%u" : "%.70s:%u", ip, addr_port(addr));
	return text;
}

/* Are the first bits of a and b equal? */
static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return !rest || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

static bool bits_clear_after(const uint8_t *bytes, unsigned size, unsigned bits)
{
	unsigned i;

	for (i = bits; i < size * 8; i++)
		if (bytes[i / 8] & (0x80u >> (i % 8)))
			return false;
	return true;
}

int prefix_parse(struct prefix *prefix, const char *text)
{
	const char *slash = strchrnul(text, '/');
	struct prefix parsed = { .family = AF_INET };
	char ip[INET6_ADDRSTRLEN];
	unsigned long max = 32, len;

	if ((size_t)(slash - text) >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, (size_t)(slash - text));
	ip[slash - text] = '\0';

	if (inet_pton(AF_INET, ip, parsed.bytes) != 1) {
		if (inet_pton(AF_INET6, ip, parsed.bytes) != 1)
			return -EINVAL;
		parsed.family = AF_INET6;
		max = 128;
	}
	len = max;
	if (*slash && parse_number(slash + 1, max, &len) < 0)
		return -ERANGE;
	if (!bits_clear_after(parsed.bytes, (unsigned)max / 8, (unsigned)len))
		return -EDOM;
	if (parsed.family == AF_INET6 && len >= 96 &&
	    memcmp(parsed.bytes, mapped_head, sizeof(mapped_head)) == 0) {
		memmove(parsed.bytes, parsed.bytes + 12, 4);
		memset(parsed.bytes + 4, 0, 12);
		parsed.family = AF_INET;
		len -= 96;
	}
	parsed.len = (uint8_t)len;
	*prefix = parsed;
	return 0;
}

const char *prefix_format(const struct prefix *prefix, char *text, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "";

	inet_ntop(prefix->family, prefix->bytes, ip, sizeof(ip));
	snprintf(text, size, "%s/%u", ip, prefix->len);
	return text;
}

bool prefix_contains(const struct prefix *prefix, const struct addr *addr)
{
	uint8_t bytes[16];
	bool v4;

	if (addr->sa.sa_family != AF_INET && addr->sa.sa_family != AF_INET6)
		return false;
	addr_to_mapped(addr, bytes);
	v4 = memcmp(bytes, mapped_head, sizeof(mapped_head)) == 0;
	if (v4 != (prefix->family == AF_INET))
		return false;
	return bits_equal(prefix->bytes, v4 ? bytes + 12 : bytes, prefix->len);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->family == b->family &&
	       bits_equal(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
}
