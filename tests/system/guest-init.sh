#!/bin/sh
# The guest's /init. Does the task that the kernel's command line names, "fill" or "read", on its disk, and reports
# on the second serial port; the first one is the console. A step that fails ends init, and with it the guest.
set -eux

/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devices /dev
/bin/busybox --install -s /bin

report() {
    echo "$*" >/dev/ttyS1
}

disk() {
    sha256sum </dev/vda | cut -d ' ' -f 1
}

# Nothing is answered from memory that the disk has to answer.
files() {
    echo 3 >/proc/sys/vm/drop_caches
    for file in /mnt/*.bin; do
        report "${file##*/}" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
    done
}

fill() {
    mke2fs /dev/vda
    mount -t ext4 -o errors=panic /dev/vda /mnt
    cp /content/*.bin /mnt
    sync
    files
    umount /mnt
}

read_back() {
    mount -t ext4 -o ro,errors=panic /dev/vda /mnt
    files
    umount /mnt
}

depmod
modprobe -a virtio_pci virtio_blk
report before "$(disk)"
case $task in
fill) fill ;;
read) read_back ;;
esac
sync
report after "$(disk)"
poweroff -f
