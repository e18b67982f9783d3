/* SPDX-License-Identifier: Apache-2.0 */
/* The disk: what a guest reads and writes, over the files of a triple (spec, chapters 6 and 7). */
#ifndef ADDCOW_DISK_H
#define ADDCOW_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "triple.h"

struct disk;

struct disk_options {
    struct triple_options files;
    bool copy_on_read;   /* reading streams (ACW-DYN-012); needs to write */
    unsigned page_limit; /* pages of the bitmap in memory */
};

/* NULL with the refusal filled in where the image is not fit to be used. */
struct disk *disk_open(const struct disk_options *options, struct refusal *refusal);

/* Writes what is in memory alone. Returns 0, or -1 with errno set; the disk is closed either way. */
int disk_close(struct disk *disk);

uint64_t disk_size(const struct disk *disk);
uint64_t disk_unit(const struct disk *disk);
bool disk_is_writable(const struct disk *disk);
bool disk_streams(const struct disk *disk);

/* All return 0, or -1 with errno set, and may be called from any thread. A range that is not inside the disk is
 * EINVAL, and nothing is done (ACW-DYN-007). */
int disk_read(struct disk *disk, void *buffer, uint32_t count, uint64_t offset);
int disk_write(struct disk *disk, const void *buffer, uint32_t count, uint64_t offset);
int disk_zero(struct disk *disk, uint32_t count, uint64_t offset, bool hole);
int disk_flush(struct disk *disk);

/* How many bytes from `offset` on, `count` > 0 at most, are alike: zeros that take no room, or data. */
int disk_extent(struct disk *disk, uint64_t count, uint64_t offset, uint64_t *length, bool *hole);

#endif
