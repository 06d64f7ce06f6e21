/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * source.h - what a source is, in BPF and in user space alike: the first address of a prefix, and the
 * hash that finds it in source_states. Pure; no helper is called.
 */
#ifndef SLUICE_SOURCE_H
#define SLUICE_SOURCE_H

#include <linux/types.h>

#include "abi.h"

#define SOURCE_INLINE static inline __attribute__((always_inline))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define SOURCE_BE32(x) __builtin_bswap32(x)
#else
#define SOURCE_BE32(x) (x)
#endif

SOURCE_INLINE __u32 source_keep_bits(__u32 word, int bits)
{
	if (bits <= 0)
		return 0;
	return bits >= 32 ? word : word & SOURCE_BE32(~0u << (32 - bits));
}

/* The source that an address (mapped, network order) belongs to. */
SOURCE_INLINE void source_of(__u32 source[4], const __u32 address[4], int ipv4, __u8 v4_prefix,
			     __u8 v6_prefix)
{
	if (ipv4) {
		source[0] = 0;
		source[1] = 0;
		source[2] = address[2];
		source[3] = source_keep_bits(address[3], v4_prefix);
		return;
	}
	source[0] = source_keep_bits(address[0], v6_prefix);
	source[1] = source_keep_bits(address[1], v6_prefix - 32);
	source[2] = source_keep_bits(address[2], v6_prefix - 64);
	source[3] = source_keep_bits(address[3], v6_prefix - 96);
}

/*
 * Multilinear hashing with half the multiplications (Lemire and Kaser, "Strongly universal string
 * hashing is fast", 2012): for a random key nobody who does not know it can find addresses that
 * collide more than chance has it. The upper half is the tag, the lower chooses the set.
 */
SOURCE_INLINE __u64 source_hash(const __u32 source[4], const __u64 key[3])
{
	__u64 sum = key[0];

	sum += ((__u32)key[1] + (__u64)source[0]) * ((key[1] >> 32) + (__u64)source[1]);
	sum += ((__u32)key[2] + (__u64)source[2]) * ((key[2] >> 32) + (__u64)source[3]);
	/* The lower bits of such a sum are not universal: spread the upper ones over them. */
	sum ^= sum >> 32;
	sum *= 0x9e3779b97f4a7c15ull;
	sum ^= sum >> 29;
	return sum;
}

SOURCE_INLINE __u32 source_tag(__u64 hash)
{
	__u32 tag = hash >> 32;

	return tag ? tag : 1;
}

#endif
