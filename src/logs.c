#include "logs.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/connlog.h"

int logs_start(const struct conf *conf, struct error *err)
{
	const struct conf_connection_log *c = &conf->connection_log;
	int fd = c->set ? connlog_open(c->file, err) : 0;

	if (fd < 0 || log_start(conf->log_file, err) < 0)
		return -1;
	if (c->set)
		connlog_use(c->file, fd);
	logs_configure(conf);
	return 0;
}

int logs_change(const struct conf *before, const struct conf *after, struct error *err)
{
	const struct conf_connection_log *old = &before->connection_log,
					 *new = &after->connection_log;
	int fd = -1;

	if (new->set && !(old->set && strcmp(old->file, new->file) == 0)) {
		fd = connlog_open(new->file, err);
		if (fd < 0)
			return -1;
	}
	if (strcmp(before->log_file, after->log_file) != 0 &&
		log_set_file(after->log_file, err) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (fd >= 0)
		connlog_use(new->file, fd);
	return 0;
}

void logs_configure(const struct conf *conf)
{
	log_configure(conf->log_level, conf->log_format);
	if (conf->connection_log.set)
		connlog_turn_on(conf->connection_log.format);
	else
		connlog_turn_off();
}

void logs_reopen(void)
{
	struct error err;

	if (log_reopen(&err) < 0)
		log_error("%s; the old one stays in use", err.text);
	else
		log_info("log file reopened");
	if (connlog_reopen(&err) < 0)
		log_error("%s; the old one stays in use", err.text);
}

void logs_tick(void)
{
	connlog_tell_losses();
}

void logs_stop(void)
{
	connlog_stop();
	log_stop();
}
