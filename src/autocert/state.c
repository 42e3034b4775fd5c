#include "autocert/state.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autocert/store.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/answer.h"

#define TXTS_MAX  1000 /* ten orders of a hundred names each; the newest are kept */
#define COUNT_MAX 1000000
#define TIME_MAX  INT64_C(253402300799) /* the end of the year 9999 */

static char *path_of(const char *state_dir, const char *id)
{
	return mem_printf("%s/autocert/%s.json", state_dir, id);
}

/* ---- reading ---- */

/* The member of that type; NULL with *bad set where it is of another one. */
static struct json_object *member(
	struct json_object *o, const char *key, enum json_type type, bool *bad)
{
	struct json_object *m;

	if (!json_object_object_get_ex(o, key, &m) || !m)
		return NULL;
	if (json_object_is_type(m, type))
		return m;
	*bad = true;
	return NULL;
}

static char *get_string(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *m = member(o, key, json_type_string, bad);

	return m ? mem_strdup(json_object_get_string(m)) : NULL;
}

static int64_t get_time(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *m = member(o, key, json_type_int, bad);
	int64_t t = m ? json_object_get_int64(m) : 0;

	return t > 0 && t <= TIME_MAX ? t : 0;
}

static unsigned get_count(struct json_object *o, const char *key, bool *bad)
{
	int64_t n = get_time(o, key, bad);

	return n < COUNT_MAX ? (unsigned)n : COUNT_MAX;
}

static void get_txts(struct state *s, struct json_object *o, bool *bad)
{
	struct json_object *list = member(o, "txt", json_type_array, bad);
	size_t n = list ? json_object_array_length(list) : 0;

	*bad = *bad || n > TXTS_MAX;
	for (size_t i = 0; i < n && !*bad; i++) {
		struct json_object *m = json_object_array_get_idx(list, i);
		struct dns_txt *t;

		if (!json_object_is_type(m, json_type_object)) {
			*bad = true;
			return;
		}
		t = mem_grow(&s->txts, s->n_txts++, sizeof(*t));
		t->fqdn = get_string(m, "fqdn", bad);
		t->value = get_string(m, "value", bad);
		t->name = get_string(m, "name", bad);
		t->zone = get_string(m, "zone", bad);
		t->zone_id = get_string(m, "zone_id", bad);
		t->handle = get_string(m, "handle", bad);
		t->domain = get_string(m, "domain", bad);
		t->token = get_string(m, "token", bad);
		t->authorization = get_string(m, "authorization", bad);
		t->present = true;
		*bad = *bad || !t->fqdn || !t->value || !t->name || !t->zone;
	}
}

/* NULL when it is no JSON, or no object. */
static struct json_object *parse_object(const char *text, size_t len)
{
	struct json_object *o;

	if (answer_json(text, len, STATE_FILE_MAX, &o, NULL) < 0)
		return NULL;
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	return NULL;
}

int state_parse(struct state *s, const char *text, size_t len, struct error *err)
{
	struct json_object *o = parse_object(text, len);
	char *fingerprint;
	bool bad = false;

	*s = (struct state){0};
	if (!o)
		return error_set(err, "is not what lintel has written: no JSON object");
	fingerprint = get_string(o, "fingerprint_hmac", &bad);
	if (fingerprint && strlen(fingerprint) < sizeof(s->fingerprint))
		strcpy(s->fingerprint, fingerprint);
	free(fingerprint);
	s->attempts = get_count(o, "attempts", &bad);
	s->unreachable = get_count(o, "unreachable", &bad);
	s->failed_at = get_time(o, "failed_at", &bad);
	s->retry_at = get_time(o, "retry_at", &bad);
	s->failure = get_string(o, "failure", &bad);
	s->obtained_at = get_time(o, "obtained_at", &bad);
	s->obtained_until = get_time(o, "obtained_until", &bad);
	s->obtained_ca = get_string(o, "obtained_ca", &bad);
	s->obtained_account = get_string(o, "obtained_account", &bad);
	s->order_url = get_string(o, "order", &bad);
	s->order_ca = get_string(o, "order_ca", &bad);
	if (s->order_url)
		s->order_account = get_string(o, "order_account", &bad);
	s->ari_id = get_string(o, "ari_id", &bad);
	s->ari_explanation = get_string(o, "ari_explanation", &bad);
	s->ari_start = get_time(o, "ari_start", &bad);
	s->ari_end = get_time(o, "ari_end", &bad);
	s->ari_drawn = get_time(o, "ari_drawn", &bad);
	s->ari_check_at = get_time(o, "ari_check_at", &bad);
	s->ari_failures = get_count(o, "ari_failures", &bad);
	s->txts_warned_at = get_time(o, "txt_warned_at", &bad);
	s->dns = get_string(o, "dns", &bad);
	get_txts(s, o, &bad);
	json_object_put(o);
	if (!bad && !s->order_url == !s->order_ca)
		return 0;
	state_clear(s);
	return error_set(err, "is not what lintel has written: members are missing or mistyped");
}

int state_load(struct state *s, const char *state_dir, const char *id, struct error *err)
{
	char *path = path_of(state_dir, id), *text = NULL;
	struct error why;
	size_t len;
	int rc = 0;

	*s = (struct state){0};
	if (access(path, F_OK) < 0 && errno == ENOENT)
		goto out;
	text = file_read(path, STATE_FILE_MAX, &len, err);
	if (!text) {
		rc = -1;
	} else if (state_parse(s, text, len, &why) < 0) {
		log_warn("%s %s: autocert begins afresh", path, why.text);
		rc = store_put_aside(path, err);
	}
out:
	free(text);
	free(path);
	return rc;
}

/* ---- writing ---- */

static void add_string(struct json_object *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_object_add(o, key, json_object_new_string(value));
}

static void add_number(struct json_object *o, const char *key, int64_t value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_int64(value));
}

static struct json_object *txts_json(const struct state *s)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = s->n_txts > TXTS_MAX ? s->n_txts - TXTS_MAX : 0; i < s->n_txts; i++) {
		const struct dns_txt *t = &s->txts[i];
		struct json_object *o = json_object_new_object();

		if (!t->present || !t->name || !t->zone) {
			json_object_put(o);
			continue;
		}
		add_string(o, "fqdn", t->fqdn);
		add_string(o, "value", t->value);
		add_string(o, "name", t->name);
		add_string(o, "zone", t->zone);
		add_string(o, "zone_id", t->zone_id);
		add_string(o, "handle", t->handle);
		add_string(o, "domain", t->domain);
		add_string(o, "token", t->token);
		add_string(o, "authorization", t->authorization);
		json_object_array_add(list, o);
	}
	return list;
}

int state_save(const struct state *s, const char *state_dir, const char *id, struct error *err)
{
	struct json_object *o = json_object_new_object();
	char *path = path_of(state_dir, id);
	const char *text;
	int rc;

	add_string(o, "fingerprint_hmac", s->fingerprint);
	add_number(o, "attempts", s->attempts);
	add_number(o, "unreachable", s->unreachable);
	add_number(o, "failed_at", s->failed_at);
	add_number(o, "retry_at", s->retry_at);
	add_string(o, "failure", s->failure);
	add_number(o, "obtained_at", s->obtained_at);
	add_number(o, "obtained_until", s->obtained_until);
	add_string(o, "obtained_ca", s->obtained_ca);
	add_string(o, "obtained_account", s->obtained_account);
	add_string(o, "order", s->order_url);
	add_string(o, "order_ca", s->order_ca);
	add_string(o, "order_account", s->order_account);
	add_string(o, "ari_id", s->ari_id);
	add_string(o, "ari_explanation", s->ari_explanation);
	add_number(o, "ari_start", s->ari_start);
	add_number(o, "ari_end", s->ari_end);
	add_number(o, "ari_drawn", s->ari_drawn);
	add_number(o, "ari_check_at", s->ari_check_at);
	add_number(o, "ari_failures", s->ari_failures);
	add_number(o, "txt_warned_at", s->txts_warned_at);
	add_string(o, "dns", s->dns);
	json_object_object_add(o, "txt", txts_json(s));
	text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	rc = file_make_folder(path, 0755, err);
	if (rc == 0)
		rc = file_write(path, text, strlen(text), 0600, err);
	json_object_put(o);
	free(path);
	return rc;
}

void state_drop_absent(struct state *s)
{
	size_t left = 0;

	for (size_t i = 0; i < s->n_txts; i++) {
		struct dns_txt t = s->txts[i];

		s->txts[i] = (struct dns_txt){0};
		if (t.present)
			s->txts[left++] = t;
		else
			dns_txts_clear(&t, 1);
	}
	s->n_txts = left;
}

void state_clear(struct state *s)
{
	free(s->dns);
	dns_txts_clear(s->txts, s->n_txts);
	free(s->txts);
	free(s->failure);
	free(s->order_url);
	free(s->order_ca);
	free(s->order_account);
	free(s->obtained_ca);
	free(s->obtained_account);
	free(s->ari_id);
	free(s->ari_explanation);
	*s = (struct state){0};
}
