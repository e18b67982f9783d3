/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "io.h"

/* A whole unit of any revision, and what a stream copies in one piece. */
enum { SCRATCH = 1 << 20 };

struct disk {
    struct triple files;
    struct bitmap *bitmap;
    bool copy_on_read;
    /* Held while a clear unit gets its data and its bit: of two first writes to a unit one copies the rest, and the
     * other finds the bit set (ACW-DYN-006). Held in a flush too, so that no bit is set between the sync of the data
     * and the writing of the bits. Reads, and writes to units whose bits are set, do without. */
    pthread_mutex_t first_write;
    unsigned char *scratch; /* whose holder has first_write */
};

/* What a write puts in a range: bytes, or zeros that may be a hole. */
struct content {
    const unsigned char *bytes; /* NULL: zeros */
    bool hole;
};

struct disk *disk_open(const struct disk_options *options, struct refusal *refusal)
{
    struct disk *disk = calloc(1, sizeof *disk);
    struct bitmap_place place;

    if (!disk) {
        refuse(refusal, NULL, "%s", strerror(errno));
        return NULL;
    }
    if (triple_open(&disk->files, &options->files, refusal) < 0) {
        free(disk);
        return NULL;
    }
    pthread_mutex_init(&disk->first_write, NULL);
    place = (struct bitmap_place){
        .fd = disk->files.addcow.fd,
        .data = disk->files.image.fd,
        .start = disk->files.geometry.start,
        .units = disk->files.geometry.units,
        .pages = options->page_limit,
    };
    disk->copy_on_read = options->copy_on_read && disk->files.writable;
    disk->bitmap = bitmap_new(&place);
    disk->scratch = malloc(SCRATCH);
    if (!disk->bitmap || !disk->scratch) {
        refuse(refusal, NULL, "%s", strerror(ENOMEM));
        disk->files.writable = false; /* nothing to flush */
        disk_close(disk);
        return NULL;
    }
    return disk;
}

int disk_close(struct disk *disk)
{
    int result = disk->files.writable ? disk_flush(disk) : 0;
    int error = errno;

    bitmap_free(disk->bitmap);
    free(disk->scratch);
    pthread_mutex_destroy(&disk->first_write);
    triple_close(&disk->files);
    free(disk);
    errno = error;
    return result;
}

uint64_t disk_size(const struct disk *disk)
{
    return disk->files.size;
}

uint64_t disk_unit(const struct disk *disk)
{
    return disk->files.geometry.unit;
}

bool disk_is_writable(const struct disk *disk)
{
    return disk->files.writable;
}

bool disk_streams(const struct disk *disk)
{
    return disk->copy_on_read;
}

static int judge_range(const struct disk *disk, uint64_t count, uint64_t offset)
{
    if (offset <= disk->files.size && count <= disk->files.size - offset)
        return 0;
    errno = EINVAL;
    return -1;
}

static int judge_write(const struct disk *disk, uint64_t count, uint64_t offset)
{
    if (judge_range(disk, count, offset) < 0)
        return -1;
    if (disk->files.writable && !bitmap_has_failed(disk->bitmap))
        return 0;
    errno = disk->files.writable ? EIO : EROFS;
    return -1;
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/* The part of a range from its start on whose units have the same bit. 0 with errno set where that cannot be told. */
static uint64_t span(struct disk *disk, uint64_t count, uint64_t offset, bool *set)
{
    uint64_t unit = disk->files.geometry.unit, first = offset / unit;
    uint64_t units = bitmap_run(disk->bitmap, first, (offset + count - 1) / unit - first + 1, set);

    return units ? smaller(count, (first + units) * unit - offset) : 0;
}

/* What clear units show: the backing file, and zeros beyond its end (ACW-DYN-001, ACW-SIZ-001). */
static int read_below(const struct disk *disk, void *buffer, uint64_t count, uint64_t offset)
{
    uint64_t there = 0;

    if (offset < disk->files.backing_size)
        there = smaller(count, disk->files.backing_size - offset);
    memset((char *)buffer + there, 0, (size_t)(count - there));
    return there ? io_read(disk->files.backing.fd, buffer, (size_t)there, offset) : 0;
}

/* --- writing to clear units, with first_write held */

static int put(const struct disk *disk, const struct content *content, uint64_t count, uint64_t offset)
{
    if (content->bytes)
        return io_write(disk->files.image.fd, content->bytes, (size_t)count, offset);
    return io_zero(disk->files.image.fd, count, offset, content->hole);
}

/* Put into the image file what a guest reads in a range of less than a unit. Zeros too: what the image file holds
 * under a clear bit is worth nothing (ACW-DYN-003). */
static int copy_rest(struct disk *disk, uint64_t start, uint64_t end)
{
    if (start >= end)
        return 0;
    if (start >= disk->files.backing_size)
        return io_zero(disk->files.image.fd, end - start, start, true);
    if (read_below(disk, disk->scratch, end - start, start) < 0)
        return -1;
    return io_write(disk->files.image.fd, disk->scratch, (size_t)(end - start), start);
}

/* `count` > 0 bytes whose units are all clear: the rest of the first and of the last unit, the data, then the bits. */
static int fill(struct disk *disk, const struct content *content, uint64_t count, uint64_t offset)
{
    uint64_t unit = disk->files.geometry.unit;
    uint64_t first = offset / unit, last = (offset + count - 1) / unit;
    uint64_t end = smaller((last + 1) * unit, disk->files.size);

    if (copy_rest(disk, first * unit, offset) < 0 || copy_rest(disk, offset + count, end) < 0)
        return -1;
    if (put(disk, content, count, offset) < 0)
        return -1;
    return bitmap_set(disk->bitmap, first, last - first + 1);
}

/* --- requests */

/* Write to the clear units at the start of a range, `*count` bytes of which are done then: none of them where another
 * thread has set the first bit in the meantime. */
static int write_clear(struct disk *disk, const struct content *content, uint64_t *count, uint64_t offset)
{
    uint64_t part;
    bool set;
    int result = -1;

    pthread_mutex_lock(&disk->first_write);
    part = span(disk, *count, offset, &set);
    if (part) {
        *count = set ? 0 : part;
        result = set ? 0 : fill(disk, content, part, offset);
    }
    pthread_mutex_unlock(&disk->first_write);
    return result;
}

static int write_content(struct disk *disk, struct content content, uint64_t count, uint64_t offset)
{
    if (judge_write(disk, count, offset) < 0)
        return -1;
    while (count > 0) {
        bool set;
        uint64_t done = span(disk, count, offset, &set);

        if (!done)
            return -1;
        if ((set ? put(disk, &content, done, offset) : write_clear(disk, &content, &done, offset)) < 0)
            return -1;
        if (content.bytes)
            content.bytes += done;
        offset += done;
        count -= done;
    }
    return 0;
}

int disk_write(struct disk *disk, const void *buffer, uint32_t count, uint64_t offset)
{
    return write_content(disk, (struct content){.bytes = buffer}, count, offset);
}

int disk_zero(struct disk *disk, uint32_t count, uint64_t offset, bool hole)
{
    return write_content(disk, (struct content){.hole = hole}, count, offset);
}

/* Read the clear units at the start of a range, and copy them up whole. `*count` as in `write_clear`. */
static int read_and_copy(struct disk *disk, void *buffer, uint64_t *count, uint64_t offset)
{
    uint64_t unit = disk->files.geometry.unit, start = offset / unit * unit, part, end;
    bool set;
    int result = -1;

    pthread_mutex_lock(&disk->first_write);
    part = span(disk, smaller(*count, start + SCRATCH - offset), offset, &set);
    if (part && set) {
        *count = 0;
        result = 0;
    } else if (part) {
        end = smaller((offset + part + unit - 1) / unit * unit, disk->files.size);
        *count = part;
        result = read_below(disk, disk->scratch, end - start, start);
        /* A copy that fails leaves the bits clear, and the read has what it asked for. */
        if (result == 0 && !bitmap_has_failed(disk->bitmap) &&
            io_write(disk->files.image.fd, disk->scratch, (size_t)(end - start), start) == 0)
            bitmap_set(disk->bitmap, start / unit, (end - start + unit - 1) / unit);
        if (result == 0)
            memcpy(buffer, disk->scratch + (offset - start), (size_t)part);
    }
    pthread_mutex_unlock(&disk->first_write);
    return result;
}

int disk_read(struct disk *disk, void *buffer, uint32_t length, uint64_t offset)
{
    uint64_t count = length;
    char *at = buffer;

    if (judge_range(disk, count, offset) < 0)
        return -1;
    while (count > 0) {
        bool set;
        int result;
        uint64_t done = span(disk, count, offset, &set);

        if (!done)
            return -1;
        if (set)
            result = io_read(disk->files.image.fd, at, (size_t)done, offset);
        else if (disk->copy_on_read)
            result = read_and_copy(disk, at, &done, offset);
        else
            result = read_below(disk, at, done, offset);
        if (result < 0)
            return -1;
        at += done;
        offset += done;
        count -= done;
    }
    return 0;
}

int disk_flush(struct disk *disk)
{
    int result;

    pthread_mutex_lock(&disk->first_write);
    result = bitmap_flush(disk->bitmap);
    pthread_mutex_unlock(&disk->first_write);
    return result;
}

int disk_extent(struct disk *disk, uint64_t count, uint64_t offset, uint64_t *length, bool *hole)
{
    bool set;

    if (judge_range(disk, count, offset) < 0)
        return -1;
    *length = span(disk, count, offset, &set);
    if (!*length)
        return -1;
    *hole = !set && offset >= disk->files.backing_size;
    if (set)
        *length = io_extent(disk->files.image.fd, *length, offset, hole);
    else if (!*hole)
        *length = io_extent(disk->files.backing.fd, smaller(*length, disk->files.backing_size - offset), offset, hole);
    return 0;
}
