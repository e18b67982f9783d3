/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes that are done whole or fail, whatever the system hands back in pieces. */
#ifndef ADDCOW_IO_H
#define ADDCOW_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All return 0, or -1 with errno set. A file that ends inside a read is EIO: the lengths were judged before. */
int io_read(int fd, void *buffer, size_t count, uint64_t offset);
int io_write(int fd, const void *buffer, size_t count, uint64_t offset);

/* Make a range zeros: a hole where that is wanted and can be, the file keeps its length. */
int io_zero(int fd, uint64_t count, uint64_t offset, bool hole);

/* How many bytes from `offset` on, of `count` > 0, are alike: a hole, or not. Without such knowledge: no hole. */
uint64_t io_extent(int fd, uint64_t count, uint64_t offset, bool *hole);

#endif
