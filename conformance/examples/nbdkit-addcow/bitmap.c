/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

enum { PAGE = 4096, BITS = PAGE * 8 };

/* A page of the bitmap has one place, its number modulo the number of places: nothing has to be searched. */
struct page {
    bool present, dirty;
    uint64_t number;
    unsigned char bytes[PAGE];
};

struct bitmap {
    struct bitmap_place place;
    pthread_mutex_t lock; /* for all that follows but `failed` */
    bool unsynced;        /* the add-cow file has, or may have, bytes that no sync has made durable */
    atomic_bool failed;
    struct page spare;
    struct page pages[];
};

struct bitmap *bitmap_new(const struct bitmap_place *place)
{
    uint64_t needed = place->units / BITS + (place->units % BITS != 0);
    unsigned pages = needed < place->pages ? (unsigned)needed : place->pages;
    struct bitmap *bitmap;

    if (pages == 0)
        pages = 1;
    bitmap = calloc(1, sizeof *bitmap + pages * sizeof bitmap->pages[0]);
    if (!bitmap)
        return NULL;
    bitmap->place = *place;
    bitmap->place.pages = pages;
    /* A process that was killed may have left bits that are written and not durable, and readers have seen them. */
    bitmap->unsynced = true;
    pthread_mutex_init(&bitmap->lock, NULL);
    return bitmap;
}

void bitmap_free(struct bitmap *bitmap)
{
    if (bitmap)
        pthread_mutex_destroy(&bitmap->lock);
    free(bitmap);
}

bool bitmap_has_failed(struct bitmap *bitmap)
{
    return atomic_load(&bitmap->failed);
}

static int synced(struct bitmap *bitmap, int fd)
{
    if (bitmap_has_failed(bitmap)) {
        errno = EIO;
        return -1;
    }
    if (fdatasync(fd) == 0)
        return 0;
    /* The system tells this once: the next sync may succeed with the data gone. */
    atomic_store(&bitmap->failed, true);
    return -1;
}

/* --- with the lock held */

static size_t length_of(const struct bitmap *bitmap, uint64_t number)
{
    uint64_t bytes = bitmap->place.units / 8 + (bitmap->place.units % 8 != 0);
    uint64_t left = bytes - number * PAGE;

    return left < PAGE ? (size_t)left : PAGE;
}

static uint64_t offset_of(const struct bitmap *bitmap, uint64_t number)
{
    return bitmap->place.start + number * PAGE;
}

/* The caller has synced the image file since the last bit was set. */
static int write_dirty(struct bitmap *bitmap)
{
    for (unsigned i = 0; i < bitmap->place.pages; i++) {
        struct page *page = &bitmap->pages[i];

        if (!page->dirty)
            continue;
        bitmap->unsynced = true;
        if (io_write(bitmap->place.fd, page->bytes, length_of(bitmap, page->number),
                     offset_of(bitmap, page->number)) < 0)
            return -1;
        page->dirty = false;
    }
    return 0;
}

static struct page *take(struct bitmap *bitmap, struct page *page, uint64_t number)
{
    page->present = false;
    if (io_read(bitmap->place.fd, page->bytes, length_of(bitmap, number), offset_of(bitmap, number)) < 0)
        return NULL;
    page->number = number;
    page->present = true;
    return page;
}

static struct page *load(struct bitmap *bitmap, uint64_t number)
{
    struct page *page = &bitmap->pages[number % bitmap->place.pages];

    if (page->present && page->number == number)
        return page;
    /* One sync serves all pages, so all are written, and the next ones leave without. */
    if (page->dirty && (synced(bitmap, bitmap->place.data) < 0 || write_dirty(bitmap) < 0))
        return NULL;
    return take(bitmap, page, number);
}

/* As `load`, for a reader: a page that cannot make room, as its bits cannot be made durable, keeps nobody from
 * reading (chapter 7, flushing). Nothing may be set in the page. */
static const struct page *look(struct bitmap *bitmap, uint64_t number)
{
    const struct page *page = load(bitmap, number);

    return page ? page : take(bitmap, &bitmap->spare, number);
}

/* --- without */

uint64_t bitmap_run(struct bitmap *bitmap, uint64_t unit, uint64_t limit, bool *set)
{
    uint64_t count = 0, in_page = BITS - unit % BITS;
    const struct page *page;

    if (limit > in_page)
        limit = in_page;
    pthread_mutex_lock(&bitmap->lock);
    page = look(bitmap, unit / BITS);
    if (page) {
        unsigned bit = (unsigned)(unit % BITS);
        unsigned char whole;

        *set = page->bytes[bit / 8] >> bit % 8 & 1;
        whole = *set ? 0xff : 0;
        while (count < limit) {
            if (bit % 8 == 0 && limit - count >= 8 && page->bytes[bit / 8] == whole) {
                bit += 8;
                count += 8;
            } else if ((page->bytes[bit / 8] >> bit % 8 & 1) == *set) {
                bit++;
                count++;
            } else {
                break;
            }
        }
    }
    pthread_mutex_unlock(&bitmap->lock);
    return count;
}

static void set_in_page(struct page *page, unsigned bit, uint64_t count)
{
    for (; count > 0; bit++, count--) {
        unsigned char mask = (unsigned char)(1 << bit % 8);

        if (!(page->bytes[bit / 8] & mask))
            page->dirty = true;
        page->bytes[bit / 8] |= mask;
    }
}

int bitmap_set(struct bitmap *bitmap, uint64_t unit, uint64_t count)
{
    int result = 0;

    pthread_mutex_lock(&bitmap->lock);
    while (count > 0) {
        uint64_t part = BITS - unit % BITS;
        struct page *page = load(bitmap, unit / BITS);

        if (!page) {
            result = -1;
            break;
        }
        if (part > count)
            part = count;
        set_in_page(page, (unsigned)(unit % BITS), part);
        unit += part;
        count -= part;
    }
    pthread_mutex_unlock(&bitmap->lock);
    return result;
}

int bitmap_flush(struct bitmap *bitmap)
{
    bool unsynced = false;
    int result;

    /* Without the lock, so that reads go on meanwhile. */
    if (synced(bitmap, bitmap->place.data) < 0)
        return -1;
    pthread_mutex_lock(&bitmap->lock);
    result = write_dirty(bitmap);
    if (result == 0) {
        unsynced = bitmap->unsynced;
        bitmap->unsynced = false;
    }
    pthread_mutex_unlock(&bitmap->lock);
    return unsynced ? synced(bitmap, bitmap->place.fd) : result;
}
