/* SPDX-License-Identifier: MIT */
/*
 * fault.h - lets allocations of the code under test fail. Every unit test is linked with fault.c
 * and -Wl,--wrap=malloc and so on, which catches the calls of libsluice.a and of the test, not
 * those inside shared libraries.
 *
 *	FAULT_EACH(n) {
 *		x = thing_new();	// allocation n of this round fails
 *		fault_stop();		// nothing fails any more
 *		...			// judge and clean up
 *	}
 *
 * goes round until a round needed fewer allocations than n, so the last round succeeds.
 */
#ifndef SLUICE_SELFTESTS_FAULT_H
#define SLUICE_SELFTESTS_FAULT_H

#include <stdbool.h>

/* The nth allocation from now on fails (0: the next one), and all after it work again. */
void fault_start(unsigned nth);
/* Every allocation from the nth on fails. */
void fault_start_all(unsigned nth);
void fault_stop(void);
/* Did one fail since the start? */
bool fault_hit(void);
/* Allocations since the start. */
unsigned fault_count(void);

#define FAULT_EACH(n)                                                                              \
	for (unsigned n = 0, fault_more_ = 1; fault_more_ && (fault_start(n), 1);                  \
	     fault_stop(), fault_more_ = fault_hit(), n++)

#endif
