/* SPDX-License-Identifier: MIT */
/*
 * cookies.h - what SYN cookies made in XDP need of this network namespace: sysctls, and the window
 * scaling that the kernel gives new connections. Read at start and once a second, said in the log and in
 * `status` with the fix, and never changed. Turns a listener's keys into the flags of its row.
 */
#ifndef SLUICE_CONTROL_COOKIES_H
#define SLUICE_CONTROL_COOKIES_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "sluice/abi.h"

#define COOKIES_UNKNOWN (-1)

struct cookies {
	bool known; /* all that follows was read once */
	int syncookies; /* net.ipv4.tcp_syncookies: 0 to 2, or COOKIES_UNKNOWN */
	int timestamps; /* net.ipv4.tcp_timestamps: 0 to 2, likewise */
	int sack, scaling; /* net.ipv4.tcp_sack, tcp_window_scaling: 0, 1, likewise */
	int wscale; /* of our window, 0 to 14; COOKIES_UNKNOWN where it is not needed or cannot be had */
	uint64_t wscale_ns; /* when that was tried */
};

/* Reads all anew. True: for the first time, or a listener's row may change by it. */
bool cookies_read(struct cookies *cookies);

/* Are window scaling and SACK kept? */
bool cookies_keep_options(const struct cookies *cookies);

/* Why a listener with this key gets no cookies or not as asked, and the fix; NULL: it does. */
const char *cookies_lack(const struct cookies *cookies, enum config_cookies wanted);
/* What connections lose that a cookie has made, and what would keep it; NULL: nothing to be mended. */
const char *cookies_loss(const struct cookies *cookies);

/* The listener's flags, rates and window scaling; leaves the rest of the row alone. */
void cookies_fill(const struct cookies *cookies, const struct config_listener *listener,
		  struct sluice_listener *row);

/* One line for each thing that is not as the listeners ask. */
void cookies_log(const struct cookies *cookies, const struct config *config);

#endif
