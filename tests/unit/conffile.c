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
