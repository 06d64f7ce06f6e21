/* SPDX-License-Identifier: MIT */
/*
 * deadline.h - the times of a call: its deadline (grpc-timeout, within the route's default and
 * maximum), the route's idle timeout and maximum age, and what retry.c waits for. One timer for all
 * of them, set where one is and only there; what passes on the stream moves no timer, which looks
 * when it fires.
 */
#ifndef SLUICE_PROXY_DEADLINE_H
#define SLUICE_PROXY_DEADLINE_H

#include <stdbool.h>

struct loop_timer;
struct request_facts;
struct stream;

/* Sets deadline_ns and aged_ns, and the timer. Called once, with the route known. 0 or -ENOMEM. */
int deadline_begin(struct stream *stream, const struct request_facts *facts);
/* Sets the timer to the first of the call's times, after one came nearer. 0 or -ENOMEM. */
int deadline_arm(struct stream *stream);
/* For stream->deadline_timer. */
void deadline_on_timer(struct loop_timer *timer);

#endif
