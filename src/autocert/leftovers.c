#include "autocert/leftovers.h"

#include <dirent.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autocert/state.h"
#include "autocert/store.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define ENDING     ".json"
#define CLEANUP_MS 10000 /* that removing the records of one state by one provider may take */

/* A provider whose own look sees to it. */
static bool is_looked_at(const struct conf *c, const char *id)
{
	for (size_t i = 0; i < c->n_providers; i++)
		if (c->providers[i].provider != PROVIDER_LOCAL &&
			strcmp(c->providers[i].id, id) == 0)
			return true;
	return false;
}

/* Whether an earlier one has the same options, and needs no try of its own. */
static bool is_same_as_before(unsigned char (*hashes)[SHA256_DIGEST_LENGTH], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(hashes[i], hashes[n], sizeof(hashes[n])) == 0)
			return true;
	return false;
}

/* By name and value: handles are of the one who made them. Whose zone it is not says so. */
static void remove_txts(
	const struct conf *c, struct state *s, const struct stop *stop, struct error *err)
{
	unsigned char(*hashes)[SHA256_DIGEST_LENGTH] = mem_zalloc(c->n_providers * sizeof(*hashes));
	size_t n = 0;

	for (size_t i = 0; i < s->n_txts; i++) {
		free(s->txts[i].handle);
		s->txts[i].handle = NULL;
	}
	for (size_t i = 0; i < c->n_providers && s->n_txts && !stop_is_set(stop); i++) {
		const struct conf_autocert *a = &c->providers[i];
		struct dns_job j = {.autocert = a, .limits.stop = stop};
		struct problems p = {0};
		struct dns_provider *dns = conf_is_acme(a) ? dns_provider_new(c, a, &p) : NULL;

		problems_clear(&p);
		if (!dns)
			continue;
		j.provider = dns;
		j.limits.deadline_ms = clock_mono_ms() + CLEANUP_MS;
		dns_provider_hash(dns, hashes[n]);
		if ((!s->dns || strcmp(s->dns, dns_provider_name(dns)) == 0) &&
			!is_same_as_before(hashes, n)) {
			n++;
			dns_cleanup(&j, s->txts, s->n_txts, err);
			state_drop_absent(s);
		}
		dns_provider_free(dns);
	}
	free(hashes);
}

static void warn_of_txts(const char *path, const struct state *s, const struct error *err)
{
	struct str text = {0};

	for (size_t i = 0; i < s->n_txts; i++)
		str_addf(&text, "%s%s \"%s\" in zone %s", i ? ", " : "", s->txts[i].name,
			s->txts[i].value, s->txts[i].zone);
	log_warn("autocert: %s is of a provider that is not configured any more, and its TXT "
		 "records could not be removed%s%s: remove them by hand, then that file: %s",
		path, *err->text ? ": " : ", as no configured provider has its DNS provider",
		err->text, text.data);
	str_clear(&text);
}

static void see_to(const struct conf *c, const char *path, const char *id, const struct stop *stop)
{
	struct error err = {""};
	struct state s = {0};
	size_t len = 0, before;
	char *text = file_read(path, STATE_FILE_MAX, &len, &err);

	if (!text || state_parse(&s, text, len, &err) < 0) {
		log_warn("autocert: the state of a provider that is not configured any more cannot "
			 "be read: %s%s%s: its TXT records, if there are any, are to be removed by "
			 "hand, then that file",
			text ? path : "", text ? " " : "", err.text);
		goto out;
	}
	before = s.n_txts;
	if (before)
		remove_txts(c, &s, stop, &err);
	if (before > s.n_txts)
		log_info("autocert: %zu TXT records of a provider that is not configured any more "
			 "are removed",
			before - s.n_txts);
	if (s.n_txts && !stop_is_set(stop))
		warn_of_txts(path, &s, &err);
	if (!s.n_txts && !s.order_url) {
		unlink(path);
		store_drop_order_key(c->state_dir, id);
	} else if (before > s.n_txts && state_save(&s, c->state_dir, id, &err) < 0) {
		log_warn("autocert: %s", err.text);
	}
out:
	state_clear(&s);
	free(text);
}

void leftovers_remove(const struct conf *c, const struct stop *stop)
{
	char *folder = mem_printf("%s/autocert", c->state_dir);
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d && !stop_is_set(stop) && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		char *id, *path;

		if (len <= strlen(ENDING) || strcmp(e->d_name + len - strlen(ENDING), ENDING) != 0)
			continue;
		id = mem_strndup(e->d_name, len - strlen(ENDING));
		path = mem_printf("%s/%s", folder, e->d_name);
		if (!is_looked_at(c, id))
			see_to(c, path, id, stop);
		free(path);
		free(id);
	}
	if (d)
		closedir(d);
	free(folder);
}
