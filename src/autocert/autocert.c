#include "autocert/autocert.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "autocert/leftovers.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct run { /* one look at one provider, in a job thread */
	struct job job;
	struct autocert *ac;
	struct provider *provider;
	struct conf *conf; /* what `autocert` is part of */
	const struct conf_autocert *autocert;
	struct stop stop;
	bool forced, first, fresh;
	struct obtained out;
};

struct said { /* an event on its way to the control thread: comes home like a job, and in order */
	struct job job;
	struct run *run;
	enum autocert_step step;
	enum log_level level;
	char *text;
};

struct sweep { /* for what providers of before have left, in a job thread */
	struct job job;
	struct autocert *ac;
	struct conf *conf;
	struct stop stop;
};

struct provider {
	LIST_ENTRY(provider) link;
	const struct conf_autocert *conf; /* of ac->conf; NULL = no longer configured */
	char id[sizeof(((struct conf_autocert *)0)->id)];
	struct run *running;
	bool again;    /* there was a reload since it began */
	bool ordering; /* the run that is running gets a certificate */
	bool swapping; /* the owner has not answered yet */
	bool forced;   /* by somebody; until it is done */
	struct autocert_watch *watch;
	int64_t due; /* Unix seconds; when to look again */
	bool looked;
	struct obtained last;
	uint64_t renewals, failures;
};

struct autocert {
	struct jobs *jobs;
	struct mailbox *home;
	struct autocert_owner owner;
	struct conf *conf;
	struct provider **providers; /* in the order of the configuration */
	size_t n;
	LIST_HEAD(, provider) all; /* those that are no longer configured, but run, too */
	bool stopping;
	struct sweep *sweep;
	bool sweep_due;
};

static bool is_local(const struct conf_autocert *a)
{
	return a->provider == PROVIDER_LOCAL;
}

/* Events */

static void tell(struct provider *p, struct autocert *ac, const struct autocert_event *e)
{
	ac->owner.event(ac->owner.arg, e);
	if (p->watch)
		p->watch->event(p->watch, e);
}

static void say(struct autocert *ac, struct provider *p, enum autocert_step step,
	enum log_level level, const char *text)
{
	log_write(level, "autocert: %s: %s", p->conf->name, text);
	tell(p, ac,
		&(struct autocert_event){
			.provider = p->conf->name, .step = step, .level = level, .text = text});
}

static void said_home(struct job *job)
{
	struct said *s = (struct said *)job;
	struct run *run = s->run;
	struct provider *p = run->provider;

	if (s->step == STEP_START)
		p->ordering = true;
	if (p->conf) /* else nobody knows it by name any more */
		tell(p, run->ac,
			&(struct autocert_event){.provider = run->autocert->name,
				.step = s->step,
				.level = s->level,
				.text = s->text});
	free(s->text);
	free(s);
}

/* In the job's thread. */
static void on_said(void *arg, enum autocert_step step, enum log_level level, const char *text)
{
	struct run *run = arg;
	struct said *s = mem_zalloc(sizeof(*s));

	log_write(level, "autocert: %s: %s", run->autocert->name, text);
	s->job.done = said_home;
	s->run = run;
	s->step = step;
	s->level = level;
	s->text = mem_strdup(text);
	mailbox_post(run->ac->home, &s->job.mail);
}

/* The end of what somebody has forced, for this provider. */
static void finish(struct autocert *ac, struct provider *p, bool ok)
{
	struct autocert_watch *w = p->watch;
	struct autocert_event e = {.step = STEP_DONE, .level = LOG_INFO};

	p->forced = false;
	p->watch = NULL;
	if (!w)
		return;
	w->failed += !ok;
	if (--w->waiting)
		return;
	e.ok = !w->failed;
	e.text = e.ok ? "done" : "not everything was renewed";
	w->event(w, &e);
}

/* Runs */

static void free_provider(struct provider *p)
{
	LIST_REMOVE(p, link);
	obtained_clear(&p->last);
	free(p);
}

static void run_it(struct job *job)
{
	struct run *run = (struct run *)job;

	obtain_run(&(struct obtain){.conf = run->conf,
			   .autocert = run->autocert,
			   .stop = &run->stop,
			   .forced = run->forced,
			   .first = run->first,
			   .fresh = run->fresh,
			   .say = on_said,
			   .arg = run},
		&run->out);
}

static void start_swap(struct autocert *ac, struct provider *p)
{
	p->swapping = true;
	ac->owner.swap(ac->owner.arg, p);
}

static void conclude(struct autocert *ac, struct provider *p, bool was_forced)
{
	const struct obtained *o = &p->last;
	int64_t now = clock_wall_s();

	p->due = o->due;
	switch (o->result) {
	case OBTAIN_RENEWED:
		p->renewals++;
		start_swap(ac, p);
		return;
	case OBTAIN_FAILED: p->failures++; break;
	case OBTAIN_KEPT:          /* somebody else may have put other files there */
		if (p->due <= now) /* whatever it is: it must not run in circles */
			p->due = now + 1;
		if (o->cert && !ac->owner.serves(ac->owner.arg, p->conf, o->cert))
			start_swap(ac, p);
		break;
	case OBTAIN_STOPPED: break;
	}
	if (was_forced)
		finish(ac, p, false);
}

static void run_home(struct job *job)
{
	struct run *run = (struct run *)job;
	struct autocert *ac = run->ac;
	struct provider *p = run->provider;
	bool stopped = stop_is_set(&run->stop);

	p->running = NULL;
	p->ordering = false;
	obtained_clear(&p->last);
	p->last = run->out;
	if (!p->conf) {
		finish(ac, p, false);
		free_provider(p);
	} else if (stopped) { /* for a reload, or for good */
		if (run->forced)
			finish(ac, p, false);
		p->due = 0;
	} else {
		p->looked = true;
		conclude(ac, p, run->forced);
		if (p->again) /* it may have read a secret that is another one now */
			p->due = 0;
	}
	stop_clear(&run->stop);
	conf_unref(run->conf);
	free(run);
	autocert_tick(ac); /* it may have been waited for */
}

static void start_run(struct autocert *ac, struct provider *p)
{
	struct run *run = mem_zalloc(sizeof(*run));
	struct error err;

	if (stop_init(&run->stop, &err) < 0) {
		log_warn("autocert: %s: %s", p->conf->name, err.text);
		free(run);
		p->due = clock_wall_s() + 10;
		return;
	}
	run->job.run = run_it;
	run->job.done = run_home;
	run->ac = ac;
	run->provider = p;
	run->conf = conf_ref(ac->conf);
	run->autocert = p->conf;
	run->forced = p->forced;
	run->first = !p->looked;
	run->fresh = p->again;
	if (!jobs_submit(ac->jobs, &run->job)) { /* the next tick tries again */
		stop_clear(&run->stop);
		conf_unref(run->conf);
		free(run);
		return;
	}
	p->running = run;
	p->again = false;
}

/* What providers of before have left behind */

static void sweep_it(struct job *job)
{
	struct sweep *s = (struct sweep *)job;

	leftovers_remove(s->conf, &s->stop);
}

static void sweep_home(struct job *job)
{
	struct sweep *s = (struct sweep *)job;
	struct autocert *ac = s->ac;

	ac->sweep = NULL;
	stop_clear(&s->stop);
	conf_unref(s->conf);
	free(s);
	autocert_tick(ac);
}

/* Once a configuration, and after those have ended that are still at such files; later where there
 * is no room for the job now. */
static void start_sweep(struct autocert *ac)
{
	struct sweep *s;
	struct provider *p;

	if (!ac->sweep_due || ac->sweep)
		return;
	LIST_FOREACH (p, &ac->all, link)
		if (p->running && (!p->conf || is_local(p->conf)))
			return;
	s = mem_zalloc(sizeof(*s));
	s->job.run = sweep_it;
	s->job.done = sweep_home;
	s->ac = ac;
	if (stop_init(&s->stop, NULL) < 0) {
		free(s);
		return;
	}
	s->conf = conf_ref(ac->conf);
	if (!jobs_submit(ac->jobs, &s->job)) {
		stop_clear(&s->stop);
		conf_unref(s->conf);
		free(s);
		return;
	}
	ac->sweep = s;
	ac->sweep_due = false;
}

void autocert_tick(struct autocert *ac)
{
	int64_t now = clock_wall_s();

	/* One that was told to stop may be at the files of a provider that is one again. */
	if (ac->stopping || (ac->sweep && stop_is_set(&ac->sweep->stop)))
		return;
	start_sweep(ac);
	for (size_t i = 0; i < ac->n; i++) {
		struct provider *p = ac->providers[i];

		if (p->running || p->swapping)
			continue;
		if (is_local(p->conf)) {
			if (p->forced) /* before a reload made it local */
				finish(ac, p, false);
		} else if (p->forced || now >= p->due) {
			start_run(ac, p);
		}
	}
}

void autocert_swapped(struct autocert *ac, struct provider *p, const char *problem)
{
	char *text = NULL;

	p->swapping = false;
	if (!p->conf) {
		finish(ac, p, !problem);
		free_provider(p);
		return;
	}
	if (problem && !ac->stopping) { /* else the next start serves it */
		text = mem_printf("%s is not served yet: %s", p->conf->cert_path, problem);
		say(ac, p, STEP_FAILED, LOG_ERROR, text);
	} else if (!problem && p->last.result == OBTAIN_RENEWED) {
		text = mem_printf("%s is served", p->conf->cert_path);
		say(ac, p, STEP_SWAPPED, LOG_INFO, text);
	}
	free(text);
	if (p->last.result == OBTAIN_RENEWED && p->forced && !p->running)
		finish(ac, p, !problem);
	autocert_tick(ac);
}

/* Configuration */

struct autocert *autocert_new(
	struct jobs *jobs, struct mailbox *home, const struct autocert_owner *owner)
{
	struct autocert *ac = mem_zalloc(sizeof(*ac));

	ac->jobs = jobs;
	ac->home = home;
	ac->owner = *owner;
	LIST_INIT(&ac->all);
	return ac;
}

static struct provider *find(struct autocert *ac, const struct conf_autocert *a)
{
	struct provider *p;

	LIST_FOREACH (p, &ac->all, link)
		if (strcmp(p->id, a->id) == 0)
			return p;
	p = mem_zalloc(sizeof(*p));
	memcpy(p->id, a->id, sizeof(p->id));
	LIST_INSERT_HEAD(&ac->all, p, link);
	return p;
}

/* Those that are in no configuration any more go, as soon as nothing runs for them. */
static void drop_unconfigured(struct autocert *ac)
{
	struct provider *p, *next;

	for (p = LIST_FIRST(&ac->all); p; p = next) {
		next = LIST_NEXT(p, link);
		if (p->conf)
			continue;
		if (p->running)
			stop_set(&p->running->stop);
		else if (!p->swapping) {
			finish(ac, p, false);
			free_provider(p);
		}
	}
}

void autocert_configure(struct autocert *ac, struct conf *c)
{
	struct conf *before = ac->conf;
	struct provider *p;

	ac->conf = conf_ref(c);
	LIST_FOREACH (p, &ac->all, link)
		p->conf = NULL;
	free(ac->providers);
	ac->n = c->n_providers;
	ac->providers = mem_zalloc(ac->n * sizeof(*ac->providers));
	for (size_t i = 0; i < ac->n; i++) {
		const struct conf_autocert *a = &c->providers[i];

		p = ac->providers[i] = find(ac, a);
		p->conf = a;
		p->due = 0;
		p->again = true;
		if (p->running && strcmp(p->running->autocert->fingerprint, a->fingerprint) != 0)
			stop_set(&p->running->stop);
	}
	drop_unconfigured(ac);
	ac->sweep_due = true;
	if (ac->sweep)
		stop_set(&ac->sweep->stop);
	conf_unref(before);
	autocert_tick(ac);
}

void autocert_stop(struct autocert *ac)
{
	struct provider *p;

	ac->stopping = true;
	if (ac->sweep)
		stop_set(&ac->sweep->stop);
	LIST_FOREACH (p, &ac->all, link)
		if (p->running)
			stop_set(&p->running->stop);
}

void autocert_free(struct autocert *ac)
{
	if (!ac)
		return;
	while (!LIST_EMPTY(&ac->all))
		free_provider(LIST_FIRST(&ac->all));
	free(ac->providers);
	conf_unref(ac->conf);
	free(ac);
}

/* Forced renewals */

/* From the first step until every worker serves it. */
static bool is_renewing(const struct provider *p)
{
	return p->forced || p->ordering || (p->swapping && p->last.result == OBTAIN_RENEWED);
}

static bool is_meant(const struct provider *p, const char *name)
{
	return !name || strcmp(p->conf->name, name) == 0;
}

enum autocert_asked autocert_may_renew(const struct autocert *ac, const char *name)
{
	enum autocert_asked asked = name ? ASKED_UNKNOWN : ASKED_NOTHING;

	for (size_t i = 0; i < ac->n; i++) {
		const struct provider *p = ac->providers[i];

		if (!is_meant(p, name))
			continue;
		if (is_local(p->conf)) {
			asked = asked == ASKED_STARTED ? asked : ASKED_NOTHING;
			continue;
		}
		if (is_renewing(p) || ac->stopping)
			return ASKED_RUNNING;
		asked = ASKED_STARTED;
	}
	return asked;
}

enum autocert_asked autocert_renew(struct autocert *ac, const char *name, struct autocert_watch *w)
{
	enum autocert_asked asked = autocert_may_renew(ac, name);

	for (size_t i = 0; i < ac->n && asked == ASKED_STARTED; i++) {
		struct provider *p = ac->providers[i];

		if (is_local(p->conf) || !is_meant(p, name))
			continue;
		p->forced = true;
		p->watch = w;
		if (w)
			w->waiting++;
	}
	if (asked == ASKED_STARTED)
		autocert_tick(ac);
	return asked;
}

void autocert_unwatch(struct autocert *ac, struct autocert_watch *w)
{
	struct provider *p;

	LIST_FOREACH (p, &ac->all, link)
		if (p->watch == w)
			p->watch = NULL;
}

bool autocert_get(const struct autocert *ac, size_t i, struct autocert_status *out)
{
	const struct provider *p;

	if (i >= ac->n)
		return false;
	p = ac->providers[i];
	*out = (struct autocert_status){
		.conf = p->conf,
		.last = p->looked ? &p->last : NULL,
		.running = is_renewing(p),
		.renewals = p->renewals,
		.failures = p->failures,
	};
	return true;
}
