/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stray.h - the limit for what comes to a listener's address and belongs to no connection: other
 * protocols, later fragments, SYNs to other ports, segments of connections that nobody has. Called by
 * the gate, only where the limit is set.
 */
#ifndef SLUICE_BPF_STRAY_H
#define SLUICE_BPF_STRAY_H

#include "admit.h"

#define STRAY_ICMPV6 58
#define STRAY_ND_FIRST 133 /* ICMPv6 types of neighbour discovery, RFC 4861: without them no address */
#define STRAY_ND_LAST  137 /* can be reached */
#define STRAY_ND_HOPS  255 /* with any other the stack refuses them, so nobody but neighbours can send any */

/* Is the destination a listener's address? packet->key holds it, unless ports_find made it "any". */
static __always_inline bool stray_is_to_vip(const struct packet *packet,
					    const struct sluice_switches *on)
{
	struct sluice_vip_key key;

	if (on->vip_any & (packet->ipv4 ? 1 : 2))
		return true;
	__builtin_memcpy(key.address, packet->destination, sizeof(key.address));
	return bpf_map_lookup_elem(&vips, &key);
}

static __always_inline bool stray_is_discovery(struct xdp_md *ctx, const struct packet *packet)
{
	__u32 hops_at = packet->l3_offset + __builtin_offsetof(struct ipv6hdr, hop_limit);
	__u8 type, hops;

	return !packet->ipv4 && packet->protocol == STRAY_ICMPV6 &&
	       !bpf_xdp_load_bytes(ctx, packet->l4_offset, &type, sizeof(type)) &&
	       type >= STRAY_ND_FIRST && type <= STRAY_ND_LAST &&
	       !bpf_xdp_load_bytes(ctx, hops_at, &hops, sizeof(hops)) && hops == STRAY_ND_HOPS;
}

/* False: over the limit. Verified by itself. */
__noinline bool stray_admits(struct xdp_md *ctx, const struct packet *packet,
			     const struct sluice_switches *on)
{
	struct sluice_stray_key key;
	__u64 tat_ns;
	bool taken;

	if (!packet || !on || !stray_is_to_vip(packet, on) || stray_is_discovery(ctx, packet))
		return true;
	source_of(key.address, packet->source, packet->ipv4, on->v4_prefix, on->v6_prefix);
	taken = admit_take(&strays, &key, bpf_ktime_get_ns(), on->stray_interval_ns,
			   on->stray_tolerance_ns, &tat_ns);
	TRACE(SLUICE_TRACE_STRAY, stray_tat_ns = tat_ns);
	return taken;
}

#endif
