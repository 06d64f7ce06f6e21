/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_impl.h - what the files of the loader share: bpf_loader.c (load, pins, end),
 * bpf_loader_attach.c (links), bpf_loader_xdp.c (interfaces), bpf_loader_chain.c (libxdp),
 * bpf_loader_tables.c and others (entries of the maps). For nobody else.
 */
#ifndef SLUICE_CONTROL_BPF_LOADER_IMPL_H
#define SLUICE_CONTROL_BPF_LOADER_IMPL_H

#include "control/bpf_loader.h"
#include "sluice/ports.h" /* also for the skeleton, which has one in it */

/* X(name, adopted): is the pinned map of an earlier run taken over? Not those that other
 * processes write: an orphan of a killed supervisor may still have them mapped. */
#define BPF_LOADER_MAPS(X)                                                                         \
	X(listeners, false)                                                                        \
	X(sockets, false)                                                                          \
	X(workers, false)                                                                          \
	X(groups, false)                                                                           \
	X(backends, false)                                                                         \
	X(routes, false)                                                                           \
	X(call_limits, false)                                                                      \
	X(acls, false)                                                                             \
	X(acl_exact, false)                                                                        \
	X(acl_v4, false)                                                                           \
	X(acl_v6, false)                                                                           \
	X(switches, false)                                                                         \
	X(vips, false)                                                                             \
	X(penalties, true)                                                                         \
	X(source_states, false)                                                                    \
	X(strays, true)                                                                            \
	X(events, false)                                                                           \
	X(sources, true)                                                                           \
	X(listener_times, true)                                                                    \
	X(asking, false)                                                                           \
	X(listener_stats, true)                                                                    \
	X(verdicts, true)                                                                          \
	X(meta, false)

enum bpf_loader_map {
#define BPF_LOADER_MAP_ENUM(name, adopted) MAP_##name,
	BPF_LOADER_MAPS(BPF_LOADER_MAP_ENUM)
#undef BPF_LOADER_MAP_ENUM
	MAPS
};

struct bpf_acl_maps; /* bpf_loader_acl.c's */

struct bpf {
	char *pin_path;
	int lock_fd;	/* pin_path's directory, flocked */
	int maps[MAPS]; /* -1 where not open */
	int gate_fd, pick_fd;
	struct bpf_acl_maps *acl_maps; /* NULL: none yet */
	bool replace_foreign, chain; /* as in bpf_options */
	uint32_t chain_priority;
	/* The gate's own data, mapped: bpf/ports.h. */
	int gate_data_fd;
	void *gate_data;
	size_t gate_data_bytes;
	uint64_t *ports_without_address, *ports_without_any;
	struct bpf_ports *ports; /* bpf_loader_ports.c */
};

/* bpf_loader_ports.c: the gate's own copy of the listeners map. */
int bpf_loader_ports_init(struct bpf *bpf, struct sluice_ports *shared);
void bpf_loader_ports_done(struct bpf *bpf);
/* is_new: the map had no such entry. */
void bpf_loader_ports_set(struct bpf *bpf, const struct sluice_listener_key *key,
			  const struct sluice_listener *listener, bool is_new);
/* Only for what was set. */
void bpf_loader_ports_del(struct bpf *bpf, const struct sluice_listener_key *key);

/* bpf_loader_acl.c: returns when no program that runs now does any more. 0 or -errno. */
int bpf_loader_wait(struct bpf *bpf);

/*
 * bpf_loader_chain.c, which alone knows libxdp. pin: where the gate's program in a dispatcher is
 * pinned, so that the next run finds which of its programs was ours.
 */
/* Whether this machine can: tried once, with programs of its own. 0; -EOPNOTSUPP with why. */
int bpf_loader_chain_probe(char *why, size_t why_size);
/* Adds the gate to the interface's dispatcher, making that where there is none, and then takes out the
 * one of an earlier run. 0; -ENOSYS: it became no dispatcher, nothing is attached; -EBUSY: a program
 * without dispatcher is there; -errno. why is filled. */
int bpf_loader_chain_attach(const struct bpf *bpf, int ifindex, enum config_xdp_mode mode,
			    const char *pin, char *why, size_t why_size);
/* Takes the gate out, and the dispatcher where it was its only program. 0, also where none was. */
int bpf_loader_chain_detach(int ifindex, const char *pin);
/* Whether the pinned program runs on the interface; text: all that do, in their order. */
bool bpf_loader_chain_has(int ifindex, const char *pin, char *text, size_t size);

/* Takes whatever program or dispatcher of others off the interface. 0 or -errno. */
int bpf_loader_chain_clear(int ifindex);

/* bpf_loader_attach.c: links, each held by its pin alone. */
#define BPF_LOADER_LINKS "links/"
struct bpf_link_info;
int bpf_loader_link_info(int fd, struct bpf_link_info *info);
int bpf_loader_link_make(int program_fd, int target, int type, uint32_t flags, const char *pin);
/* Detaches the link pinned there and removes the pin. 0, also where none was. */
int bpf_loader_link_drop(const char *pin);

/* What the kernel said last, by netlink, on why it refuses; "" where nothing since the last call. */
void bpf_loader_kernel_message(char *text, size_t size);

/* Before any access list is made. 0 or -ENOMEM. */
int bpf_loader_acl_init(struct bpf *bpf);
/* Types for the maps of access lists, which the gate's object has no more than the names of: so that
 * bpftool prints fields. types: keys of a single address, IPv4 and IPv6 prefixes, then the entry. A
 * descriptor; -errno: without, then. */
int bpf_loader_acl_types(uint32_t types[4]);
/* Closes what bpf_loader_acl.c has open. */
void bpf_loader_acl_done(struct bpf *bpf);

/* "<pin_path>/<a><b>" in a malloced string, or NULL. */
char *bpf_loader_path(const char *pin_path, const char *a, const char *b);
__attribute__((format(printf, 3, 4))) void bpf_loader_why(char *why, size_t why_size,
							  const char *format, ...);

#endif
