#include "reload.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "systemd.h"

struct reload {
	struct job job;
	struct reloader *reloader;
	struct build_before before;
	struct snapshot *pinned; /* what `before` borrows from */
	struct built built;
	struct problems problems;
	struct reload_waiter *waiters;
	size_t n_waiters;
	bool published; /* only the workers' reports are missing */
};

void reloader_init(
	struct reloader *r, const char *file, struct jobs *jobs, const struct reload_owner *owner)
{
	*r = (struct reloader){.file = file, .jobs = jobs, .owner = *owner};
}

static void tell(struct reload_waiter **waiters, size_t *n, const struct problems *p)
{
	for (size_t i = 0; i < *n; i++)
		(*waiters)[i].done((*waiters)[i].arg, p);
	free(*waiters);
	*waiters = NULL;
	*n = 0;
}

static void run(struct job *job)
{
	struct reload *l = (struct reload *)job;

	build_all(&l->built, l->reloader->file, &l->before, &l->problems);
}

static void start(struct reloader *r);

/* Whoever asked is answered, and what was asked for meanwhile is started. */
static void finish(struct reloader *r)
{
	struct reload *l = r->running;

	r->running = NULL;
	systemd_tell("READY=1");
	tell(&l->waiters, &l->n_waiters, &l->problems);
	problems_clear(&l->problems);
	free(l);
	if (r->again && !r->stopping)
		start(r);
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

static void done(struct job *job)
{
	struct reload *l = (struct reload *)job;
	struct reloader *r = l->reloader;
	struct error err;

	if (r->stopping && !l->problems.n)
		problems_add(&l->problems, "this process is stopping");
	if (!l->problems.n && r->owner.publish(r->owner.arg, &l->built, &err) < 0)
		problems_add(&l->problems, "%s", err.text);
	free(r->last_error);
	r->last_error = NULL;
	if (l->problems.n) {
		if (l->built.listeners)
			listeners_unlink_gone(l->built.listeners, l->before.listeners);
		built_clear(&l->built);
		note_refused(r, &l->problems);
	} else {
		r->succeeded++;
		l->published = true;
	}
	snapshot_unref(l->pinned);
	/* Else the last worker's report does, so that what is answered is true of all of them. */
	if (!l->published)
		finish(r);
}

/* One runs at a time; whoever asks meanwhile is answered by one more, which sees the newest files.
 */
static void start(struct reloader *r)
{
	struct reload *l;

	if (r->running) {
		r->again = true;
		return;
	}
	r->again = false;
	systemd_tell("RELOADING=1");
	l = mem_zalloc(sizeof(*l));
	l->job.run = run;
	l->job.done = done;
	l->reloader = r;
	l->pinned = r->owner.before(r->owner.arg, &l->before);
	l->waiters = r->waiting;
	l->n_waiters = r->n_waiting;
	r->waiting = NULL;
	r->n_waiting = 0;
	r->running = l;
	if (!jobs_submit(r->jobs, &l->job)) { /* never: it is the only one */
		problems_add(&l->problems, "too much is being done at once, try again");
		done(&l->job);
	}
}

void reloader_ask(struct reloader *r, admin_reload_done *answer, void *arg)
{
	struct problems stopping = {0};

	if (r->stopping) {
		problems_add(&stopping, "this process is stopping");
		if (answer)
			answer(arg, &stopping);
		problems_clear(&stopping);
		return;
	}
	if (answer) {
		*(struct reload_waiter *)mem_grow(&r->waiting, r->n_waiting, sizeof(*r->waiting)) =
			(struct reload_waiter){answer, arg};
		r->n_waiting++;
	}
	start(r);
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
	tell(&r->waiting, &r->n_waiting, &stopping);
	if (r->running && !r->running->published)
		tell(&r->running->waiters, &r->running->n_waiters, &stopping);
	problems_clear(&stopping);
}

void reloader_clear(struct reloader *r)
{
	reloader_taken_up(r); /* whose workers have ended meanwhile */
	free(r->last_error);
	r->last_error = NULL;
}
