#include "notices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define DAY_S       86400
#define NAMES_SHOWN 5
#define START_MAX   100 /* certificates that the first message gets; it shows those that fit */

struct told {
	char *provider;
	int64_t at; /* Unix s; 0 = all is well */
};

/* Details, with text of their own. */
struct details {
	struct notify_field *v;
	size_t n;
};

__attribute__((format(printf, 3, 4))) static void add(
	struct details *d, const char *name, const char *fmt, ...)
{
	struct notify_field *f = mem_grow(&d->v, d->n++, sizeof(*d->v));
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f->name = mem_strdup(name);
	f->value = mem_strdup(text);
}

static void clear(struct details *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free((char *)(uintptr_t)d->v[i].name);
		free((char *)(uintptr_t)d->v[i].value);
	}
	free(d->v);
}

static void add_host(struct details *d)
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) == 0)
		add(d, "host", "%s", host);
}

/* "a.example, b.example and 3 more". Returns new. */
static char *list_names(const char *const *names, size_t n)
{
	struct str s = {0};

	str_add(&s, "", 0);
	for (size_t i = 0; i < n && i < NAMES_SHOWN; i++)
		str_addf(&s, "%s%s", i ? ", " : "", names[i]);
	if (n > NAMES_SHOWN)
		str_addf(&s, " and %zu more", n - NAMES_SHOWN);
	return s.data;
}

static char *list_domains(const struct conf_autocert *a)
{
	return list_names((const char *const *)a->domains.v, a->domains.n);
}

static const char *until(char out[64], const struct cert *c)
{
	char date[CLOCK_RFC3339_SIZE];
	int64_t left = c->not_after - clock_wall_s();

	clock_rfc3339(date, c->not_after, -1);
	if (left < 0)
		snprintf(out, 64, "%s: it has expired", date);
	else if (left < 2 * DAY_S)
		snprintf(out, 64, "%s, in %lld hours", date, (long long)left / 3600);
	else
		snprintf(out, 64, "%s, in %lld days", date, (long long)left / DAY_S);
	return out;
}

/* Start */

static int compare_dates(const void *a, const void *b)
{
	const struct cert *x = *(const struct cert *const *)a, *y = *(const struct cert *const *)b;

	return (x->not_after > y->not_after) - (x->not_after < y->not_after);
}

static void add_missing(struct details *d, const struct conf *c, const struct certs *certs)
{
	for (size_t i = 0; i < c->n_providers && d->n < START_MAX; i++) {
		const struct conf_autocert *a = &c->providers[i];
		char *domains;

		/* Those of autocert come first in the table. */
		if (a->provider == PROVIDER_LOCAL ||
			certs_of_file(certs, a->cert_path, c->n_providers))
			continue;
		domains = list_domains(a);
		add(d, domains, "none yet: %s gets it", a->name);
		free(domains);
	}
}

/* Those that expire first come first: not all of them may fit. */
static void add_dates(struct details *d, const struct certs *certs)
{
	size_t n = certs_count(certs);
	const struct cert **v = mem_zalloc(n * sizeof(struct cert *));
	char date[64];

	for (size_t i = 0; i < n; i++)
		v[i] = certs_at(certs, i);
	qsort(v, n, sizeof(struct cert *), compare_dates);
	for (size_t i = 0; i < n && d->n < START_MAX; i++) {
		char *names = list_names(v[i]->names, v[i]->n_names);

		add(d, names, "until %s", until(date, v[i]));
		free(names);
	}
	free(v);
}

void notices_start(struct notices *n, const struct conf *c, const struct certs *certs)
{
	char message[128], host[256] = "";
	struct details d = {0};
	char *title;

	if (!c->n_notifications)
		return;
	gethostname(host, sizeof(host) - 1);
	title = mem_printf("lintel has started on %s", host);
	snprintf(message, sizeof(message), "Certificates that it serves: %zu.", certs_count(certs));
	add_missing(&d, c, certs);
	add_dates(&d, certs);
	notify_send(n->notify, LOG_INFO, title, message, d.v, d.n);
	clear(&d);
	free(title);
}

/* Renewals */

static struct told *find_told(struct notices *n, const char *provider)
{
	struct told *t;

	for (size_t i = 0; i < n->n_told; i++)
		if (strcmp(n->told[i].provider, provider) == 0)
			return &n->told[i];
	t = mem_grow(&n->told, n->n_told++, sizeof(*n->told));
	t->provider = mem_strdup(provider);
	return t;
}

static void forget(struct notices *n)
{
	for (size_t i = 0; i < n->n_told; i++)
		free(n->told[i].provider);
	free(n->told);
	n->told = NULL;
	n->n_told = 0;
}

static void send_event(struct notices *n, enum log_level level, const char *what,
	const char *message, const struct conf_autocert *a, const struct cert *cert)
{
	char *title = mem_printf("%s: %s", what, a->domains.n ? a->domains.v[0] : a->name);
	char *domains = list_domains(a);
	struct details d = {0};
	char date[64];

	add_host(&d);
	add(&d, "autocert", "%s", a->name);
	add(&d, "names", "%s", domains);
	if (cert)
		add(&d, "valid until", "%s", until(date, cert));
	else
		add(&d, "valid until", "there is no certificate yet");
	notify_send(n->notify, level, title, message, d.v, d.n);
	clear(&d);
	free(domains);
	free(title);
}

void notices_event(struct notices *n, const struct autocert_event *e, const struct conf_autocert *a,
	const struct cert *cert)
{
	struct told *t;
	int64_t now = clock_wall_s();

	if (e->step != STEP_SWAPPED && e->step != STEP_FAILED)
		return;
	t = find_told(n, a->name);
	if (e->step == STEP_SWAPPED) {
		t->at = 0;
		send_event(n, LOG_INFO, "Certificate renewed", "", a, cert);
	} else if (!t->at || now >= t->at + DAY_S || now < t->at) {
		t->at = now;
		send_event(n, LOG_ERROR, "Certificate renewal failed", e->text, a, cert);
	}
}

/* Lifecycle */

int notices_init(struct notices *n, struct event_base *base, struct jobs *jobs, struct error *err)
{
	*n = (struct notices){0};
	n->notify = notify_new(base, jobs, err);
	return n->notify ? 0 : -1;
}

void notices_configure(struct notices *n, struct conf *c)
{
	forget(n); /* what was changed may mend it, or not */
	notify_configure(n->notify, c);
}

void notices_stop(struct notices *n)
{
	notify_stop(n->notify);
}

void notices_clear(struct notices *n)
{
	notify_free(n->notify);
	forget(n);
}
