/* The log: one line per event, as text or JSON, through a logfile, so that a slow disk holds nobody
 * up; lines that must be dropped are counted and said later. Before log_start() and after
 * log_stop() lines go to standard error directly. Any thread may log.
 *
 * Bytes of a peer go through str_escape() first; control characters in a line are escaped here all
 * the same, so that no line can forge another. */
#ifndef LINTEL_BASE_LOG_H
#define LINTEL_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Opens `file` ("-" is standard error) and starts the thread. */
int log_start(const char *file, struct error *err);
void log_stop(void); /* writes what is queued */

/* These three may be called while running (a reload, SIGUSR1), by the control thread. A file that
 * cannot be opened leaves the old one in use. */
void log_configure(enum log_level level, enum log_format format);
int log_set_file(const char *file, struct error *err);
int log_reopen(struct error *err);

bool log_wants(enum log_level level); /* to spare the making of costly arguments */
uint64_t log_dropped(void);           /* lines lost so far */

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_wants(LOG_DEBUG))                                                          \
			log_write(LOG_DEBUG, __VA_ARGS__);                                         \
	} while (0)

#endif
