/* The files that the AWS tools share: ~/.aws/credentials has sections [NAME], ~/.aws/config has
 * [profile NAME], and [default]. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cloud/aws.h"

#define FILE_MAX ((size_t)256 << 10)

void aws_keys_clear(struct aws_keys *k)
{
	char *all[] = {k->id, k->secret, k->session};

	for (size_t i = 0; i < 3; i++)
		http_wipe(all[i]);
	*k = (struct aws_keys){0};
}

struct profile {
	const char *name;
	bool found;
	struct aws_keys keys;
	char *other; /* a key of the section that says where keys would be had; NULL = none */
};

/* In place; `s` without the blanks around it. */
static char *trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len && strchr(" \t\r", s[len - 1]))
		s[--len] = '\0';
	return s;
}

/* "[NAME]", and in the configuration "[profile NAME]". */
static bool is_section(char *line, const char *name, bool is_config)
{
	char *end = strchr(line, ']');

	if (!end)
		return false;
	*end = '\0';
	line = trim(line + 1);
	if (is_config && strcmp(line, "default") != 0) {
		if (!str_starts(line, "profile ") && !str_starts(line, "profile\t"))
			return false;
		line = trim(line + strlen("profile"));
	}
	return strcmp(line, name) == 0;
}

static void take_line(struct profile *p, char *line)
{
	static const char *const others[] = {"role_arn", "credential_process", "credential_source",
		"sso_session", "sso_start_url", "web_identity_token_file"};
	char *equals = strchr(line, '='), *key, *value, **to = NULL;

	if (!equals)
		return;
	*equals = '\0';
	key = trim(line);
	value = trim(equals + 1);
	if (strcmp(key, "aws_access_key_id") == 0)
		to = &p->keys.id;
	else if (strcmp(key, "aws_secret_access_key") == 0)
		to = &p->keys.secret;
	else if (strcmp(key, "aws_session_token") == 0)
		to = &p->keys.session;
	if (to && *value && !*to)
		*to = mem_strdup(value);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!p->other && strcmp(key, others[i]) == 0)
			p->other = mem_strdup(key);
}

/* `given`: it was asked for, and has to be there. */
static int read_file(
	struct profile *p, const char *path, bool is_config, bool given, struct error *err)
{
	size_t len = 0;
	char *text, *rest, *line;
	bool inside = false;

	if (!given && access(path, F_OK) < 0)
		return 0;
	text = file_read(path, FILE_MAX, &len, err);
	if (!text)
		return -1;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		line = trim(line);
		if (*line == '[') {
			inside = is_section(line, p->name, is_config);
			p->found |= inside;
		} else if (inside && *line != '#' && *line != ';') {
			take_line(p, line);
		}
	}
	OPENSSL_cleanse(text, len);
	free(text);
	return 0;
}

/* The setting's, or that in the home folder; NULL where there is none. New. */
static char *path_of(const struct aws *a, size_t row, const char *name)
{
	const char *home = getenv("HOME");

	if (aws_text(a, row))
		return mem_strdup(aws_text(a, row));
	return home && *home ? mem_printf("%s/.aws/%s", home, name) : NULL;
}

static int judge(struct profile *p, bool named, const char *credentials, const char *config,
	struct error *err)
{
	if (p->keys.id && p->keys.secret)
		return 1;
	if (p->other && strcmp(p->other, "role_arn") == 0)
		return error_set(err,
			"the profile %s takes on a role: give its role_arn as assume_role_arn, its "
			"external_id, and its source_profile as profile",
			p->name);
	if (p->other)
		return error_set(err,
			"the profile %s has no keys but %s, which is not supported: give "
			"access_key_id and secret_access_key, or another profile",
			p->name, p->other);
	if (p->keys.id || p->keys.secret)
		return error_set(err,
			"the profile %s lacks %s, or has it in the other one of the files", p->name,
			p->keys.id ? "aws_secret_access_key" : "aws_access_key_id");
	if (!named)
		return 0;
	return error_set(err, "%s the profile %s in %s or %s%s",
		p->found ? "there are no keys for" : "there is no section for", p->name,
		credentials ? credentials : "~/.aws/credentials", config ? config : "~/.aws/config",
		credentials && config ? "" : " (HOME is not set: give shared_credentials_file)");
}

int aws_profile_keys(const struct aws *a, struct aws_keys *k, struct error *err)
{
	const char *name = aws_text(a, AWS_PROFILE);
	struct profile found = {.name = name ? name : "default"};
	char *credentials = path_of(a, AWS_CREDENTIALS_FILE, "credentials"),
	     *config = path_of(a, AWS_CONFIG_FILE, "config");
	int rc = 0;

	if (credentials)
		rc = read_file(&found, credentials, false, aws_text(a, AWS_CREDENTIALS_FILE), err);
	/* Keys are not put together from both. */
	if (rc == 0 && config && !found.keys.id)
		rc = read_file(&found, config, true, aws_text(a, AWS_CONFIG_FILE), err);
	if (rc == 0)
		rc = judge(&found, name, credentials, config, err);
	if (rc == 1)
		*k = found.keys;
	else
		aws_keys_clear(&found.keys);
	free(found.other);
	free(credentials);
	free(config);
	return rc;
}
