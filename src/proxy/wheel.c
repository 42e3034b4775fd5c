#include "proxy/wheel.h"

static void link_entry(struct wheel *w, struct wheel_entry *e)
{
	/* Rounded up: never before the deadline; and never into a slot that was passed. */
	e->tick = (e->deadline + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
	if (e->tick < w->tick)
		e->tick = w->tick;
	if (e->tick * WHEEL_TICK_MS < w->next)
		w->next = e->tick * WHEEL_TICK_MS;
	TAILQ_INSERT_TAIL(&w->slots[e->tick % WHEEL_SLOTS], e, link);
}

void wheel_init(struct wheel *w, int64_t now)
{
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		TAILQ_INIT(&w->slots[i]);
	w->tick = now / WHEEL_TICK_MS + 1;
	w->next = WHEEL_NEVER;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, int64_t deadline)
{
	e->deadline = deadline;
	if (e->tick && deadline > (e->tick - 1) * WHEEL_TICK_MS)
		return;
	wheel_remove(w, e);
	link_entry(w, e);
}

void wheel_remove(struct wheel *w, struct wheel_entry *e)
{
	if (!e->tick)
		return;
	TAILQ_REMOVE(&w->slots[e->tick % WHEEL_SLOTS], e, link);
	e->tick = 0;
}

static void turn_slot(
	struct wheel *w, int64_t now, void (*due)(struct wheel_entry *e, void *arg), void *arg)
{
	struct wheel_list met;
	struct wheel_entry *e;
	int64_t slot = w->tick % WHEEL_SLOTS;

	TAILQ_INIT(&met);
	TAILQ_CONCAT(&met, &w->slots[slot], link);
	w->tick++;
	while ((e = TAILQ_FIRST(&met))) {
		TAILQ_REMOVE(&met, e, link);
		e->tick = 0;
		if (e->deadline > now)
			link_entry(w, e);
		else
			due(e, arg);
	}
}

/* A slot holds what is due a round or more later, too: that is met then, and found too early. */
static int64_t find_next(const struct wheel *w)
{
	for (int64_t tick = w->tick; tick < w->tick + WHEEL_SLOTS; tick++)
		if (!TAILQ_EMPTY(&w->slots[tick % WHEEL_SLOTS]))
			return tick * WHEEL_TICK_MS;
	return WHEEL_NEVER;
}

void wheel_turn(
	struct wheel *w, int64_t now, void (*due)(struct wheel_entry *e, void *arg), void *arg)
{
	int64_t last = now / WHEEL_TICK_MS;

	if (last - w->tick >= WHEEL_SLOTS) /* asleep for long: one round meets everything */
		w->tick = last - WHEEL_SLOTS + 1;
	while (w->tick <= last)
		turn_slot(w, now, due, arg);
	w->next = find_next(w);
}
