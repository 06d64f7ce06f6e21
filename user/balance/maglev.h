/* SPDX-License-Identifier: MIT */
/*
 * maglev.h - consistent hashing by Maglev's table (Eisenbud and others, 2016): each entry takes the
 * table's slots in an order of its own, in turns by weight, and a key goes to the entry of its slot.
 * The table depends on the entries' hashes and weights only, so workers and nodes agree. Pure: no
 * clock, no I/O. The table is made at the first pick: a thousand groups cost nothing until then.
 */
#ifndef SLUICE_BALANCE_MAGLEV_H
#define SLUICE_BALANCE_MAGLEV_H

#include "balance/wrr.h"

struct maglev;

/* hashes: of what names each of n < UINT16_MAX entries for ever (its address); weights: 0 is never
 * picked. NULL: no memory. */
struct maglev *maglev_new(const uint64_t *hashes, const uint32_t *weights, uint32_t n);
void maglev_free(struct maglev *maglev);
/* Takes over the table of one with the very same entries, if that has one: a reload that does not
 * touch a group need not make it again. */
void maglev_inherit(struct maglev *maglev, const struct maglev *from);
/* The entry of key (a uniform hash), or where it is not usable that of the key's next slot, so that
 * only the keys of such entries move, and to all others by weight. -1 where none is usable. */
int maglev_pick(struct maglev *maglev, balance_usable usable, void *ctx, uint64_t key);

#endif
