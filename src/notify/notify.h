/* Notifications: what people are told by webhook, gotify or ntfy. Every target of the configuration
 * gets every message, and is tried again after a failure. Nothing waits for it: a try is a job, one
 * runs at a time, and the queue is bounded. Control thread only. */
#ifndef LINTEL_NOTIFY_NOTIFY_H
#define LINTEL_NOTIFY_NOTIFY_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/jobs.h"
#include "base/log.h"
#include "conf/conf.h"

struct notify_field { /* a line of details, like "main" and "example.org until 2026-02-01" */
	const char *name, *value;
};

struct notify;
/* Without targets until it is configured. */
struct notify *notify_new(struct event_base *base, struct jobs *jobs, struct error *err);
/* At start and after a reload. Takes a reference to `c`. What is queued goes to the targets that it
 * was queued for. */
void notify_configure(struct notify *n, struct conf *c);
/* Queues a message for each target; copies. The level says how often it is tried, and how loud it
 * is shown. Any text will do: what is no UTF-8 is replaced, what is too long is cut. */
void notify_send(struct notify *n, enum log_level level, const char *title, const char *message,
	const struct notify_field *fields, size_t n_fields);
/* A try that is running ends at once, no other begins. */
void notify_stop(struct notify *n);
/* After all jobs have come home. What was not sent is counted in the log. NULL is fine. */
void notify_free(struct notify *n);

/* Adds a problem for each payload that is no JSON where it has to be. */
void notify_check(const struct conf *c, struct problems *p);

/* How many tries a message of that level is worth; what the wait after the `tries`-th is, in
 * milliseconds. `random` is in [0, 1). */
unsigned notify_tries(enum log_level level);
int64_t notify_wait_ms(unsigned tries, double random);

#endif
