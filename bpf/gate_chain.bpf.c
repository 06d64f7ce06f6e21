/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_chain.bpf.c - the gate as a program of libxdp's dispatcher: the same source, but that its answers
 * keep the frame's length. The dispatcher of libxdp before 1.5.5 cannot be replaced by a program
 * that changes it: kernels from 6.12 on refuse that ("changes packet data, while original does not").
 */
#define ANSWER_KEEPS_LENGTH
#include "gate.bpf.c"
