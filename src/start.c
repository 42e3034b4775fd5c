#include "start.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/privileges.h"
#include "base/sandbox.h"
#include "proxy/health.h"

uint64_t start_fds_for_sessions(const struct conf *conf)
{
	uint64_t workers = (uint64_t)conf->workers;
	uint64_t taken =
		32 + 2 * workers + workers * (conf->n_listens + 4) + 16 + HEALTH_DESCRIPTORS;
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > taken + 2 ? limit.rlim_cur - taken : 2;
}

/* Gives what root has made to the user that will go on with it. */
static int hand_over(const char *path, const struct conf *conf, struct error *err)
{
	return conf->user && geteuid() == 0 ? privileges_own(path, conf->user, err) : 0;
}

int start_take_state_dir(const struct conf *conf, struct error *err)
{
	bool missing = access(conf->state_dir, F_OK) < 0;
	char *path = mem_printf("%s/lock", conf->state_dir);
	int lock = -1;

	if (file_make_dirs(conf->state_dir, 0755, err) < 0 ||
		(missing && hand_over(conf->state_dir, conf, err) < 0))
		goto out;
	lock = file_lock(path, err);
	if (lock >= 0 && hand_over(path, conf, err) < 0) {
		close(lock);
		lock = -1;
	}
out:
	if (lock < 0)
		error_prefix(err, "state_dir");
	free(path);
	return lock;
}

int start_check_state_dir(const struct conf *conf, struct error *err)
{
	char *path = mem_printf("%s/lock", conf->state_dir);
	int rc = file_check_dirs(conf->state_dir, err);

	if (rc == 0)
		rc = file_check_write(FILE_OPENING_LOCK, path, err);
	if (rc < 0)
		error_prefix(err, "state_dir");
	free(path);
	return rc < 0 ? -1 : 0;
}

static int make_log(const char *what, const char *file, const struct conf *conf, struct error *err)
{
	int fd;

	if (access(file, F_OK) == 0)
		return 0;
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return file_write_error(err, what, file);
	close(fd);
	return hand_over(file, conf, err);
}

int start_make_logs(const struct conf *conf, struct error *err)
{
	const struct conf_connection_log *c = &conf->connection_log;

	if (strcmp(conf->log_file, "-") != 0 &&
		make_log("log.file: cannot create", conf->log_file, conf, err) < 0)
		return -1;
	return c->set ? make_log("connection_log.file: cannot create", c->file, conf, err) : 0;
}

static int hand_over_listener(const struct listener *l, const struct conf *conf, struct error *err)
{
	if (l->shared)
		return hand_over(l->address.host, conf, err);
	for (size_t i = 0; i < l->n; i++)
		if (privileges_own_socket(l->fds[i], conf->user, err) < 0)
			return -1;
	return 0;
}

int start_hand_over_sockets(
	const struct conf *conf, const struct listeners *listeners, struct error *err)
{
	if (!conf->user)
		return 0;
	for (size_t i = 0; i < listeners->n; i++)
		if (hand_over_listener(listeners->v[i], conf, err) < 0)
			return -1;
	if (conf->admin.set && conf->admin.address.kind == ADDRESS_UNIX)
		return hand_over(conf->admin.address.host, conf, err);
	return 0;
}

/* The folders that may be written to, each made where it is missing. */
struct folders {
	char **v;
	size_t n;
};

static int add_folder(struct folders *f, const char *file, bool make, struct error *err)
{
	char *folder = file_folder(file);

	*(char **)mem_grow(&f->v, f->n++, sizeof(*f->v)) = folder;
	return make ? file_make_dirs(folder, 0755, err) : 0;
}

int start_enter_sandbox(const struct conf *conf, struct error *err)
{
	struct folders f = {0};
	int rc = 0;

	if (!conf->sandbox)
		return 0;
	*(char **)mem_grow(&f.v, f.n++, sizeof(*f.v)) = mem_strdup(conf->state_dir);
	if (strcmp(conf->log_file, "-") != 0)
		add_folder(&f, conf->log_file, false, err);
	if (conf->connection_log.set)
		add_folder(&f, conf->connection_log.file, false, err);
	for (size_t i = 0; i < conf->n_listens; i++)
		if (conf->listens[i].address.kind == ADDRESS_UNIX)
			add_folder(&f, conf->listens[i].address.host, false, err);
	if (conf->admin.set && conf->admin.address.kind == ADDRESS_UNIX)
		add_folder(&f, conf->admin.address.host, false, err);
	for (size_t i = 0; rc == 0 && i < conf->n_providers; i++) {
		const struct conf_autocert *a = &conf->providers[i];

		if (a->provider == PROVIDER_LOCAL)
			continue;
		rc = add_folder(&f, a->cert_path, true, err);
		if (rc == 0)
			rc = add_folder(&f, a->key_path, true, err);
		if (rc == 0 && conf_is_acme(a))
			rc = add_folder(&f, a->acme_key_path, true, err);
		if (rc < 0)
			error_prefix(err, "autocert: %s", a->name);
	}
	if (rc == 0)
		rc = sandbox_enter((const char *const *)f.v, f.n, err);
	for (size_t i = 0; i < f.n; i++)
		free(f.v[i]);
	free(f.v);
	return rc;
}

void start_warn_unreadable(const struct conf *conf)
{
	if (access(conf->file, R_OK) < 0)
		log_warn("user %s may not read %s: until it may, every reload will be refused",
			conf->user, conf->file);
}
