/* SPDX-License-Identifier: MIT */
/*
 * control_answer.h - what sluiced tells about itself: one JSON document a command, made from the
 * maps and the supervisor's own state.
 */
#ifndef SLUICE_CONTROL_CONTROL_ANSWER_H
#define SLUICE_CONTROL_CONTROL_ANSWER_H

struct supervisor;

/* The document for a command, malloced, without a newline; NULL: no such command, or no memory
 * (errno EINVAL, ENOMEM). */
char *control_answer(const struct supervisor *supervisor, const char *command);

/* What came of a reload or a command: {"ok": true, ...} or {"ok": false, "error": message}; malloced,
 * or NULL. message of a change that is in force: what it leaves as it was, "": nothing. */
char *control_answer_change(const struct supervisor *supervisor, int ok, const char *message);

#endif
