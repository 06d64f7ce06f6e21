/* SPDX-License-Identifier: MIT */
/*
 * control.h - the control protocol between sluiced and sluicectl: over a unix stream socket the
 * client sends one line of JSON, {"command": "status"}, and gets one JSON document, ended by a
 * newline; then the daemon closes. A document with the key "error" says what went wrong.
 * Commands: status, listeners, routes, groups, backends, workers, verdicts, features, reload; with
 * arguments: route (control/control_route.h), explain (control/control_explain.h), drain, undrain, weight,
 * health, acl-add, acl-del, acl-list (control/control_acl.h). After "events" (control/control_events.h)
 * documents follow, one a line, until the client closes.
 */
#ifndef SLUICE_CONTROL_H
#define SLUICE_CONTROL_H

#define SLUICE_VERSION "0.1.0"

#define SLUICE_CONFIG_PATH    "/etc/sluice/sluice.yaml"
#define SLUICE_CONTROL_SOCKET "/run/sluice/control.sock"

#define SLUICE_CONTROL_REQUEST_MAX 4096
#define SLUICE_CONTROL_ANSWER_MAX  (64 * 1024 * 1024)
/* The daemon gives a client this long for its request, and again to read the answer. */
#define SLUICE_CONTROL_TIMEOUT_MS 5000
/* A reload answers when it is in force or refused, at the latest after this. */
#define SLUICE_CONTROL_RELOAD_MS 30000

#endif
