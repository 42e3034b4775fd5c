/* The log and the connection log together: their files at start, reload, SIGUSR1 and stop. The
 * control thread only. */
#ifndef LINTEL_LOGS_H
#define LINTEL_LOGS_H

#include "conf/conf.h"

int logs_start(const struct conf *conf, struct error *err);
/* A reload's files: both, or none when one of them cannot be opened. */
int logs_change(const struct conf *before, const struct conf *after, struct error *err);
void logs_configure(const struct conf *conf); /* what cannot fail: levels and formats */
void logs_reopen(void);
void logs_tick(void); /* once a second */
/* The connection log first, whose losses are told in the log. */
void logs_stop(void);

#endif
