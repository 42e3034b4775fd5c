/* The provider `gcloud`, Google Cloud DNS, version 1: its options, and which zone is meant. */
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/gcloud.h"

#define LIST_MAX  ((size_t)4 << 20)
#define PAGES_MAX 100

static const struct setting options[GCLOUD_N_OPTIONS] = {
	DNS_API_OPTIONS("GCE_", "GCE_", {NULL}),
	[GCLOUD_SERVICE_ACCOUNT] = {.key = "service_account",
		.env = {"GCE_SERVICE_ACCOUNT", "service_account_json"},
		.type = SETTING_SECRET,
		.help = "the JSON of a service account's key, or of a person's credentials"},
	[GCLOUD_CREDENTIALS] = {.key = "application_credentials",
		.env = {"GOOGLE_APPLICATION_CREDENTIALS"},
		.type = SETTING_PATH,
		.help = "the file with that JSON, where there is no service_account; without "
			"both the metadata server is asked"},
	[GCLOUD_PROJECT] = {.key = "project",
		.env = {"GCE_PROJECT"},
		.help = "the id of the project whose zones these are, unless it is that of the "
			"credentials"},
	[GCLOUD_ZONE_ID] = {.key = "zone_id",
		.env = {"GCE_ZONE_ID"},
		.help = "the managed zone's name or number, so that none needs to be listed"},
	[GCLOUD_ALLOW_PRIVATE_ZONE] = {.key = "allow_private_zone",
		.env = {"GCE_ALLOW_PRIVATE_ZONE"},
		.type = SETTING_BOOL,
		.fallback = "false",
		.help = "takes a private zone where there is no public one"},
	[GCLOUD_IMPERSONATE] = {.key = "impersonate_service_account",
		.env = {"GCE_IMPERSONATE_SERVICE_ACCOUNT"},
		.help = "the address of another service account, to act as that one"},
	[GCLOUD_TOKEN_URL] = {.key = "token_url",
		.type = SETTING_URL,
		.help = "where tokens come from, instead of the credentials' token_uri"},
	[GCLOUD_IAM_URL] = {.key = "iam_url",
		.type = SETTING_URL,
		.help = "where the IAM credentials API is, for impersonate_service_account"},
	[GCLOUD_METADATA_HOST] = {.key = "metadata_host",
		.env = {"GCE_METADATA_HOST"},
		.fallback = "metadata.google.internal",
		.help = "the metadata server: HOST or HOST:PORT"},
};

static void clear(struct dns_provider *p)
{
	gcloud_auth_clear(p->own);
	free(p->own);
}

static int init(struct dns_provider *p, struct error *err)
{
	p->own = mem_zalloc(sizeof(struct gcloud));
	return gcloud_auth_init(p, err);
}

/* --- zones --- */

struct look {
	const char *name; /* "" = all zones */
	size_t n_public, n_private;
	char *public_id, *private_id;
	struct dns_zones_seen seen;
};

static void on_zone(struct look *look, struct json_object *o)
{
	const char *name = answer_text(o, "dnsName"), *id = answer_text(o, "name"),
		   *visibility = answer_text(o, "visibility");
	bool is_private = visibility && strcmp(visibility, "private") == 0;
	struct dns_zone z = {0};

	if (!name || !id)
		return;
	dns_zone_consider(&z, is_private ? NULL : &look->seen, look->name, name, id);
	if (!z.id || strcmp(z.name, look->name) != 0) {
		free(z.id);
	} else if (is_private) {
		look->n_private++;
		free(look->private_id);
		look->private_id = z.id;
	} else {
		look->n_public++;
		free(look->public_id);
		look->public_id = z.id;
	}
}

/* One page, whose token comes and goes in *page. */
static int list_page(const struct dns_job *j, const char *project, struct look *look, char **page,
	const struct limits *l, struct error *err)
{
	char *step = *look->name ? mem_printf("looking for the zone %s in the project %s",
					   look->name, project)
				 : mem_printf("listing the zones of the project %s", project);
	struct dns_call c = {.step = step, .method = "GET", .max = LIST_MAX};
	struct json_object *zones;
	struct str path = {0};
	struct dns_reply r;
	int rc;

	str_addf(&path, "/dns/v1/projects/");
	enc_url(&path, project);
	str_addf(&path, "/managedZones?maxResults=100");
	if (*look->name) {
		str_addf(&path, "&dnsName=");
		enc_url(&path, look->name);
		str_addf(&path, ".");
	}
	if (*page) {
		str_addf(&path, "&pageToken=");
		enc_url(&path, *page);
	}
	c.path = path.data;
	rc = gcloud_ask(j, &c, &r, l, err);
	zones = answer_member(r.json, "managedZones", json_type_array);
	for (size_t i = 0; rc == 0 && zones && i < json_object_array_length(zones); i++)
		on_zone(look, json_object_array_get_idx(zones, i));
	free(*page);
	*page = mem_strdup(answer_text(r.json, "nextPageToken"));
	dns_reply_clear(&r);
	str_clear(&path);
	free(step);
	return rc;
}

/* A page may be empty, and not be the last. */
static int list_zones(
	const struct dns_job *j, struct look *look, const struct limits *l, struct error *err)
{
	char *project = gcloud_project(j, l, err), *page = NULL;
	int rc = project ? 0 : -1;

	for (unsigned n = 0; rc == 0 && n < PAGES_MAX && (n == 0 || page); n++)
		rc = list_page(j, project, look, &page, l, err);
	free(page);
	free(project);
	return rc;
}

static int look_for(const struct dns_job *j, const char *candidate, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	struct look look = {.name = candidate};
	int rc = list_zones(j, &look, l, err);
	size_t n = look.n_public;
	const char *id = look.public_id;

	if (!n && dns_is_true(j->provider, GCLOUD_ALLOW_PRIVATE_ZONE)) {
		n = look.n_private;
		id = look.private_id;
	}
	if (rc == 0 && n > 1)
		rc = error_set(err, "the zone %s is there %zu times in the project: set zone_id",
			candidate, n);
	else if (rc == 0 && n)
		dns_zone_consider(z, NULL, candidate, candidate, id);
	free(look.public_id);
	free(look.private_id);
	str_clear(&look.seen.names);
	return rc < 0 ? -1 : z->id != NULL;
}

static int find_zone(const struct dns_job *j, const char *name, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	struct look all = {.name = ""};
	int rc;

	if (dns_value(j->provider, GCLOUD_ZONE_ID)) /* its name is public DNS's to say */
		return 0;
	rc = dns_api_walk(j, name, z, look_for, l, err);
	if (rc)
		return rc;
	if (list_zones(j, &all, l, err) == 0)
		dns_zone_missing(&all.seen, name, err);
	str_clear(&all.seen.names);
	return -1;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return gcloud_change(j, v, n, true, l, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return gcloud_change(j, v, n, false, l, err);
}

const struct dns_ops dns_gcloud = {
	.help = "Google Cloud DNS",
	.options = options,
	.n_options = GCLOUD_N_OPTIONS,
	.ttl = 120,
	.patience = {.timeout_ms = 180000, .interval_ms = 5000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_ZONE,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
