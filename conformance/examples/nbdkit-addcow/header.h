/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an add-cow file judged by the must-rules of the reviewed profile (spec, chapters 2 to 5). */
#ifndef ADDCOW_HEADER_H
#define ADDCOW_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "refusal.h"

enum revision { REVISION_UNKNOWN, REVISION_V4, REVISION_V6, REVISION_V10 };

/* A v10 name has at most 4,059 bytes (ACW-NAM-003), one of v4 and v6 at most 1,024. */
enum { NAME_MAXIMUM = 4059 };

struct header {
    enum revision revision;
    bool guessed;         /* the note ACW-HDR-005 is due: not to be written until the revision is stated */
    uint64_t stored_size; /* v4 and v6 */
    bool has_backing;
    bool backing_is_raw;  /* stated, so there is no probe */
    char image_name[NAME_MAXIMUM + 1];
    char backing_name[NAME_MAXIMUM + 1];
};

/* Where the bitmap of a disk lies (chapter 3). Sums of these and of lengths of files do not overflow. */
struct geometry {
    uint64_t unit;   /* bytes that one bit stands for */
    uint64_t units;
    uint64_t start;  /* of the bitmap in the file */
    uint64_t bytes;  /* of the bitmap */
    uint8_t unused;  /* bits of its last byte that stand for nothing */
};
struct geometry geometry_of(enum revision revision, uint64_t size);

/* Read and judge the header of a file of `length` bytes. Returns 0, or -1 with the refusal filled in. */
int header_read(struct header *header, int fd, uint64_t length, enum revision stated, struct refusal *refusal);

/* Judge sizes and bitmap, once the length of the image file is known. */
int header_judge_sizes(const struct header *header, int fd, uint64_t length, uint64_t image_length,
                       struct refusal *refusal);

#endif
