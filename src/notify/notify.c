#include "notify/notify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/stop.h"
#include "http/fetch.h"
#include "notify/message.h"
#include "notify/target.h"

#define QUEUE_MAX  256 /* deliveries */
#define TRY_MS     2000
#define WAIT_MAX_S 300
#define BUSY_MS    1000 /* until the next look when the job threads have enough to do */
#define ANSWER_MAX 65536

struct delivery { /* of one message to one target */
	struct job job;
	struct notify *notify;
	TAILQ_ENTRY(delivery) link;
	struct conf *conf; /* what `target` is part of */
	const struct conf_notification *target;
	char *name; /* of the target, for the log */
	char *title;
	enum log_level level;
	struct target_request request;
	unsigned tries;
	int64_t due; /* ms, monotonic */
	/* Of the last try. */
	bool ran, delivered;
	struct error err;
};

struct notify {
	struct event *timer;
	struct jobs *jobs;
	struct conf *conf; /* NULL until configured */
	struct stop stop;
	TAILQ_HEAD(, delivery) queue; /* but for the one that runs */
	struct delivery *running;
	size_t n;       /* that one included */
	size_t dropped; /* since the queue was full */
	bool stopping;
};

unsigned notify_tries(enum log_level level)
{
	switch (level) {
	case LOG_ERROR: return 5;
	case LOG_WARN: return 3;
	case LOG_INFO:
	case LOG_DEBUG: break;
	}
	return 1;
}

int64_t notify_wait_ms(unsigned tries, double random)
{
	int64_t s = tries < 9 ? INT64_C(1) << tries : WAIT_MAX_S;

	return (int64_t)((double)(s < WAIT_MAX_S ? s : WAIT_MAX_S) * 1000 * (0.9 + 0.2 * random));
}

/* Deliveries */

static void free_delivery(struct delivery *d)
{
	d->notify->n--;
	target_request_clear(&d->request);
	conf_unref(d->conf);
	free(d->name);
	free(d->title);
	free(d);
}

/* What the status of an answer means: 0, or -1 with a sentence. */
static int judge(long status, struct error *err)
{
	switch (status) {
	case 200:
	case 201:
	case 202:
	case 204: return 0;
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		return error_set(
			err, "HTTP %ld: it has moved; give the url that it has moved to", status);
	case 401:
	case 403: return error_set(err, "HTTP %ld: is its token right?", status);
	case 404: return error_set(err, "HTTP 404: is its url right?");
	case 429: return error_set(err, "HTTP 429: it has had too many messages");
	}
	return error_set(err, "HTTP %ld", status);
}

/* In a job thread. */
static void run_try(struct job *job)
{
	struct delivery *d = (struct delivery *)job;
	struct fetch_response res;
	struct fetch_request req = {
		.method = d->request.method,
		.url = d->request.url,
		.bearer = d->target->token,
		.body = d->request.body,
		.content_type = d->request.content_type,
		.where = d->name,
		.stop = &d->notify->stop,
		.timeout_ms = TRY_MS,
		.max_bytes = ANSWER_MAX,
		.use_proxy = true,
	};

	d->ran = true;
	if (fetch(&req, &res, &d->err) < 0)
		return;
	d->delivered = judge(res.status, &d->err) == 0;
	if (!d->delivered)
		error_prefix(&d->err, "%s", d->name);
	fetch_response_clear(&res);
}

static void set_timer(struct notify *n);

static double draw(void)
{
	return (double)arc4random() / ((double)UINT32_MAX + 1);
}

static void try_done(struct job *job)
{
	struct delivery *d = (struct delivery *)job;
	struct notify *n = d->notify;
	bool again = false;

	n->running = NULL;
	if (d->ran && !n->stopping) {
		d->tries++;
		again = !d->delivered && d->tries < notify_tries(d->level);
		if (d->delivered)
			log_debug("notifications: %s: \"%s\" is delivered", d->name, d->title);
		else if (again)
			log_debug("notifications: %s; it is tried again", d->err.text);
		else
			log_warn("notifications: %s; \"%s\" is given up after %u tr%s", d->err.text,
				d->title, d->tries, d->tries == 1 ? "y" : "ies");
	} else {
		again = true; /* counted at the end */
	}
	if (again) {
		d->due = clock_mono_ms() + notify_wait_ms(d->tries, draw());
		d->ran = false;
		TAILQ_INSERT_TAIL(&n->queue, d, link);
	} else {
		free_delivery(d);
	}
	if (n->dropped && n->n < QUEUE_MAX / 2) {
		log_warn("notifications: %zu were dropped while the queue was full", n->dropped);
		n->dropped = 0;
	}
	set_timer(n);
}

static struct delivery *find_first(const struct notify *n)
{
	struct delivery *d, *first = TAILQ_FIRST(&n->queue);

	TAILQ_FOREACH (d, &n->queue, link)
		if (d->due < first->due)
			first = d;
	return first;
}

/* The one that is due first, once nothing runs. */
static void set_timer(struct notify *n)
{
	struct delivery *d = find_first(n);
	struct timeval in = {0};
	int64_t ms;

	if (!d || n->running || n->stopping) {
		event_del(n->timer);
		return;
	}
	ms = d->due - clock_mono_ms();
	if (ms > 0)
		in = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(n->timer, &in);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct notify *n = arg;
	struct delivery *d = find_first(n);

	(void)fd;
	(void)what;
	if (!d || n->running || n->stopping)
		return;
	if (d->due <= clock_mono_ms()) {
		if (jobs_submit(n->jobs, &d->job)) {
			TAILQ_REMOVE(&n->queue, d, link);
			n->running = d;
		} else {
			d->due = clock_mono_ms() + BUSY_MS;
		}
	}
	set_timer(n);
}

/* Messages */

static char *name_of(const struct conf *c, const struct conf_notification *t)
{
	return t->name ? mem_strdup(t->name)
		       : mem_printf("notifications[%zu]", (size_t)(t - c->notifications));
}

static void queue(struct notify *n, const struct conf_notification *t, const struct message *m)
{
	struct delivery *d;

	if (n->n == QUEUE_MAX) {
		if (!n->dropped++)
			log_warn("notifications: the queue is full, with %d: \"%s\" is dropped",
				QUEUE_MAX, m->title);
		return;
	}
	d = mem_zalloc(sizeof(*d));
	d->job.run = run_try;
	d->job.done = try_done;
	d->notify = n;
	d->conf = conf_ref(n->conf);
	d->target = t;
	d->name = name_of(n->conf, t);
	d->title = mem_strdup(m->title);
	d->level = m->level;
	d->due = clock_mono_ms();
	target_make(t, m, &d->request);
	TAILQ_INSERT_TAIL(&n->queue, d, link);
	n->n++;
}

void notify_send(struct notify *n, enum log_level level, const char *title, const char *message,
	const struct notify_field *fields, size_t n_fields)
{
	struct message m;

	if (!n->conf || !n->conf->n_notifications || n->stopping)
		return;
	message_init(&m, level, title, message, fields, n_fields);
	for (size_t i = 0; i < n->conf->n_notifications; i++)
		queue(n, &n->conf->notifications[i], &m);
	message_clear(&m);
	set_timer(n);
}

/* Lifecycle */

struct notify *notify_new(struct event_base *base, struct jobs *jobs, struct error *err)
{
	struct notify *n = mem_zalloc(sizeof(*n));

	if (stop_init(&n->stop, err) < 0) {
		free(n);
		return NULL;
	}
	n->jobs = jobs;
	TAILQ_INIT(&n->queue);
	n->timer = event_new(base, -1, 0, on_due, n);
	if (!n->timer)
		abort(); /* out of memory */
	return n;
}

void notify_configure(struct notify *n, struct conf *c)
{
	conf_ref(c);
	conf_unref(n->conf);
	n->conf = c;
}

void notify_stop(struct notify *n)
{
	n->stopping = true;
	stop_set(&n->stop);
	set_timer(n);
}

void notify_free(struct notify *n)
{
	struct delivery *d;

	if (!n)
		return;
	if (n->n + n->dropped)
		log_warn("notifications: %zu were not delivered", n->n + n->dropped);
	while ((d = TAILQ_FIRST(&n->queue))) {
		TAILQ_REMOVE(&n->queue, d, link);
		free_delivery(d);
	}
	conf_unref(n->conf);
	event_free(n->timer);
	stop_clear(&n->stop);
	free(n);
}

void notify_check(const struct conf *c, struct problems *p)
{
	for (size_t i = 0; i < c->n_notifications; i++) {
		const struct conf_notification *t = &c->notifications[i];
		char *path = mem_printf("notifications[%zu].payload", i);
		struct error err;

		if (t->provider == NOTIFY_WEBHOOK && webhook_check(t, &err) < 0)
			conf_problem(p, c, t->place, path, "%s", err.text);
		free(path);
	}
}
