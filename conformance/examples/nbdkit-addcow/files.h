/* SPDX-License-Identifier: Apache-2.0 */
/* Opening files whose names nobody vouches for, and locking them as QEMU does. */
#ifndef ADDCOW_FILES_H
#define ADDCOW_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "refusal.h"

struct file {
    int fd; /* -1: not open */
    dev_t device;
    ino_t inode;
};

struct opening {
    const char *what; /* for messages: "add-cow", "image", "backing" */
    const char *rule; /* the rule that a file breaks which is missing or cannot be read; NULL for none */
    bool writable;
    const char *confined; /* the resolved path of the directory that the file has to be beneath; NULL for none */
};

/* The path of a directory with all links resolved, to be freed; NULL with errno set. */
char *directory_path(const char *name);

/* Open a regular file; nothing else is opened, not even for a moment (ACW-ENV-003).
 * Returns 0, or -1 with the refusal filled in. */
int file_open(struct file *file, int directory, const char *name, const struct opening *how, struct refusal *refusal);
void file_close(struct file *file);

/* Symbolic and hard links followed: one file is one inode of one device. */
bool file_is(const struct file *file, const struct file *other);

/* The length now; asked after locking. */
int file_length(const struct file *file, uint64_t *length, const char *what, struct refusal *refusal);

/* Take the locks of a writer or of a reader (ACW-DYN-014); they go when the file is closed. */
int file_lock(const struct file *file, bool writer, const char *what, struct refusal *refusal);

#endif
