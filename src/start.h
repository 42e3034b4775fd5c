/* What is done once, at start, before there are threads: limits, directories, the lock, the
 * sandbox. In the order of control.c's start(). */
#ifndef LINTEL_START_H
#define LINTEL_START_H

#include <stdint.h>

#include "conf/conf.h"
#include "proxy/listener.h"

/* Raises the limit of open files to the hard limit. Returns how many of them sessions may use: 32 +
 * 2 per worker stay free for reloads, the admin listener, ACME and logs (contract, section 6), and
 * what the process itself has open. */
uint64_t start_fds_for_sessions(const struct conf *conf);

/* Makes state_dir where it is missing and takes its lock: the descriptor, or -1. */
int start_take_state_dir(const struct conf *conf, struct error *err);
/* Whether it could, with the same sentence, and nothing is made. Who runs already is no reason. */
int start_check_state_dir(const struct conf *conf, struct error *err);
/* Makes the logs' files for the user that will write them. */
int start_make_logs(const struct conf *conf, struct error *err);
/* Gives the sockets that root has bound to the user, who will remove the unix ones, and may bind
 * others beside the rest. */
int start_hand_over_sockets(
	const struct conf *conf, const struct listeners *listeners, struct error *err);
/* Enters the sandbox, where the configuration wants it. After privileges were dropped. */
int start_enter_sandbox(const struct conf *conf, struct error *err);
/* A start has read the configuration as root; a reload reads it as `user`. */
void start_warn_unreadable(const struct conf *conf);

#endif
