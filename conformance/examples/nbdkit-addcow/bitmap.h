/* SPDX-License-Identifier: Apache-2.0 */
/* The bitmap, of which a bounded number of pages is in memory (ACW-DYN-008).
 *
 * A bit reaches the add-cow file after a sync of the image file only, and so after its data (ACW-DYN-005). It is
 * set here when the data has been written there. Every call may come from any thread. */
#ifndef ADDCOW_BITMAP_H
#define ADDCOW_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

struct bitmap;

struct bitmap_place {
    int fd;         /* the add-cow file */
    int data;       /* the image file, which is synced before bits are written */
    uint64_t start; /* of the bitmap in the add-cow file */
    uint64_t units;
    unsigned pages; /* that may be in memory, each of 4,096 bytes */
};

/* NULL with errno set where there is no memory. */
struct bitmap *bitmap_new(const struct bitmap_place *place);
void bitmap_free(struct bitmap *bitmap);

/* How many units from `unit` on, `limit` > 0 at most, have the same bit, and which. It may be told in pieces.
 * Returns 0 with errno set where the bits cannot be read. */
uint64_t bitmap_run(struct bitmap *bitmap, uint64_t unit, uint64_t limit, bool *set);

/* Set the bits of `count` units whose data is in the image file, whole. Where it fails a part of them may be set. */
int bitmap_set(struct bitmap *bitmap, uint64_t unit, uint64_t count);

/* Make durable what was written: the image file, then the bits. No bit may be set meanwhile. */
int bitmap_flush(struct bitmap *bitmap);

/* A sync has failed, and what it was to make durable may be lost: there are no writes from then on. */
bool bitmap_has_failed(struct bitmap *bitmap);

#endif
