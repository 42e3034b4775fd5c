/* Files: read with a limit, written whole or not at all, directories, the instance lock.
 * Blocking; control thread at start, jobs later. */
#ifndef LINTEL_BASE_FILE_H
#define LINTEL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* To read from; a FIFO is not waited for. -1 with a sentence that says what to do where a file is
 * missing, or not this user's to read. */
int file_open(const char *path, struct error *err);

/* Says what errno means where something was to be made or written: "WHAT PATH: why: what to do".
 * Returns -1. */
int file_write_error(struct error *err, const char *what, const char *path);

/* Returns new NUL-terminated bytes (free), their number in *len; NULL with a sentence, also when
 * the file has more than `max` bytes or is no regular file (FIFOs are not waited for). */
char *file_read(const char *path, size_t max, size_t *len, struct error *err);

/* SHA-256 of what a file of at most `max` bytes holds; zeros where it cannot be read. What was read
 * is wiped. */
void file_hash(const char *path, size_t max, unsigned char hash[32]);

/* Writes PATH.new with exactly `mode`, syncs it, renames it over PATH and syncs the directory. */
int file_write(const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/* The halves of it, for files that change together: PATH.new written and synced, PATH.new renamed
 * over PATH, and the folder of PATH synced, which makes both last. */
int file_stage(const char *path, const void *data, size_t len, mode_t mode, struct error *err);
int file_commit(const char *path, struct error *err);
int file_sync_folder(const char *path, struct error *err);

/* As mkdir -p: what is missing is made with exactly `mode`. */
int file_make_dirs(const char *path, mode_t mode, struct error *err);

/* Whether it could, with the same sentence, and nothing is made: 0 = all are there, 1 = they could
 * be made, -1. */
int file_check_dirs(const char *path, struct error *err);

/* Whether a file could be written to, or made where it is missing: the sentence of
 * file_write_error(). */
int file_check_write(const char *what, const char *path, struct error *err);

/* As file_make_dirs() for the folder that a file is to be in. */
int file_make_folder(const char *path, mode_t mode, struct error *err);

/* The folder of `path`, "." for a bare name. Returns a new string. */
char *file_folder(const char *path);
/* `path` itself when absolute, else joined to `folder`. Returns a new string. */
char *file_resolve(const char *folder, const char *path);

/* Takes the lock on `path` (made 0600) and returns the descriptor that holds it, or -1 with a
 * sentence naming the process that has it. close() lets it go; so does the end of the process. */
int file_lock(const char *path, struct error *err);
#define FILE_OPENING_LOCK "cannot open the lock file" /* how its sentence begins */

#endif
