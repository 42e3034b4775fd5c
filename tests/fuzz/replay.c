/* Runs a fuzzer over files: those named, else every file of its corpus, which is the folder
 * corpus/NAME beside this file for the program fuzz_NAME. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "fuzz.h"

#define MAX_BYTES ((size_t)32 << 20)

static int replay(const char *path)
{
	struct error err;
	size_t len;
	char *data = file_read(path, MAX_BYTES, &len, &err);

	if (!data) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	printf("%s\n", path); /* the last one printed is the one that failed */
	fflush(stdout);
	LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	free(data);
	return 0;
}

static int is_file(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int replay_corpus(const char *program)
{
	const char *source = getenv("srcdir"), *name = strrchr(program, '/');
	struct dirent **entries;
	char *folder, *path;
	int n, rc = 0;

	name = name ? name + 1 : program;
	if (!str_starts(name, "fuzz_"))
		return -1;
	folder = mem_printf("%s/tests/fuzz/corpus/%s", source ? source : ".", name + 5);
	n = scandir(folder, &entries, is_file, alphasort);
	if (n <= 0) {
		fprintf(stderr, "%s: no corpus there\n", folder);
		free(folder);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		path = mem_printf("%s/%s", folder, entries[i]->d_name);
		if (replay(path) < 0)
			rc = -1;
		free(path);
		free(entries[i]);
	}
	free(entries);
	free(folder);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	if (argc == 1)
		rc = replay_corpus(argv[0]);
	for (int i = 1; i < argc; i++)
		if (replay(argv[i]) < 0)
			rc = -1;
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
