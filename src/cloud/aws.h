/* What every service of Amazon Web Services asks of those who call it: requests signed with keys
 * (Signature Version 4), and the keys, from wherever the AWS tools would take them. Blocking: a
 * job. */
#ifndef LINTEL_CLOUD_AWS_H
#define LINTEL_CLOUD_AWS_H

#include "http/api.h"
#include "http/xml.h"

/* The settings of an AWS service, after those of every API: see AWS_SETTINGS. */
enum {
	AWS_ACCESS_KEY_ID = HTTP_OWN_SETTINGS,
	AWS_SECRET_ACCESS_KEY,
	AWS_SESSION_TOKEN,
	AWS_REGION,
	AWS_PROFILE,
	AWS_CREDENTIALS_FILE,
	AWS_CONFIG_FILE,
	AWS_ROLE_ARN,
	AWS_EXTERNAL_ID,
	AWS_STS_ENDPOINT,
	AWS_CONTAINER_URI,
	AWS_CONTAINER_URL,
	AWS_CONTAINER_TOKEN,
	AWS_CONTAINER_TOKEN_FILE,
	AWS_CONTAINER_ENDPOINT,
	AWS_IMDS_ENDPOINT,
	AWS_IMDS_DISABLED,
	AWS_MAX_RETRIES,
	AWS_N_SETTINGS,
};

/* Their rows, in a table whose base_url is row FIRST. */
/* clang-format off */
#define AWS_SETTINGS(FIRST)                                                                        \
	[FIRST + AWS_ACCESS_KEY_ID] = {.key = "access_key_id",                                     \
		.env = {"AWS_ACCESS_KEY_ID"},                                                      \
		.help = "with secret_access_key: the keys of an IAM user, say"},                   \
	[FIRST + AWS_SECRET_ACCESS_KEY] = {.key = "secret_access_key",                             \
		.env = {"AWS_SECRET_ACCESS_KEY"},                                                  \
		.type = SETTING_SECRET,                                                            \
		.help = "goes with access_key_id"},                                                \
	[FIRST + AWS_SESSION_TOKEN] = {.key = "session_token",                                     \
		.env = {"AWS_SESSION_TOKEN"},                                                      \
		.type = SETTING_SECRET,                                                            \
		.help = "goes with temporary keys"},                                               \
	[FIRST + AWS_REGION] = {.key = "region",                                                   \
		.env = {"AWS_REGION", "AWS_DEFAULT_REGION"},                                       \
		.fallback = "us-east-1",                                                           \
		.help = "tells apart China and GovCloud from the rest of the world"},              \
	[FIRST + AWS_PROFILE] = {.key = "profile", .env = {"AWS_PROFILE"},                         \
		.help = "the section of the files in ~/.aws that has the keys"},                   \
	[FIRST + AWS_CREDENTIALS_FILE] = {.key = "shared_credentials_file",                        \
		.env = {"AWS_SHARED_CREDENTIALS_FILE"},                                            \
		.type = SETTING_PATH,                                                              \
		.help = "instead of ~/.aws/credentials"},                                          \
	[FIRST + AWS_CONFIG_FILE] = {.key = "config_file", .env = {"AWS_CONFIG_FILE"},             \
		.type = SETTING_PATH,                                                              \
		.help = "instead of ~/.aws/config"},                                               \
	[FIRST + AWS_ROLE_ARN] = {.key = "assume_role_arn",                                        \
		.env = {"AWS_ASSUME_ROLE_ARN"},                                                    \
		.help = "the role to take on, in another account, say"},                           \
	[FIRST + AWS_EXTERNAL_ID] = {.key = "external_id", .env = {"AWS_EXTERNAL_ID"},             \
		.help = "what the role's owner wants to be told with it"},                         \
	[FIRST + AWS_STS_ENDPOINT] = {.key = "sts_endpoint",                                       \
		.env = {"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"},                               \
		.type = SETTING_URL,                                                               \
		.help = "where roles are asked for; of the region in region"},                     \
	[FIRST + AWS_CONTAINER_URI] = {.key = "container_credentials_relative_uri",                \
		.env = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},                                 \
		.help = "the path of a container's keys; ECS sets the variable"},                  \
	[FIRST + AWS_CONTAINER_URL] = {.key = "container_credentials_full_uri",                    \
		.env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI"},                                     \
		.type = SETTING_URL,                                                               \
		.help = "where a container's keys are; EKS sets the variable"},                    \
	[FIRST + AWS_CONTAINER_TOKEN] = {.key = "container_authorization_token",                   \
		.env = {"AWS_CONTAINER_AUTHORIZATION_TOKEN"},                                      \
		.type = SETTING_SECRET,                                                            \
		.help = "what is sent there as Authorization"},                                    \
	[FIRST + AWS_CONTAINER_TOKEN_FILE] = {.key = "container_authorization_token_file",         \
		.env = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"},                                 \
		.type = SETTING_PATH,                                                              \
		.help = "a file with it, read anew each time"},                                    \
	[FIRST + AWS_CONTAINER_ENDPOINT] = {.key = "container_endpoint",                           \
		.type = SETTING_URL,                                                               \
		.help = "instead of http://169.254.170.2, where containers have their keys"},      \
	[FIRST + AWS_IMDS_ENDPOINT] = {.key = "imds_endpoint",                                     \
		.env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT"},                                      \
		.type = SETTING_URL,                                                               \
		.help = "instead of http://169.254.169.254, where machines have their keys"},      \
	[FIRST + AWS_IMDS_DISABLED] = {.key = "imds_disabled",                                     \
		.env = {"AWS_EC2_METADATA_DISABLED"},                                              \
		.type = SETTING_BOOL,                                                              \
		.fallback = "false",                                                               \
		.help = "does not ask the machine for keys"},                                      \
	[FIRST + AWS_MAX_RETRIES] = {.key = "max_retries",                                         \
		.env = {"AWS_MAX_RETRIES"},                                                        \
		.type = SETTING_SECONDS,                                                           \
		.fallback = "5",                                                                   \
		.help = "how often a request is tried again, 1 to 19 times"}
/* clang-format on */

/* --- keys --- */

struct aws_keys { /* strings its own */
	char *id, *secret;
	char *session;     /* NULL = none */
	int64_t expires_s; /* Unix seconds, by AWS's clock; 0 = never */
};

void aws_keys_clear(struct aws_keys *k); /* wipes */
/* Of the profile of the options, in the files of the options or ~/.aws: 1 = found, 0 = there are no
 * such files, or none with the profile "default"; -1 with a sentence. */
struct aws;
int aws_profile_keys(const struct aws *a, struct aws_keys *k, struct error *err);

/* --- signatures --- */

struct aws_scope {
	const char *region, *service;
};

/* Adds Host, X-Amz-Date, X-Amz-Security-Token and Authorization for a request of `url`, whose
 * query is encoded as enc_url() does, in the order of its keys, each with a "=". `now`: Unix
 * seconds by AWS's clock. */
void aws_sign(struct http_call *c, const char *url, const struct aws_keys *k,
	const struct aws_scope *s, int64_t now);

/* --- a service --- */

struct aws_partition;
struct aws {
	struct http_api api;   /* Route 53's */
	struct http_api local; /* the machine's or container's own, which answers at once */
	const struct setting_value *v;
	const struct aws_partition *partition;
	char *sts, *imds, *container; /* URLs without a slash at the end */
};

/* Checks and takes in the settings, which have to outlive it, as it has to stay where it is. `name`
 * tells its accounts apart from others'. `rate` requests in `per_ms` for the account. */
int aws_init(struct aws *a, const struct setting_value *v, const char *name, unsigned rate,
	int64_t per_ms, struct error *err);
void aws_clear(struct aws *a);
const char *aws_text(const struct aws *a, size_t setting); /* NULL = not given */

/* Sends a call of the service, and reads its answer, whose element is `root`. *out is new, and NULL
 * after a failure. As http_send(). */
int aws_ask(const struct aws *a, struct http_call *c, const char *root, struct xml **out,
	const struct limits *l, struct error *err);

/* Those that we are known by, as they are now. New; -1 with a sentence. */
int aws_own_keys(
	const struct aws *a, struct aws_keys *k, const struct limits *l, struct error *err);
/* Those to ask the service with: the role's, where one is to be taken on, or our own. Temporary
 * ones are kept with the account until five minutes before they expire. */
int aws_all_keys(
	const struct aws *a, struct aws_keys *k, const struct limits *l, struct error *err);
int64_t aws_now(const struct aws *a); /* Unix seconds, by AWS's clock */

#endif
