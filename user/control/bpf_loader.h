/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader.h - the kernel side as the supervisor sees it: the two BPF programs (XDP gate,
 * sk_lookup pick), their maps and pins. Called by the supervisor only, from one thread; it needs
 * CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. Nothing of libbpf shows here. It never logs: what went
 * wrong, and what would mend it, goes into `why` as one line.
 *
 * The order at a start: bpf_open, bpf_state_fds, bpf_acl_replace, bpf_listener_set and
 * bpf_socket_set for each listener, then bpf_attach_sk_lookup and bpf_attach_xdp. Programs of an
 * earlier sluiced that were left attached (SIGKILL, or kernel.keep) go on with their own maps
 * until these two calls put the new programs in their place, so no packet meets a half-filled map.
 */
#ifndef SLUICE_CONTROL_BPF_LOADER_H
#define SLUICE_CONTROL_BPF_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/config.h"
#include "shared/state.h"
#include "sluice/abi.h"

#define BPF_WHY_MAX 512 /* a good size for `why` */

struct bpf;

struct bpf_options {
	const char *pin_path; /* absolute, on a bpffs; made where missing (its parent must exist) */
	bool replace_maps;    /* pinned maps of another ABI version are removed, not refused */
	bool replace_foreign; /* XDP programs of others give way: until bpf_keep_foreign */
	bool chain; /* XDP in libxdp's dispatcher, beside other programs, where the kernel can */
	uint32_t chain_priority; /* ... lower runs first */
};

/*
 * Probes the rights, loads both programs, pins the maps under pin_path. Of the maps of an earlier
 * run with the same ABI, those that hold limits, penalties and counters (sources, penalties,
 * listener_times, listener_stats, verdicts...) are taken over; those that processes write (listeners,
 * sockets, workers, groups, backends) are made anew, so that orphans of a killed supervisor
 * cannot write into them, and so are access lists, since the config says them whole. Nothing is
 * attached yet.
 *
 * 0 with *ret_bpf, or with *ret_bpf untouched, nothing left behind and why filled:
 * -EPERM     rights are missing (which, says why), or the bpf call is blocked
 * -ENOSYS    the kernel has no BPF, or lacks something that the programs need
 * -ENOTSUP   pin_path is not on a bpffs, and none could be mounted
 * -EBUSY     a running sluiced holds pin_path
 * -EEXIST    pinned maps of another ABI version are there (and not replace_maps)
 * -errno     anything else
 */
int bpf_open(struct bpf **ret_bpf, const struct bpf_options *options, char *why, size_t why_size);

/* Ends it. keep: links and pins stay, and the programs go on working; else all are removed and
 * the directory too. Takes NULL. */
void bpf_close(struct bpf *bpf, bool keep);
/* In a forked child: closes all descriptors and frees the memory, without touching links or pins. A
 * child that keeps them open would hold on to the lock of pin_path. Takes NULL. */
void bpf_forget(struct bpf *bpf);

/* Duplicates for all but the LEDGER, owned by the caller; fds[STATE_FD_LEDGER] becomes
 * -1, for state_create_fds to fill. 0 or -errno, then all are -1. */
int bpf_state_fds(const struct bpf *bpf, int fds[STATE_FDS]);

enum bpf_xdp_used { BPF_XDP_OFF, BPF_XDP_NATIVE, BPF_XDP_GENERIC };
const char *bpf_xdp_used_name(enum bpf_xdp_used used); /* "off", "native", "generic" */

/*
 * Puts the gate on an interface of the current network namespace, adopting sluice's own pinned link
 * where there is one. XDP_MODE_AUTO tries native, then generic; *ret_used says which it became,
 * and why then says in one line why not native (else it is ""). Called again, it changes the mode.
 * With options.chain it becomes one of the programs of libxdp's dispatcher; where the kernel lacks what
 * that takes, the interface's only program, and why says so.
 * -ENODEV: no such interface; -EBUSY: another XDP program is on it, which is not replaced;
 * -EOPNOTSUPP or the driver's own error: this mode does not work there. why is filled.
 */
int bpf_attach_xdp(struct bpf *bpf, const char *interface, enum config_xdp_mode mode,
		   enum bpf_xdp_used *ret_used, char *why, size_t why_size);
/* From now on nobody's program is replaced. */
void bpf_keep_foreign(struct bpf *bpf);
/* Whether the gate runs in a dispatcher there now; text: its programs in their order, or "". */
bool bpf_xdp_chain_now(const struct bpf *bpf, const char *interface, char *text, size_t size);
/* What holds at this moment: an interface may have gone, or somebody detached the gate by hand. */
enum bpf_xdp_used bpf_xdp_used_now(const struct bpf *bpf, const char *interface);
/* 0, also where it was not attached. */
int bpf_detach_xdp(struct bpf *bpf, const char *interface);
/* Detaches the gate from every interface that is not among these: links of an earlier run too.
 * Returns how many, or -errno. */
int bpf_detach_xdp_except(struct bpf *bpf, const char *const *interfaces, size_t n_interfaces);

/* Puts the pick on the current network namespace, adopting as above. 0 or -errno with why. */
int bpf_attach_sk_lookup(struct bpf *bpf, char *why, size_t why_size);
bool bpf_sk_lookup_is_on(const struct bpf *bpf); /* at this moment */
int bpf_detach_sk_lookup(struct bpf *bpf);

/*
 * Enters or changes a listener: address with port, value as abi.h has it (id, slots, group,
 * limits...). [::] takes IPv4 too, as its sockets do without IPV6_V6ONLY: two entries, unless
 * 0.0.0.0 on the same port has an entry of another id. 0 or -errno.
 */
int bpf_listener_set(struct bpf *bpf, const struct addr *address,
		     const struct sluice_listener *listener);
/* Removes what bpf_listener_set entered, and the listener's sockets. 0, also where none was. */
int bpf_listener_del(struct bpf *bpf, const struct addr *address);

/* How many listeners have this address, of which none is any address; 0 takes it out. 0 or -errno. */
int bpf_vip_set(struct bpf *bpf, const struct addr *address, uint32_t listeners);

/* Gives sk_lookup the listening socket of one worker slot of a listener (its id). The map holds no
 * reference: a socket that is closed leaves it by itself. 0 or -errno. */
int bpf_socket_set(struct bpf *bpf, uint32_t listener, uint32_t slot, int fd);
int bpf_socket_del(struct bpf *bpf, uint32_t listener, uint32_t slot);

/* Sums over all CPUs. 0 or -errno. */
int bpf_read_verdicts(const struct bpf *bpf, struct sluice_verdict_count counts[VERDICT_MAX]);
int bpf_read_listener_stats(const struct bpf *bpf, uint32_t listener,
			    struct sluice_listener_stats *ret_stats);
int bpf_read_listener_times(const struct bpf *bpf, uint32_t listener,
			    struct sluice_listener_time *ret_times);

/*
 * The gate's events. Opening drops what the ring holds from before; on_event is then called from
 * bpf_events_take only, and the event is gone when it returns. Which verdicts are sent, switches says.
 * Several may not be open at once. bpf_events_close takes NULL.
 */
struct bpf_events;
typedef void (*bpf_on_event)(void *context, const struct sluice_event *event);
int bpf_events_open(const struct bpf *bpf, bpf_on_event on_event, void *context,
		    struct bpf_events **ret_events);
int bpf_events_fd(const struct bpf_events *events); /* readable while there are any; not the caller's */
int bpf_events_take(struct bpf_events *events, unsigned at_most); /* how many it took, or -errno */
void bpf_events_close(struct bpf_events *events);

/* What libbpf and the verifier said since the last bpf_open began (cut at some 64 KiB); "" when
 * they were silent. For the debug log. Valid until the next call of this module. */
const char *bpf_library_log(void);

#endif
