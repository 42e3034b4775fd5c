#include "cloud/aws.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define TRIES_MAX 20
#define LOCAL_MS  1000 /* for an answer from nearby */
#define IMDS      "http://169.254.169.254"
#define CONTAINER "http://169.254.170.2"

/* Route 53 and the global STS are at one place for each of them, and are signed for one region. */
struct aws_partition {
	const char *regions; /* what their names begin with */
	const char *route53, *sts, *region;
};
static const struct aws_partition partitions[] = {
	{"cn-", "https://route53.amazonaws.com.cn", "https://sts.cn-northwest-1.amazonaws.com.cn",
		"cn-northwest-1"},
	{"us-gov-", "https://route53.us-gov.amazonaws.com",
		"https://sts.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
	{"", "https://route53.amazonaws.com", "https://sts.amazonaws.com", "us-east-1"},
};

const char *aws_text(const struct aws *a, size_t setting)
{
	return setting_text(&a->v[setting]);
}

int64_t aws_now(const struct aws *a)
{
	int64_t delta = 0;

	http_account_clock(a->api.account, &delta);
	return clock_wall_s() + delta;
}

/* --- answers that are no success --- */

/* <ErrorResponse><Error><Code/><Message/></Error></ErrorResponse>, or Route 53's
 * <InvalidChangeBatch><Messages><Message/></Messages></InvalidChangeBatch>. */
static bool explain(struct http_reply *r)
{
	static const char *const later[] = {"Throttling", "ThrottlingException",
		"RequestLimitExceeded", "PriorRequestNotComplete"};
	static const char *const renew[] = {
		"ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed"};
	bool success = r->http.status >= 200 && r->http.status < 300;
	struct error why = {""};
	struct xml *x = xml_parse(r->http.body, r->http.len, &why);
	const char *message = x ? xml_text(x, "Error/Message") : NULL;

	if (x && strcmp(x->name, "InvalidChangeBatch") == 0)
		http_reply_explain(r, x->name, xml_text(x, "Messages/Message"));
	else if (x && !success)
		http_reply_explain(r, xml_text(x, "Error/Code"), message);
	else if (success)
		http_reply_explain(r, NULL, why.text);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strcmp(r->code, later[i]) == 0)
			r->verdict = HTTP_LATER;
	for (size_t i = 0; i < sizeof(renew) / sizeof(renew[0]); i++)
		if (strcmp(r->code, renew[i]) == 0)
			r->verdict = HTTP_NEW_TOKEN;
	/* A wrong secret gives the same code as a clock that is wrong by five minutes. */
	if (strcmp(r->code, "SignatureDoesNotMatch") == 0 && message &&
		(str_starts(message, "Signature expired") ||
			str_starts(message, "Signature not yet current")))
		r->verdict = HTTP_NEW_TOKEN;
	/* What is to be deleted is not what was read: another one was faster. */
	if (strcmp(r->code, "InvalidChangeBatch") == 0 &&
		(strstr(r->http.body, "not found") || strstr(r->http.body, "do not match")))
		r->verdict = HTTP_LATER;
	if (success && !x)
		r->verdict = HTTP_LATER;
	xml_free(x);
	return !success || r->verdict == HTTP_LATER;
}

/* Metadata: {"Code":"...","Message":"..."}, or in small letters; or a page. */
static bool explain_local(struct http_reply *r)
{
	http_reply_explain(r, answer_text(r->json, "code"), answer_text(r->json, "message"));
	http_reply_explain(r, answer_text(r->json, "Code"), answer_text(r->json, "Message"));
	return false;
}

/* The clock is that of the answer's Date header, whatever else the answer says. */
static void ask_for_clock(const struct aws *a, const char *base, const struct limits *l)
{
	const struct http_api plain = {
		.timeout_ms = a->api.timeout_ms, .account = a->api.account, .tries = a->api.tries};
	struct http_call c = {.method = "GET", .plain = true, .anonymous = true};
	const char *date;
	struct http_reply r;
	int64_t now;

	str_addf(&c.step, "asking for the time");
	str_addf(&c.url, "%s/", base);
	http_send(&plain, &c, &r, l, NULL);
	date = fetch_header(&r.http, "Date", 0);
	now = date ? answer_date(date) : 0;
	if (now)
		http_account_set_clock(a->api.account, now - clock_wall_s());
	http_reply_clear(&r);
}

/* Requests of the service go to its base URL, and are signed with the role's keys where there is
 * one; those that have a URL of their own go to STS, with ours. */
static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct aws *a = arg;
	bool is_sts = c->url.len, has_sts = aws_text(a, AWS_STS_ENDPOINT);
	struct aws_scope scope = {a->partition->region, is_sts ? "sts" : "route53"};
	char *url =
		is_sts ? mem_strdup(c->url.data) : mem_printf("%s%s", a->api.base, c->path.data);
	struct aws_keys k = {0};
	int rc;

	if (is_sts && has_sts)
		scope.region = aws_text(a, AWS_REGION);
	if (again) {
		ask_for_clock(a, is_sts ? a->sts : a->api.base, l);
		if (!is_sts)
			http_account_set_token(a->api.account, NULL, 0);
	}
	rc = is_sts ? aws_own_keys(a, &k, l, err) : aws_all_keys(a, &k, l, err);
	if (rc == 0)
		aws_sign(c, url, &k, &scope, aws_now(a));
	aws_keys_clear(&k);
	free(url);
	return rc;
}

int aws_ask(const struct aws *a, struct http_call *c, const char *root, struct xml **out,
	const struct limits *l, struct error *err)
{
	struct http_reply r;
	int rc;

	c->plain = true;
	rc = http_send(&a->api, c, &r, l, err);
	*out = rc == 0 ? xml_parse(r.http.body, r.http.len, err) : NULL;
	if (rc == 0 && !*out) {
		rc = error_prefix(err, "%s", r.step);
	} else if (rc == 0 && strcmp((*out)->name, root) != 0) {
		rc = error_set(err, "%s: the answer is no %s: is base_url right?", r.step, root);
		xml_free(*out);
		*out = NULL;
	}
	http_reply_clear(&r);
	return rc;
}

/* --- the settings --- */

/* An address that only this machine reaches, be it without TLS. New; NULL with a sentence. */
static char *local_url(
	const struct aws *a, size_t setting, const char *otherwise, struct error *err)
{
	static const char *const hosts[] = {"http://169.254.169.254", "http://[fd00:ec2::254]",
		"http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]"};
	const char *given = aws_text(a, setting);

	for (size_t i = 0; given && i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		size_t len = strlen(hosts[i]);

		if (str_starts(given, hosts[i]) && strchr("/:", given[len]) &&
			!strpbrk(given, "?#@ \t")) {
			len = strlen(given);
			while (given[len - 1] == '/')
				len--;
			return mem_strndup(given, len);
		}
	}
	return http_url(&a->v[setting], setting_is_true(&a->v[HTTP_INSECURE]), otherwise, err);
}

static int check(const struct aws *a, struct error *err)
{
	const char *id = aws_text(a, AWS_ACCESS_KEY_ID),
		   *secret = aws_text(a, AWS_SECRET_ACCESS_KEY), *role = aws_text(a, AWS_ROLE_ARN),
		   *path = aws_text(a, AWS_CONTAINER_URI);

	if (!id != !secret)
		return error_set(err,
			"%s is missing: access_key_id and secret_access_key go together",
			id ? "secret_access_key" : "access_key_id");
	if (!id && aws_text(a, AWS_SESSION_TOKEN) && !a->v[AWS_SESSION_TOKEN].from_environment)
		return error_set(err, "access_key_id is missing: session_token goes with it and "
				      "with secret_access_key");
	if (id && aws_text(a, AWS_PROFILE) && !a->v[AWS_PROFILE].from_environment &&
		!a->v[AWS_ACCESS_KEY_ID].from_environment)
		return error_set(err, "profile: access_key_id is given as well: keep one of them");
	if (role && !str_starts(role, "arn:"))
		return error_set(err,
			"assume_role_arn: \"%.200s\" is no role: it begins with arn:, like "
			"arn:aws:iam::123456789012:role/NAME",
			role);
	if (!role && aws_text(a, AWS_EXTERNAL_ID) && !a->v[AWS_EXTERNAL_ID].from_environment)
		return error_set(
			err, "assume_role_arn is missing: external_id is told with a role");
	if (path && *path != '/')
		return error_set(err,
			"container_credentials_relative_uri: \"%.200s\" is no path: it begins "
			"with /",
			path);
	return 0;
}

int aws_init(struct aws *a, const struct setting_value *v, const char *name, unsigned rate,
	int64_t per_ms, struct error *err)
{
	bool insecure = setting_is_true(&v[HTTP_INSECURE]);
	struct str credentials = {0};
	char *container_url;
	int rc;

	a->v = v;
	a->api.tries = 1 + (unsigned)strtoul(aws_text(a, AWS_MAX_RETRIES), NULL, 10);
	if (a->api.tries > TRIES_MAX)
		return error_set(err, "max_retries: %s are too many, 1 to %d are possible",
			aws_text(a, AWS_MAX_RETRIES), TRIES_MAX - 1);
	if (check(a, err) < 0)
		return -1;
	a->partition = partitions;
	while (!str_starts(aws_text(a, AWS_REGION), a->partition->regions))
		a->partition++;
	for (size_t row = AWS_ACCESS_KEY_ID; row < AWS_MAX_RETRIES; row++)
		str_addf(&credentials, "%s\n", aws_text(a, row) ? aws_text(a, row) : "");
	a->api.authorize = authorize;
	a->api.arg = a;
	a->api.explain = explain;
	rc = http_api_init(
		&a->api, v, a->partition->route53, name, credentials.data, rate, per_ms, err);
	a->local = (struct http_api){.timeout_ms = LOCAL_MS,
		.account = http_account_get(name, "metadata", 0, 0),
		.tries = a->api.tries,
		.explain = explain_local};
	http_wipe(credentials.data);
	if (rc < 0 ||
		!(a->sts = http_url(&v[AWS_STS_ENDPOINT], insecure, a->partition->sts, err)) ||
		!(a->imds = local_url(a, AWS_IMDS_ENDPOINT, IMDS, err)) ||
		!(a->container = local_url(a, AWS_CONTAINER_ENDPOINT, CONTAINER, err)))
		return -1;
	/* This one is a whole URL: a slash at its end means something. */
	container_url = local_url(a, AWS_CONTAINER_URL, NULL, err);
	rc = aws_text(a, AWS_CONTAINER_URL) && !container_url ? -1 : 0;
	free(container_url);
	return rc;
}

void aws_clear(struct aws *a)
{
	http_api_clear(&a->api);
	free(a->sts);
	free(a->imds);
	free(a->container);
}
