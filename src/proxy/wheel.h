/* Deadlines of many sessions, coarse: a wheel of slots of 100 ms. Moving a deadline later costs one
 * store; an entry that is met before its deadline is put into a later slot. One thread. */
#ifndef LINTEL_PROXY_WHEEL_H
#define LINTEL_PROXY_WHEEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define WHEEL_TICK_MS 100
#define WHEEL_SLOTS   1024
#define WHEEL_NEVER   INT64_MAX

struct wheel_entry {
	TAILQ_ENTRY(wheel_entry) link;
	int64_t deadline; /* ms */
	int64_t tick;     /* the one whose slot it is linked into; 0 = not linked */
};
TAILQ_HEAD(wheel_list, wheel_entry);

struct wheel {
	struct wheel_list slots[WHEEL_SLOTS];
	int64_t tick; /* the next one to look at */
	int64_t next; /* ms: nothing is to be met before; WHEEL_NEVER = nothing is linked */
};

void wheel_init(struct wheel *w, int64_t now);
/* Sets the entry's deadline, linking it when it is not. */
void wheel_set(struct wheel *w, struct wheel_entry *e, int64_t deadline);
void wheel_remove(struct wheel *w, struct wheel_entry *e);
/* Calls `due` for each entry whose deadline has come, unlinked by then. It may set or remove that
 * entry, and no other. */
void wheel_turn(
	struct wheel *w, int64_t now, void (*due)(struct wheel_entry *e, void *arg), void *arg);

#endif
