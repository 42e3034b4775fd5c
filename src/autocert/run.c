#include "autocert/run.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autocert/store.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

void run_say(
	const struct run *r, enum autocert_step step, enum log_level level, const char *fmt, ...)
{
	char text[ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->o->say(r->o->arg, step, level, text);
}

double run_draw(void)
{
	uint32_t n = 0;

	RAND_bytes((unsigned char *)&n, sizeof(n));
	return n / 4294967296.0;
}

/* ---- names ---- */

bool run_covers(const char *pattern, const char *name)
{
	const char *rest = strchr(name, '.');

	return strcmp(pattern, name) == 0 ||
	       (str_starts(pattern, "*.") && rest && !str_starts(name, "*.") &&
		       strcmp(pattern + 1, rest) == 0);
}

bool run_has_name(const struct cert *c, const char *name)
{
	for (size_t i = 0; i < c->n_names; i++)
		if (run_covers(c->names[i], name))
			return true;
	return false;
}

bool run_serves(const struct run *r)
{
	return r->out->cert && r->out->cert->not_after > clock_wall_s();
}

const char *run_names_text(char out[300], const struct conf_strings *names)
{
	if (names->n > 1)
		snprintf(out, 300, "%s and %zu more", names->v[0], names->n - 1);
	else
		snprintf(out, 300, "%s", names->v[0]);
	return out;
}

/* ---- the state ---- */

/* A disk that cannot be written to must not cost orders: nothing is begun that cannot be noted. */
int run_save(const struct run *r, struct error *err)
{
	return state_save(r->state, r->o->conf->state_dir, r->a->id, err);
}

void run_save_or_warn(const struct run *r)
{
	struct error err;

	if (run_save(r, &err) < 0)
		run_say(r, STEP_NOTE, LOG_WARN, "%s", err.text);
}

/* Its key goes last: an order in the state has one. */
void run_forget_order(struct run *r)
{
	struct error err;

	free(r->state->order_url);
	free(r->state->order_ca);
	free(r->state->order_account);
	r->state->order_url = r->state->order_ca = r->state->order_account = NULL;
	if (run_save(r, &err) == 0)
		store_drop_order_key(r->o->conf->state_dir, r->a->id);
	else
		run_say(r, STEP_NOTE, LOG_WARN, "%s", err.text);
}

void run_set_failure(struct run *r, const char *text)
{
	free(r->state->failure);
	r->state->failure = mem_strdup(text);
}

/* By itself: a wildcard that covers it was not asked for. */
static bool has_exactly(const struct cert *c, const char *name)
{
	for (size_t i = 0; i < c->n_names; i++)
		if (strcmp(c->names[i], name) == 0)
			return true;
	return false;
}

/* What the CA has issued is what was asked for. */
static int check_issued(const struct run *r, const struct cert *c, struct error *err)
{
	int64_t now = clock_wall_s();

	for (size_t i = 0; i < r->domains.n; i++)
		if (!has_exactly(c, r->domains.v[i]))
			return error_set(
				err, "the certificate that was issued lacks %s", r->domains.v[i]);
	if (c->n_names != r->domains.n)
		return error_set(err,
			"the certificate that was issued has %zu names, %zu were asked for",
			c->n_names, r->domains.n);
	if (c->not_after <= now || c->not_after <= c->not_before)
		return error_set(err, "the certificate that was issued has expired already");
	return 0;
}

int run_install(struct run *r, const char *cert_text, const char *key_text, struct error *err)
{
	char date[CLOCK_RFC3339_SIZE];
	struct cert *c = cert_from_pem(cert_text, strlen(cert_text), key_text, strlen(key_text),
		"the certificate that was issued", err);

	r->failure = FAILURE_ORDER;
	if (!c || check_issued(r, c, err) < 0)
		goto fail;
	r->failure = FAILURE_EARLY; /* the order is open: a disk that is full costs no new one */
	if (store_write_pair(r->a->cert_path, cert_text, r->a->key_path, key_text, err) < 0)
		goto fail;
	cert_unref(r->out->cert);
	r->out->cert = c;
	run_say(r, STEP_ISSUED, LOG_INFO, "certificate obtained: %s, valid until %s",
		r->a->cert_path, clock_rfc3339(date, c->not_after, -1));
	return 0;
fail:
	cert_unref(c);
	return -1;
}
