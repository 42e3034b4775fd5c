#include "dns/aws.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/xml.h"

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

static const struct aws *aws_of(const struct dns_job *j)
{
	return j->provider->own;
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
static bool explain(struct dns_reply *r)
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
		dns_reply_explain(r, x->name, xml_text(x, "Messages/Message"));
	else if (x && !success)
		dns_reply_explain(r, xml_text(x, "Error/Code"), message);
	else if (success)
		dns_reply_explain(r, NULL, why.text);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strcmp(r->code, later[i]) == 0)
			r->verdict = DNS_LATER;
	for (size_t i = 0; i < sizeof(renew) / sizeof(renew[0]); i++)
		if (strcmp(r->code, renew[i]) == 0)
			r->verdict = DNS_NEW_TOKEN;
	/* A wrong secret gives the same code as a clock that is wrong by five minutes. */
	if (strcmp(r->code, "SignatureDoesNotMatch") == 0 && message &&
		(str_starts(message, "Signature expired") ||
			str_starts(message, "Signature not yet current")))
		r->verdict = DNS_NEW_TOKEN;
	/* What is to be deleted is not what was read: another one was faster. */
	if (strcmp(r->code, "InvalidChangeBatch") == 0 &&
		(strstr(r->http.body, "not found") || strstr(r->http.body, "do not match")))
		r->verdict = DNS_LATER;
	if (success && !x)
		r->verdict = DNS_LATER;
	xml_free(x);
	return !success || r->verdict == DNS_LATER;
}

/* Metadata: {"Code":"...","Message":"..."}, or in small letters; or a page. */
static bool explain_local(struct dns_reply *r)
{
	dns_reply_explain(r, answer_text(r->json, "code"), answer_text(r->json, "message"));
	dns_reply_explain(r, answer_text(r->json, "Code"), answer_text(r->json, "Message"));
	return false;
}

/* The clock is that of the answer's Date header, whatever else the answer says. */
static void ask_for_clock(const struct dns_job *j, const char *base, const struct limits *l)
{
	char *url = mem_printf("%s/", base);
	const struct aws *a = aws_of(j);
	const struct dns_api plain = {.timeout_ms = a->api.timeout_ms, .account = a->api.account};
	struct dns_call c = {.step = "asking for the time",
		.method = "GET",
		.url = url,
		.plain = true,
		.anonymous = true};
	const char *date;
	struct dns_reply r;
	int64_t now;

	dns_api_call(j, &plain, &c, &r, l, NULL);
	date = fetch_header(&r.http, "Date", 0);
	now = date ? answer_date(date) : 0;
	if (now)
		http_account_set_clock(a->api.account, now - clock_wall_s());
	dns_reply_clear(&r);
	free(url);
}

/* Requests of the service go to its base URL, and are signed with the role's keys where there is
 * one; those that have a URL of their own go to STS, with ours. */
static int authorize(const struct dns_job *j, struct dns_call *c, bool again,
	const struct limits *l, struct error *err)
{
	const struct aws *a = aws_of(j);
	bool is_sts = c->url, has_sts = dns_value(j->provider, AWS_STS_ENDPOINT);
	struct aws_scope scope = {a->partition->region, is_sts ? "sts" : "route53"};
	char *url = is_sts ? mem_strdup(c->url) : mem_printf("%s%s", a->api.base, c->path);
	struct aws_keys k = {0};
	int rc;

	if (is_sts && has_sts)
		scope.region = dns_value(j->provider, AWS_REGION);
	if (again) {
		ask_for_clock(j, is_sts ? a->sts : a->api.base, l);
		if (!is_sts)
			http_account_set_token(a->api.account, NULL, 0);
	}
	rc = is_sts ? aws_own_keys(j, &k, l, err) : aws_all_keys(j, &k, l, err);
	if (rc == 0)
		aws_sign(c, url, &k, &scope, aws_now(a));
	aws_keys_clear(&k);
	free(url);
	return rc;
}

/* --- the options --- */

/* An address that only this machine reaches, be it without TLS. New; NULL with a sentence. */
static char *local_url(
	const struct dns_provider *p, size_t row, const char *otherwise, struct error *err)
{
	static const char *const hosts[] = {"http://169.254.169.254", "http://[fd00:ec2::254]",
		"http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]"};
	const char *given = dns_value(p, row);

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
	return dns_api_url(p, row, otherwise, err);
}

static int check(const struct dns_provider *p, struct error *err)
{
	const char *id = dns_value(p, AWS_ACCESS_KEY_ID),
		   *secret = dns_value(p, AWS_SECRET_ACCESS_KEY),
		   *role = dns_value(p, AWS_ROLE_ARN), *path = dns_value(p, AWS_CONTAINER_URI);

	if (!id != !secret)
		return error_set(err,
			"%s is missing: access_key_id and secret_access_key go together",
			id ? "secret_access_key" : "access_key_id");
	if (!id && dns_value(p, AWS_SESSION_TOKEN) &&
		!p->values[AWS_SESSION_TOKEN].from_environment)
		return error_set(err, "access_key_id is missing: session_token goes with it and "
				      "with secret_access_key");
	if (id && dns_value(p, AWS_PROFILE) && !p->values[AWS_PROFILE].from_environment &&
		!p->values[AWS_ACCESS_KEY_ID].from_environment)
		return error_set(err, "profile: access_key_id is given as well: keep one of them");
	if (role && !str_starts(role, "arn:"))
		return error_set(err,
			"assume_role_arn: \"%.200s\" is no role: it begins with arn:, like "
			"arn:aws:iam::123456789012:role/NAME",
			role);
	if (!role && dns_value(p, AWS_EXTERNAL_ID) && !p->values[AWS_EXTERNAL_ID].from_environment)
		return error_set(
			err, "assume_role_arn is missing: external_id is told with a role");
	if (path && *path != '/')
		return error_set(err,
			"container_credentials_relative_uri: \"%.200s\" is no path: it begins "
			"with /",
			path);
	return 0;
}

int aws_init(
	struct dns_provider *p, struct aws *a, unsigned rate, int64_t per_ms, struct error *err)
{
	const char *region = dns_value(p, AWS_REGION);
	struct str credentials = {0};
	char *container_url;
	int rc;

	if (check(p, err) < 0)
		return -1;
	a->partition = partitions;
	while (!str_starts(region, a->partition->regions))
		a->partition++;
	for (size_t row = AWS_ACCESS_KEY_ID; row < AWS_OWN_OPTIONS; row++)
		str_addf(&credentials, "%s\n", dns_value(p, row) ? dns_value(p, row) : "");
	a->api.authorize = authorize;
	a->api.explain = explain;
	rc = dns_api_init(p, &a->api, a->partition->route53, credentials.data, rate, per_ms, err);
	a->local = (struct dns_api){.timeout_ms = LOCAL_MS,
		.account = http_account_get(p->name, "metadata", 0, 0),
		.explain = explain_local};
	OPENSSL_cleanse(credentials.data, credentials.len);
	str_clear(&credentials);
	if (rc < 0 || !(a->sts = dns_api_url(p, AWS_STS_ENDPOINT, a->partition->sts, err)) ||
		!(a->imds = local_url(p, AWS_IMDS_ENDPOINT, IMDS, err)) ||
		!(a->container = local_url(p, AWS_CONTAINER_ENDPOINT, CONTAINER, err)))
		return -1;
	/* This one is a whole URL: a slash at its end means something. */
	container_url = local_url(p, AWS_CONTAINER_URL, NULL, err);
	rc = dns_value(p, AWS_CONTAINER_URL) && !container_url ? -1 : 0;
	free(container_url);
	return rc;
}

void aws_clear(struct aws *a)
{
	dns_api_clear(&a->api);
	free(a->sts);
	free(a->imds);
	free(a->container);
}
