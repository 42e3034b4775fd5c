/* Fuzzes the configuration: whatever a file holds ends in a struct conf or in problems. To search
 * for more than the corpus, build with libFuzzer instead of replay.c:
 *
 *     clang -g -O1 -std=gnu11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Isrc \
 *         tests/fuzz/fuzz_conf.c src/conf/[a-z]*.c src/base/[a-z]*.c -lyaml -lcrypto -o fuzz_conf
 *     ./fuzz_conf NEW-CORPUS tests/fuzz/corpus/conf
 */
#include "fuzz.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct problems p = {0}, p_admin = {0};
	struct conf_admin admin;
	struct conf *c;
	char path[64];
	int fd = memfd_create("conf", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	c = conf_load(path, &p);
	assert(!c == (p.n > 0));
	if (c) {
		assert(c->n_listens && c->n_routes && c->n_providers && c->workers > 0);
		conf_check_reload(c, c, &p);
		assert(!p.n);
	}
	if (conf_load_admin(path, &admin, &p_admin) == 0)
		assert(!p_admin.n && (!admin.set || admin.address.text));
	conf_admin_clear(&admin);
	conf_unref(c);
	problems_clear(&p);
	problems_clear(&p_admin);
	close(fd);
	return 0;
}
