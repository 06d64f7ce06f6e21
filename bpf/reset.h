/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reset.h - answers a SYN with the RST that RFC 9293 3.10.7.1 prescribes for a closed port:
 * <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. Called by the gate, which then returns XDP_TX.
 */
#ifndef SLUICE_BPF_RESET_H
#define SLUICE_BPF_RESET_H

#include "answer.h"

/* False: no RST can be sent, and the frame is as it was. */
static __always_inline bool reset_make(struct xdp_md *ctx, const struct packet *packet)
{
	__u32 data_bytes = packet->l4_bytes - packet->header_bytes;
	struct answer answer = {};

	/* SYN takes a sequence number; FIN beside it was refused before. */
	answer.tcp.ack_seq = bpf_htonl(bpf_ntohl(packet->sequence) + data_bytes + 1);
	answer.tcp.doff = sizeof(answer.tcp) / 4;
	answer.tcp.rst = 1;
	answer.tcp.ack = 1;
	return answer_make(ctx, packet, &answer);
}

#endif
