/* SPDX-License-Identifier: MIT */
/*
 * list.h - intrusive doubly linked lists, as in the kernel. A struct list is either a head or a
 * member; an unlinked member points to itself, so that list_del is idempotent.
 */
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_add_tail(struct list *head, struct list *l)
{
	l->next = head;
	l->prev = head->prev;
	head->prev->next = l;
	head->prev = l;
}

static inline void list_del(struct list *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	list_init(l);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)

/* A member's link, by arithmetic alone: at the end of a walk pos stands for the head, which lies in
 * no such object and may be less aligned than one. */
#define list_link_(pos, member)                                                                    \
	((struct list *)(void *)((char *)(pos) + offsetof(__typeof__(*(pos)), member)))
#define list_next_(pos, member)                                                                    \
	list_entry(list_link_(pos, member)->next, __typeof__(*(pos)), member)

#define list_for_each(pos, head, member)                                                           \
	for (pos = list_first(head, __typeof__(*pos), member); list_link_(pos, member) != (head);  \
	     pos = list_next_(pos, member))

/* pos may be unlinked and freed in the body. */
#define list_for_each_safe(pos, tmp, head, member)                                                 \
	for (pos = list_first(head, __typeof__(*pos), member), tmp = list_next_(pos, member);      \
	     list_link_(pos, member) != (head); pos = tmp, tmp = list_next_(tmp, member))

#endif
