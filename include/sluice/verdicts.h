/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * verdicts.h - every verdict of the XDP gate, named once.
 *
 * bpf/gate.bpf.c counts under these reasons, sluicectl prints their names, docs/MAPS.md lists
 * them. X(NAME, name, what the packet met). Order is ABI: append only, and raise
 * SLUICE_ABI_VERSION when one goes away.
 */
#ifndef SLUICE_VERDICTS_H
#define SLUICE_VERDICTS_H

#define SLUICE_VERDICTS(X)                                                                         \
	X(PASS_NOT_OURS, pass_not_ours, "not for a listener: passed untouched")                    \
	X(PASS_ESTABLISHED, pass_established, "later packet of a connection: passed")              \
	X(PASS_NEW, pass_new, "new connection: passed to the listener")                            \
	X(PASS_FAIL_OPEN, pass_fail_open, "new connection: no live backend, on_all_down accept")   \
	X(PASS_FRAGMENT, pass_fragment, "IP fragment without a TCP header: passed")                \
	X(DROP_ACL, drop_acl, "source denied by an ACL entry")                                     \
	X(DROP_NOT_ALLOWED, drop_not_allowed, "source in no allow entry, and there is an allow list") \
	X(DROP_SOURCE_LIMIT, drop_source_limit, "source over its limit of new connections")        \
	X(DROP_LISTENER_LIMIT, drop_listener_limit, "listener over its limit of new connections")  \
	X(DROP_ALL_DOWN, drop_all_down, "no live backend, on_all_down drop")                       \
	X(RESET_ALL_DOWN, reset_all_down, "no live backend, on_all_down reset: RST sent")          \
	X(DROP_TRUNCATED, drop_truncated, "headers run past the end of the packet")                \
	X(DROP_MALFORMED, drop_malformed, "header fields that contradict each other")              \
	X(DROP_BAD_FLAGS, drop_bad_flags, "TCP flags no connection can have (SYN with FIN or RST)") \
	X(PASS_TRUNCATED, pass_truncated, "cut before its ports: no telling whose, so passed") \
	X(DROP_PENALTY, drop_penalty, "new connection of a source under a penalty")                \
	X(DROP_PENALTY_ALL, drop_penalty_all, "any packet of a source under a penalty of level packets") \
	X(DROP_SOURCE_CONNECTIONS, drop_source_connections, "source has as many connections open as it may") \
	X(DROP_STRAY_LIMIT, drop_stray_limit, "source over its limit of packets of no connection")      \
	X(COOKIE_SENT, cookie_sent, "SYN answered with a cookie: nothing is kept of it")           \
	X(PASS_COOKIE, pass_cookie, "its cookie came back: new connection, passed to the listener")

enum verdict_reason {
#define SLUICE_VERDICT_ENUM(NAME, name, text) VERDICT_##NAME,
	SLUICE_VERDICTS(SLUICE_VERDICT_ENUM)
#undef SLUICE_VERDICT_ENUM
	VERDICT_MAX
};

#endif
