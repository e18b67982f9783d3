/* SPDX-License-Identifier: Apache-2.0 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int io_read(int fd, void *buffer, size_t count, uint64_t offset)
{
    char *at = buffer;

    while (count > 0) {
        ssize_t done = pread(fd, at, count, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        if (done == 0) {
            errno = EIO;
            return -1;
        }
        at += done;
        offset += (uint64_t)done;
        count -= (size_t)done;
    }
    return 0;
}

int io_write(int fd, const void *buffer, size_t count, uint64_t offset)
{
    const char *at = buffer;

    while (count > 0) {
        ssize_t done = pwrite(fd, at, count, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        if (done == 0) {
            errno = ENOSPC;
            return -1;
        }
        at += done;
        offset += (uint64_t)done;
        count -= (size_t)done;
    }
    return 0;
}

int io_zero(int fd, uint64_t count, uint64_t offset, bool hole)
{
    static const char zeros[65536];
    int mode = FALLOC_FL_KEEP_SIZE | (hole ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    int result;

    if (count == 0)
        return 0;
    do
        result = fallocate(fd, mode, (off_t)offset, (off_t)count);
    while (result < 0 && errno == EINTR);
    if (result == 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
        return result;
    while (count > 0) {
        size_t part = count < sizeof zeros ? (size_t)count : sizeof zeros;

        if (io_write(fd, zeros, part, offset) < 0)
            return -1;
        offset += part;
        count -= part;
    }
    return 0;
}

uint64_t io_extent(int fd, uint64_t count, uint64_t offset, bool *hole)
{
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
    off_t end;

    *hole = data < 0 ? errno == ENXIO : (uint64_t)data > offset;
    if (data < 0)
        return count;
    end = *hole ? data : lseek(fd, (off_t)offset, SEEK_HOLE);
    if (end <= (off_t)offset || (uint64_t)end - offset > count)
        return count;
    return (uint64_t)end - offset;
}
