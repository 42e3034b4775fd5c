/* Where the keys come from, in the order of the AWS tools: options and environment, the files of
 * ~/.aws, the container's and the machine's metadata; and the role that they may take on. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "base/file.h"
#include "base/mem.h"
#include "dns/aws.h"
#include "http/xml.h"

#define LOCAL_ALL  5000 /* ms for all tries of what is asked nearby */
#define RENEW_S    300  /* before temporary keys expire */
#define MARGIN_S   60   /* of these the account keeps */
#define TOKEN_MAX  ((size_t)16 << 10)
#define STS_ACTION "Action=AssumeRole&Version=2011-06-15&RoleSessionName=lintel&RoleArn="

static const struct aws *aws_of(const struct dns_job *j)
{
	return j->provider->own;
}

/* --- keys of this place --- */

/* "2026-11-25T22:04:39Z" */
static int take_keys(struct aws_keys *k, const char *id, const char *secret, const char *session,
	const char *expires, struct error *err)
{
	struct tm tm = {0};

	if (!id || !*id || !secret || !*secret)
		return error_set(err, "the answer has no AccessKeyId and SecretAccessKey");
	if (!expires || !strptime(expires, "%Y-%m-%dT%H:%M:%S", &tm))
		return error_set(err, "the answer's Expiration is no time");
	k->id = mem_strdup(id);
	k->secret = mem_strdup(secret);
	k->session = session && *session ? mem_strdup(session) : NULL;
	k->expires_s = timegm(&tm);
	return 0;
}

static int ask_local(const struct dns_job *j, struct dns_call *c, struct dns_reply *r,
	const struct limits *l, struct error *err)
{
	const struct limits soon = limits_within(l, LOCAL_ALL);

	c->anonymous = true;
	c->max = TOKEN_MAX;
	return dns_api_call(j, &aws_of(j)->local, c, r, &soon, err);
}

/* {"Code":"Success","AccessKeyId":"...","SecretAccessKey":"...","Token":"...","Expiration":"..."},
 * a container's without the code. */
static int ask_for_keys(const struct dns_job *j, struct dns_call *c, struct aws_keys *k,
	const struct limits *l, struct error *err)
{
	struct dns_reply r;
	int rc = ask_local(j, c, &r, l, err);
	const char *code = answer_text(r.json, "Code"), *message = answer_text(r.json, "Message");

	if (rc == 0 && code && strcmp(code, "Success") != 0)
		rc = error_set(err, "%s: %.60s: %.300s", c->step, code, message ? message : "");
	else if (rc == 0 &&
		 (rc = take_keys(k, answer_text(r.json, "AccessKeyId"),
			  answer_text(r.json, "SecretAccessKey"), answer_text(r.json, "Token"),
			  answer_text(r.json, "Expiration"), err)) < 0)
		error_prefix(err, "%s", c->step);
	dns_reply_clear(&r);
	return rc;
}

/* The container's, of ECS and EKS. */
static int container_keys(
	const struct dns_job *j, struct aws_keys *k, const struct limits *l, struct error *err)
{
	const struct aws *a = aws_of(j);
	const char *path = dns_value(j->provider, AWS_CONTAINER_URI),
		   *token = dns_value(j->provider, AWS_CONTAINER_TOKEN),
		   *token_file = dns_value(j->provider, AWS_CONTAINER_TOKEN_FILE);
	char *url = path ? mem_printf("%s%s", a->container, path)
			 : mem_strdup(dns_value(j->provider, AWS_CONTAINER_URL)),
	     *from_file = NULL;
	struct dns_call c = {
		.step = "asking the container for its keys", .method = "GET", .url = url};
	size_t len = 0;
	int rc = 0;

	if (token_file) {
		from_file = file_read(token_file, TOKEN_MAX, &len, err);
		if (from_file)
			from_file[strcspn(from_file, "\r\n")] = '\0';
		token = from_file;
		rc = from_file ? 0 : error_prefix(err, "%s", c.step);
	}
	if (rc == 0 && token)
		dns_call_header(&c, "Authorization", "%s", token);
	if (rc == 0)
		rc = ask_for_keys(j, &c, k, l, err);
	if (from_file)
		OPENSSL_cleanse(from_file, len);
	free(from_file);
	free(url);
	return rc;
}

/* A text of one line: a new string, the text of the answer; NULL with a sentence. */
static char *ask_for_text(
	const struct dns_job *j, struct dns_call *c, const struct limits *l, struct error *err)
{
	struct dns_reply r;
	char *text = NULL;

	c->plain = true;
	if (ask_local(j, c, &r, l, err) == 0) {
		text = mem_strndup(r.http.body, strcspn(r.http.body, "\r\n"));
		if (!*text) {
			error_set(err, "%s: the answer is empty", c->step);
			free(text);
			text = NULL;
		}
	} else if (r.http.status == 404) {
		error_set(err, "%s: the machine has no IAM role", c->step);
	}
	dns_reply_clear(&r);
	return text;
}

/* The machine's, of EC2 (IMDSv2). */
static int machine_keys(
	const struct dns_job *j, struct aws_keys *k, const struct limits *l, struct error *err)
{
	const char *imds = aws_of(j)->imds;
	char *token_url = mem_printf("%s/latest/api/token", imds),
	     *role_url = mem_printf("%s/latest/meta-data/iam/security-credentials/", imds),
	     *keys_url = NULL, *token, *role = NULL;
	struct dns_call for_token = {.step = "asking the machine's metadata for a token",
		.method = "PUT",
		.url = token_url};
	struct dns_call for_role = {.step = "asking the machine's metadata for its role",
		.method = "GET",
		.url = role_url};
	struct dns_call for_keys = {
		.step = "asking the machine's metadata for its keys", .method = "GET"};
	struct str encoded = {0};
	int rc = -1;

	dns_call_header(&for_token, "X-aws-ec2-metadata-token-ttl-seconds", "21600");
	token = ask_for_text(j, &for_token, l, err);
	if (token) {
		dns_call_header(&for_role, "X-aws-ec2-metadata-token", "%s", token);
		role = ask_for_text(j, &for_role, l, err);
	}
	if (role) {
		enc_url(&encoded, role);
		keys_url = mem_printf("%s%s", role_url, encoded.data);
		for_keys.url = keys_url;
		dns_call_header(&for_keys, "X-aws-ec2-metadata-token", "%s", token);
		rc = ask_for_keys(j, &for_keys, k, l, err);
	}
	if (token)
		OPENSSL_cleanse(token, strlen(token));
	str_clear(&encoded);
	free(token_url);
	free(role_url);
	free(keys_url);
	free(role);
	free(token);
	return rc;
}

/* --- the keys to sign with --- */

/* Whether the options, or the environment, have keys. A profile of the options wins over keys of
 * the environment. */
static bool has_keys(const struct dns_provider *p)
{
	if (dns_value(p, AWS_PROFILE) && !p->values[AWS_PROFILE].from_environment &&
		p->values[AWS_ACCESS_KEY_ID].from_environment)
		return false;
	return dns_value(p, AWS_ACCESS_KEY_ID);
}

int aws_own_keys(
	const struct dns_job *j, struct aws_keys *k, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = j->provider;
	int rc;

	if (has_keys(p)) {
		/* The environment's session token belongs to the environment's keys. */
		bool with_session = !p->values[AWS_SESSION_TOKEN].from_environment ||
				    p->values[AWS_ACCESS_KEY_ID].from_environment;

		k->id = mem_strdup(dns_value(p, AWS_ACCESS_KEY_ID));
		k->secret = mem_strdup(dns_value(p, AWS_SECRET_ACCESS_KEY));
		k->session = with_session ? mem_strdup(dns_value(p, AWS_SESSION_TOKEN)) : NULL;
		return 0;
	}
	rc = aws_profile_keys(p, k, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (dns_value(p, AWS_CONTAINER_URI) || dns_value(p, AWS_CONTAINER_URL))
		return container_keys(j, k, l, err);
	if (!dns_is_true(p, AWS_IMDS_DISABLED) && machine_keys(j, k, l, err) == 0)
		return 0;
	if (dns_is_true(p, AWS_IMDS_DISABLED))
		error_set(err, "the machine's metadata are not to be asked");
	return error_prefix(err, "access_key_id and secret_access_key are not given, there is no "
				 "profile \"default\" in ~/.aws, and no container has keys");
}

/* AssumeRole, asked for with our own keys. */
static int role_keys(
	const struct dns_job *j, struct aws_keys *k, const struct limits *l, struct error *err)
{
	const char *role = dns_value(j->provider, AWS_ROLE_ARN),
		   *external_id = dns_value(j->provider, AWS_EXTERNAL_ID);
	char *step = mem_printf("taking on the role %s", role),
	     *url = mem_printf("%s/", aws_of(j)->sts);
	struct str body = {0};
	struct dns_call c = {.step = step,
		.method = "POST",
		.url = url,
		.content_type = "application/x-www-form-urlencoded",
		.plain = true};
	const struct xml *found;
	struct dns_reply r;
	struct xml *x = NULL;
	int rc;

	str_addf(&body, STS_ACTION);
	enc_url(&body, role);
	if (external_id) {
		str_addf(&body, "&ExternalId=");
		enc_url(&body, external_id);
	}
	c.body = body.data;
	rc = dns_api_call(j, &aws_of(j)->api, &c, &r, l, err);
	if (rc == 0)
		x = xml_parse(r.http.body, r.http.len, NULL);
	if (x) {
		found = xml_find(x, "AssumeRoleResult/Credentials");
		rc = take_keys(k, xml_text(found, "AccessKeyId"),
			xml_text(found, "SecretAccessKey"), xml_text(found, "SessionToken"),
			xml_text(found, "Expiration"), err);
		if (rc < 0)
			error_prefix(err, "%s", step);
	}
	xml_free(x);
	dns_reply_clear(&r);
	str_clear(&body);
	free(url);
	free(step);
	return rc < 0 ? -1 : 0;
}

/* Temporary keys are kept with the account, as one text. */
static bool take_kept(const struct aws *a, struct aws_keys *k)
{
	char *text = http_account_token(a->api.account), *rest = text;
	const char *id, *secret, *session;
	size_t len = text ? strlen(text) : 0; /* as strsep() cuts it */

	if (!text)
		return false;
	id = strsep(&rest, "\n");
	secret = strsep(&rest, "\n");
	session = strsep(&rest, "\n");
	*k = (struct aws_keys){.id = mem_strdup(id),
		.secret = mem_strdup(secret),
		.session = session && *session ? mem_strdup(session) : NULL};
	OPENSSL_cleanse(text, len);
	free(text);
	return true;
}

static void keep(const struct aws *a, const struct aws_keys *k)
{
	int64_t life = k->expires_s - aws_now(a), margin = RENEW_S - MARGIN_S;
	char *text = mem_printf("%s\n%s\n%s", k->id, k->secret, k->session ? k->session : "");

	if (life > RENEW_S + MARGIN_S)
		life -= margin;
	http_account_set_token(a->api.account, text, life > 0 ? life : 0);
	OPENSSL_cleanse(text, strlen(text));
	free(text);
}

int aws_all_keys(
	const struct dns_job *j, struct aws_keys *k, const struct limits *l, struct error *err)
{
	const struct aws *a = aws_of(j);
	int rc = 0;

	if (http_account_enter(a->api.account, HTTP_TOKEN, l, err) < 0)
		return -1;
	if (!take_kept(a, k)) {
		rc = dns_value(j->provider, AWS_ROLE_ARN) ? role_keys(j, k, l, err)
							  : aws_own_keys(j, k, l, err);
		if (rc == 0 && k->expires_s)
			keep(a, k);
	}
	http_account_leave(a->api.account, HTTP_TOKEN);
	return rc;
}
