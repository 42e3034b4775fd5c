#include "conffile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "conf/conf.h"

char conffile_folder[] = "/tmp/test_conf.XXXXXX";
char conffile_path[64];

int conffile_set_up(void **state)
{
	(void)state;
	if (!mkdtemp(conffile_folder))
		return -1;
	snprintf(conffile_path, sizeof(conffile_path), "%s/lintel.yaml", conffile_folder);
	unsetenv("LT_NONE");
	setenv("LT_TOKEN", "from-env", 1);
	return 0;
}

int conffile_tear_down(void **state)
{
	(void)state;
	unlink(conffile_path);
	return rmdir(conffile_folder);
}

void conffile_write(const char *path, const char *text)
{
	struct error err = {""};

	if (file_write(path, text, strlen(text), 0600, &err) < 0)
		print_error("%s\n", err.text);
	assert_string_equal(err.text, "");
}

char *conffile_joined(struct problems *p)
{
	struct str s = {0};

	str_add(&s, "", 0);
	for (size_t i = 0; i < p->n; i++)
		str_addf(&s, "%s\n",
			str_starts(p->lines[i], conffile_path) ? p->lines[i] + strlen(conffile_path)
							       : p->lines[i]);
	problems_clear(p);
	return s.data;
}

void conffile_assert_refused(const char *text, const char *want)
{
	struct problems p = {0};
	char *got;

	conffile_write(conffile_path, text);
	assert_null(conf_load(conffile_path, &p));
	got = conffile_joined(&p);
	assert_string_equal(got, want);
	free(got);
}
