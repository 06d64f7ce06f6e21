/* SPDX-License-Identifier: MIT */
/*
 * addr.h - socket addresses and prefixes: parse, print, compare. Numbers only; names are the
 * resolver's.
 */
#ifndef SLUICE_BASE_ADDR_H
#define SLUICE_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

/* "[xxxx:...%scope]:65535" and a NUL. */
#define ADDR_TEXT_MAX 80

/* "192.0.2.1:443" or "[2001:db8::1]:443". 0; -EINVAL for the address, -ERANGE for the port (port
 * 0 is parsed: whoever calls decides). addr is untouched on failure. */
int addr_parse(struct addr *addr, const char *text);
/* From an IP without port ("192.0.2.1", "2001:db8::1") and a port in host order. */
int addr_from_ip(struct addr *addr, const char *ip, uint16_t port);
/* From 16 bytes in network order as the maps hold them (IPv4 mapped) and a port in host order. */
void addr_from_mapped(struct addr *addr, const uint8_t bytes[16], uint16_t port);
void addr_to_mapped(const struct addr *addr, uint8_t bytes[16]);
uint16_t addr_port(const struct addr *addr); /* host order */
void addr_set_port(struct addr *addr, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_any(const struct addr *addr);
/* Writes into text (size ≥ ADDR_TEXT_MAX) and returns it. IPv4-mapped prints as IPv4. */
const char *addr_format(const struct addr *addr, char *text, size_t size);
/* The same without the port and brackets. */
const char *addr_format_ip(const struct addr *addr, char *text, size_t size);

struct prefix {
	uint8_t bytes[16]; /* network order; IPv4 in the first 4 */
	uint8_t family;	   /* AF_INET, AF_INET6 */
	uint8_t len;	   /* 0..32 or 0..128 */
};

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. 0; -EINVAL for the address, -ERANGE for
 * the length, -EDOM where bits behind the length are set. */
int prefix_parse(struct prefix *prefix, const char *text);
const char *prefix_format(const struct prefix *prefix, char *text, size_t size);
bool prefix_contains(const struct prefix *prefix, const struct addr *addr);
/* Whether they have an address in common: one contains the other. */
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);

#endif
