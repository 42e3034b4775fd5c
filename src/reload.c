#include "reload.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "systemd.h"

struct reload {
	struct job job;
	struct reloader *reloader;
	enum reload_kind kind;
	struct build_before before;
	struct snapshot *pinned; /* what `before` borrows from */
	struct built built;
	struct problems problems;
	struct reload_queue waiters;
	bool published; /* only the workers' reports are missing */
};

void reloader_init(
	struct reloader *r, const char *file, struct jobs *jobs, const struct reload_owner *owner)
{
	*r = (struct reloader){.file = file, .jobs = jobs, .owner = *owner};
}

static void tell(struct reload_queue *q, const struct problems *p)
{
	struct reload_queue told = *q;

	*q = (struct reload_queue){0};
	for (size_t i = 0; i < told.n; i++)
		told.waiters[i].done(told.waiters[i].arg, p);
	free(told.waiters);
}

static void run(struct job *job)
{
	struct reload *l = (struct reload *)job;

	switch (l->kind) {
	case RELOAD_CERTS: build_autocert(&l->built, &l->before, &l->problems); break;
	case RELOAD_ALL: build_all(&l->built, l->reloader->file, &l->before, &l->problems); break;
	case RELOAD_KINDS: break;
	}
}

static void start_next(struct reloader *r);

/* Whoever asked is answered, and what was asked for meanwhile is started. */
static void finish(struct reloader *r)
{
	struct reload *l = r->running;

	r->running = NULL;
	if (l->kind == RELOAD_ALL)
		systemd_tell("READY=1");
	tell(&l->waiters, &l->problems);
	problems_clear(&l->problems);
	free(l);
	start_next(r);
}

static void note_refused(struct reloader *r, const struct problems *p)
{
	r->failed++;
	r->last_error = mem_strdup(p->lines[0]);
	log_error("reload refused, everything stays as it was: %zu problem%s", p->n,
		p->n == 1 ? "" : "s");
	for (size_t i = 0; i < p->n; i++)
		log_error("%s", p->lines[i]);
}

static int publish_all(struct reload *l)
{
	struct reloader *r = l->reloader;
	struct error err;

	if (!l->problems.n && r->owner.publish(r->owner.arg, &l->built, &err) < 0)
		problems_add(&l->problems, "%s", err.text);
	free(r->last_error);
	r->last_error = NULL;
	if (!l->problems.n) {
		r->succeeded++;
		return 0;
	}
	if (l->built.listeners)
		listeners_unlink_gone(l->built.listeners, l->before.listeners);
	built_clear(&l->built);
	note_refused(r, &l->problems);
	return -1;
}

static int publish_certs(struct reload *l)
{
	if (l->problems.n)
		return -1;
	l->reloader->owner.publish_certs(l->reloader->owner.arg, l->built.certs);
	l->built.certs = NULL;
	return 0;
}

static void done(struct job *job)
{
	struct reload *l = (struct reload *)job;
	struct reloader *r = l->reloader;

	if (r->stopping && !l->problems.n)
		problems_add(&l->problems, "this process is stopping");
	l->published = (l->kind == RELOAD_ALL ? publish_all(l) : publish_certs(l)) == 0;
	built_clear(&l->built);
	snapshot_unref(l->pinned);
	/* Else the last worker's report does, so that what is answered is true of all of them. */
	if (!l->published)
		finish(r);
}

/* One runs at a time; whoever asks meanwhile is answered by one more, which sees the newest files.
 */
static void start_next(struct reloader *r)
{
	enum reload_kind kind = RELOAD_CERTS;
	struct reload *l;

	while (kind < RELOAD_KINDS && !r->queues[kind].wanted)
		kind++;
	if (r->running || r->stopping || kind == RELOAD_KINDS)
		return;
	if (kind == RELOAD_ALL)
		systemd_tell("RELOADING=1");
	l = mem_zalloc(sizeof(*l));
	l->job.run = run;
	l->job.done = done;
	l->reloader = r;
	l->kind = kind;
	l->pinned = r->owner.before(r->owner.arg, &l->before);
	l->waiters = r->queues[kind];
	r->queues[kind] = (struct reload_queue){0};
	r->running = l;
	if (!jobs_submit(r->jobs, &l->job)) { /* never: it is the only one */
		problems_add(&l->problems, "too much is being done at once, try again");
		done(&l->job);
	}
}

void reloader_ask(struct reloader *r, enum reload_kind kind, admin_reload_done *answer, void *arg)
{
	struct reload_queue *q = &r->queues[kind];
	struct problems stopping = {0};

	if (r->stopping) {
		problems_add(&stopping, "this process is stopping");
		if (answer)
			answer(arg, &stopping);
		problems_clear(&stopping);
		return;
	}
	if (answer) {
		*(struct reload_waiter *)mem_grow(&q->waiters, q->n, sizeof(*q->waiters)) =
			(struct reload_waiter){answer, arg};
		q->n++;
	}
	q->wanted = true;
	start_next(r);
}

void reloader_taken_up(struct reloader *r)
{
	if (r->running && r->running->published)
		finish(r);
}

void reloader_stop(struct reloader *r)
{
	struct problems stopping = {0};

	r->stopping = true;
	problems_add(&stopping, "this process is stopping");
	for (enum reload_kind kind = 0; kind < RELOAD_KINDS; kind++)
		tell(&r->queues[kind], &stopping);
	if (r->running && !r->running->published)
		tell(&r->running->waiters, &stopping);
	problems_clear(&stopping);
}

void reloader_clear(struct reloader *r)
{
	reloader_taken_up(r); /* whose workers have ended meanwhile */
	free(r->last_error);
	r->last_error = NULL;
}
