/* SPDX-License-Identifier: MIT */
/*
 * monitor.h - the monitor process: active health checks and DNS, told what to do over the channel
 * from the supervisor (shared/channel.h), without any rights of its own.
 */
#ifndef SLUICE_MONITOR_MONITOR_H
#define SLUICE_MONITOR_MONITOR_H

/* Runs until the supervisor says drain or is gone (0), or something is missing without which it
 * cannot work (1, logged). Takes the descriptor over. The process's exit code. */
int monitor_main(int channel_fd);

#endif
