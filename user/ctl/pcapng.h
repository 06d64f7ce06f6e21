/* SPDX-License-Identifier: MIT */
/*
 * pcapng.h - writes packets as a pcapng file (draft-ietf-opsawg-pcapng), which tcpdump and Wireshark
 * read: one section, an interface description for each interface when it is first seen, nanoseconds.
 */
#ifndef SLUICE_CTL_PCAPNG_H
#define SLUICE_CTL_PCAPNG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct pcapng {
	FILE *file; /* the caller's */
	struct pcapng_interface *interfaces;
	size_t n_interfaces;
};

struct pcapng_packet {
	uint32_t ifindex;
	const char *interface; /* its name, or NULL */
	uint64_t time_ns;      /* since 1970 */
	const void *bytes;     /* an Ethernet frame, the first of its bytes */
	uint32_t len;
	uint32_t wire_bytes; /* how long it was */
	const char *comment;
};

/* Writes the section's header. 0 or -errno, as the next. */
int pcapng_begin(struct pcapng *pcapng, FILE *file, const char *application);
int pcapng_write(struct pcapng *pcapng, const struct pcapng_packet *packet);
/* Frees what it holds; writes nothing. */
void pcapng_done(struct pcapng *pcapng);

#endif
