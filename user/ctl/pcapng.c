/* SPDX-License-Identifier: MIT */
/*
 * pcapng.c - see pcapng.h. Called by capture.c. All numbers are in this machine's byte order, as the
 * format allows: the section's magic tells which.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/pcapng.h"
#include "sluice/abi.h"

enum { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6 };
enum { OPTION_END = 0, OPTION_COMMENT = 1 };
enum { SECTION_APPLICATION = 4 };
enum { INTERFACE_NAME = 2, INTERFACE_TIME_RESOLUTION = 9 };
#define SECTION_MAGIC 0x1a2b3c4d
#define LINK_ETHERNET 1
#define TIME_NS	      9 /* a power of ten */

#define BLOCK_MAX 2048

struct pcapng_interface {
	uint32_t ifindex;
	char name[16];
};

/* A block in the making: type and length are put around it at its end. */
struct block {
	uint32_t len;
	uint8_t bytes[BLOCK_MAX];
};

static void put(struct block *block, const void *bytes, uint32_t len)
{
	uint32_t padded = (len + 3) / 4 * 4;

	if (block->len + padded > BLOCK_MAX) /* no caller's block is so long */
		abort();
	memcpy(block->bytes + block->len, bytes, len);
	memset(block->bytes + block->len + len, 0, padded - len);
	block->len += padded;
}

static void put32(struct block *block, uint32_t value)
{
	put(block, &value, sizeof(value));
}

static void put16x2(struct block *block, uint16_t first, uint16_t second)
{
	uint16_t both[2] = { first, second };

	put(block, both, sizeof(both));
}

static void put_option(struct block *block, uint16_t code, const void *bytes, size_t len)
{
	if (len > 512)
		len = 512;
	put16x2(block, code, (uint16_t)len);
	put(block, bytes, (uint32_t)len);
}

static int write_block(struct pcapng *pcapng, uint32_t type, const struct block *block)
{
	uint32_t total = block->len + 12, head[2] = { type, total };

	if (fwrite(head, sizeof(head), 1, pcapng->file) != 1 ||
	    fwrite(block->bytes, block->len, 1, pcapng->file) != 1 ||
	    fwrite(&total, sizeof(total), 1, pcapng->file) != 1)
		return errno ? -errno : -EIO;
	return 0;
}

int pcapng_begin(struct pcapng *pcapng, FILE *file, const char *application)
{
	struct block block = { 0 };

	*pcapng = (struct pcapng){ .file = file };
	put32(&block, SECTION_MAGIC);
	put16x2(&block, 1, 0); /* version */
	put32(&block, UINT32_MAX); /* the section's length: not known */
	put32(&block, UINT32_MAX);
	put_option(&block, SECTION_APPLICATION, application, strlen(application));
	put32(&block, OPTION_END);
	return write_block(pcapng, BLOCK_SECTION, &block);
}

static int add_interface(struct pcapng *pcapng, const struct pcapng_packet *packet)
{
	const uint8_t resolution = TIME_NS;
	struct pcapng_interface *more, *added;
	struct block block = { 0 };

	more = realloc(pcapng->interfaces, (pcapng->n_interfaces + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	pcapng->interfaces = more;
	added = &more[pcapng->n_interfaces++];
	added->ifindex = packet->ifindex;
	if (packet->interface)
		snprintf(added->name, sizeof(added->name), "%s", packet->interface);
	else
		snprintf(added->name, sizeof(added->name), "if%u", packet->ifindex);
	put16x2(&block, LINK_ETHERNET, 0);
	put32(&block, SLUICE_EVENT_SNAP);
	put_option(&block, INTERFACE_NAME, added->name, strlen(added->name));
	put_option(&block, INTERFACE_TIME_RESOLUTION, &resolution, 1);
	put32(&block, OPTION_END);
	return write_block(pcapng, BLOCK_INTERFACE, &block);
}

int pcapng_write(struct pcapng *pcapng, const struct pcapng_packet *packet)
{
	struct block block = { 0 };
	uint32_t at = 0;
	int ret;

	if (packet->len > SLUICE_EVENT_SNAP)
		return -EMSGSIZE;
	while (at < pcapng->n_interfaces && pcapng->interfaces[at].ifindex != packet->ifindex)
		at++;
	if (at == pcapng->n_interfaces) {
		ret = add_interface(pcapng, packet);
		if (ret)
			return ret;
	}
	put32(&block, at);
	put32(&block, (uint32_t)(packet->time_ns >> 32));
	put32(&block, (uint32_t)packet->time_ns);
	put32(&block, packet->len);
	put32(&block, packet->wire_bytes);
	put(&block, packet->bytes, packet->len);
	put_option(&block, OPTION_COMMENT, packet->comment, strlen(packet->comment));
	put32(&block, OPTION_END);
	return write_block(pcapng, BLOCK_PACKET, &block);
}

void pcapng_done(struct pcapng *pcapng)
{
	free(pcapng->interfaces);
	pcapng->interfaces = NULL;
}
