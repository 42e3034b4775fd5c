/* Where the keys come from, in the order of the AWS tools: options and environment, the files of
 * ~/.aws, the container's and the machine's metadata; and the role that they may take on. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "base/file.h"
#include "base/mem.h"
#include "cloud/aws.h"

#define LOCAL_ALL  5000 /* ms for all tries of what is asked nearby */
#define RENEW_S    300  /* before temporary keys expire */
#define MARGIN_S   60   /* of these the account keeps */
#define TOKEN_MAX  ((size_t)16 << 10)
#define STS_ACTION "Action=AssumeRole&Version=2011-06-15&RoleSessionName=lintel"

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

static int ask_local(const struct aws *a, struct http_call *c, struct http_reply *r,
	const struct limits *l, struct error *err)
{
	const struct limits soon = limits_within(l, LOCAL_ALL);

	c->anonymous = true;
	c->max = TOKEN_MAX;
	return http_send(&a->local, c, r, &soon, err);
}

/* {"Code":"Success","AccessKeyId":"...","SecretAccessKey":"...","Token":"...","Expiration":"..."},
 * a container's without the code. */
static int ask_for_keys(const struct aws *a, struct http_call *c, struct aws_keys *k,
	const struct limits *l, struct error *err)
{
	struct http_reply r;
	int rc = ask_local(a, c, &r, l, err);
	const char *code = answer_text(r.json, "Code"), *message = answer_text(r.json, "Message");

	if (rc == 0 && code && strcmp(code, "Success") != 0)
		rc = error_set(err, "%s: %.60s: %.300s", r.step, code, message ? message : "");
	else if (rc == 0 &&
		 (rc = take_keys(k, answer_text(r.json, "AccessKeyId"),
			  answer_text(r.json, "SecretAccessKey"), answer_text(r.json, "Token"),
			  answer_text(r.json, "Expiration"), err)) < 0)
		error_prefix(err, "%s", r.step);
	http_reply_wipe(&r);
	return rc;
}

/* The container's, of ECS and EKS. */
static int container_keys(
	const struct aws *a, struct aws_keys *k, const struct limits *l, struct error *err)
{
	static const char step[] = "asking the container for its keys";
	const char *path = aws_text(a, AWS_CONTAINER_URI),
		   *token_file = aws_text(a, AWS_CONTAINER_TOKEN_FILE);
	struct http_call c = {.method = "GET"};
	size_t len = 0;
	char *token;

	if (token_file) {
		token = file_read(token_file, TOKEN_MAX, &len, err);
		if (!token)
			return error_prefix(err, "%s", step);
		token[strcspn(token, "\r\n")] = '\0';
	} else {
		token = mem_strdup(aws_text(a, AWS_CONTAINER_TOKEN));
	}
	str_addf(&c.step, "%s", step);
	if (path)
		str_addf(&c.url, "%s%s", a->container, path);
	else
		str_addf(&c.url, "%s", aws_text(a, AWS_CONTAINER_URL));
	if (token)
		http_call_header(&c, "Authorization", "%s", token);
	if (token_file)
		OPENSSL_cleanse(token, len);
	http_wipe(token);
	return ask_for_keys(a, &c, k, l, err);
}

/* A text of one line: a new string, the text of the answer; NULL with a sentence. */
static char *ask_for_text(
	const struct aws *a, struct http_call *c, const struct limits *l, struct error *err)
{
	struct http_reply r;
	char *text = NULL;

	c->plain = true;
	if (ask_local(a, c, &r, l, err) == 0) {
		text = mem_strndup(r.http.body, strcspn(r.http.body, "\r\n"));
		if (!*text) {
			error_set(err, "%s: the answer is empty", r.step);
			free(text);
			text = NULL;
		}
	} else if (r.http.status == 404) {
		error_set(err, "%s: the machine has no IAM role", r.step);
	}
	http_reply_clear(&r);
	return text;
}

/* The machine's, of EC2 (IMDSv2). */
static int machine_keys(
	const struct aws *a, struct aws_keys *k, const struct limits *l, struct error *err)
{
	static const char roles[] = "/latest/meta-data/iam/security-credentials/";
	struct http_call for_token = {.method = "PUT"}, for_role = {.method = "GET"},
			 for_keys = {.method = "GET"};
	char *token, *role = NULL;
	int rc = -1;

	str_addf(&for_token.step, "asking the machine's metadata for a token");
	str_addf(&for_token.url, "%s/latest/api/token", a->imds);
	http_call_header(&for_token, "X-aws-ec2-metadata-token-ttl-seconds", "21600");
	token = ask_for_text(a, &for_token, l, err);
	if (token) {
		str_addf(&for_role.step, "asking the machine's metadata for its role");
		str_addf(&for_role.url, "%s%s", a->imds, roles);
		http_call_header(&for_role, "X-aws-ec2-metadata-token", "%s", token);
		role = ask_for_text(a, &for_role, l, err);
	}
	if (role) {
		str_addf(&for_keys.step, "asking the machine's metadata for its keys");
		str_addf(&for_keys.url, "%s%s", a->imds, roles);
		enc_url(&for_keys.url, role);
		http_call_header(&for_keys, "X-aws-ec2-metadata-token", "%s", token);
		rc = ask_for_keys(a, &for_keys, k, l, err);
	}
	free(role);
	http_wipe(token);
	return rc;
}

/* --- the keys to sign with --- */

/* Whether the options, or the environment, have keys. A profile of the options wins over keys of
 * the environment. */
static bool has_keys(const struct aws *a)
{
	if (aws_text(a, AWS_PROFILE) && !a->v[AWS_PROFILE].from_environment &&
		a->v[AWS_ACCESS_KEY_ID].from_environment)
		return false;
	return aws_text(a, AWS_ACCESS_KEY_ID);
}

int aws_own_keys(const struct aws *a, struct aws_keys *k, const struct limits *l, struct error *err)
{
	int rc;

	if (has_keys(a)) {
		/* The environment's session token belongs to the environment's keys. */
		bool with_session = !a->v[AWS_SESSION_TOKEN].from_environment ||
				    a->v[AWS_ACCESS_KEY_ID].from_environment;

		k->id = mem_strdup(aws_text(a, AWS_ACCESS_KEY_ID));
		k->secret = mem_strdup(aws_text(a, AWS_SECRET_ACCESS_KEY));
		k->session = with_session ? mem_strdup(aws_text(a, AWS_SESSION_TOKEN)) : NULL;
		return 0;
	}
	rc = aws_profile_keys(a, k, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (aws_text(a, AWS_CONTAINER_URI) || aws_text(a, AWS_CONTAINER_URL))
		return container_keys(a, k, l, err);
	if (!setting_is_true(&a->v[AWS_IMDS_DISABLED]) && machine_keys(a, k, l, err) == 0)
		return 0;
	if (setting_is_true(&a->v[AWS_IMDS_DISABLED]))
		error_set(err, "the machine's metadata are not to be asked");
	return error_prefix(err, "access_key_id and secret_access_key are not given, there is no "
				 "profile \"default\" in ~/.aws, and no container has keys");
}

/* AssumeRole, asked for with our own keys. */
static int role_keys(
	const struct aws *a, struct aws_keys *k, const struct limits *l, struct error *err)
{
	const char *external_id = aws_text(a, AWS_EXTERNAL_ID);
	struct http_call c = {.method = "POST", .content_type = HTTP_FORM, .plain = true};
	const struct xml *found;
	struct http_reply r;
	struct xml *x = NULL;
	int rc;

	str_addf(&c.step, "taking on the role %s", aws_text(a, AWS_ROLE_ARN));
	str_addf(&c.url, "%s/", a->sts);
	str_addf(&c.body, STS_ACTION);
	http_add_field(&c.body, "RoleArn", aws_text(a, AWS_ROLE_ARN));
	if (external_id)
		http_add_field(&c.body, "ExternalId", external_id);
	rc = http_send(&a->api, &c, &r, l, err);
	if (rc == 0)
		x = xml_parse(r.http.body, r.http.len, NULL);
	if (x) {
		found = xml_find(x, "AssumeRoleResult/Credentials");
		rc = take_keys(k, xml_text(found, "AccessKeyId"),
			xml_text(found, "SecretAccessKey"), xml_text(found, "SessionToken"),
			xml_text(found, "Expiration"), err);
		if (rc < 0)
			error_prefix(err, "%s", r.step);
	}
	xml_free(x);
	http_reply_clear(&r);
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
	http_wipe(text);
}

int aws_all_keys(const struct aws *a, struct aws_keys *k, const struct limits *l, struct error *err)
{
	int rc = 0;

	if (http_account_enter(a->api.account, HTTP_TOKEN, l, err) < 0)
		return -1;
	if (!take_kept(a, k)) {
		rc = aws_text(a, AWS_ROLE_ARN) ? role_keys(a, k, l, err)
					       : aws_own_keys(a, k, l, err);
		if (rc == 0 && k->expires_s)
			keep(a, k);
	}
	http_account_leave(a->api.account, HTTP_TOKEN);
	return rc;
}
