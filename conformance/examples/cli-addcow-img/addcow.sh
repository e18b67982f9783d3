#!/bin/sh
# What the commands of adapter.toml need beyond a call of addcow-img:
#   addcow.sh COMMAND REVISION IMAGE [ARGUMENT...]
set -eu
command=$1 revision=$2 image=$3
shift 3

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# qemu-io's language has no quotes; a link stands for what may have a space in its name.
io() {
    addcow-img io --revision "$revision" -c "$1" -c flush "$image" >"$scratch/said" || {
        cat "$scratch/said" >&2
        exit 1
    }
}

case $command in
size)
    addcow-img info --revision "$revision" "$image" | sed -n 's/^virtual size: .*(\(.*\) bytes)$/\1/p' \
        >"$scratch/size"
    # A pipe has the exit status of its end.
    test -s "$scratch/size" && cat "$scratch/size"
    ;;
create)
    options=image_file=$1${2:+,backing_file=$2}${3:+,backing_fmt=$3}
    addcow-img create -q --revision "$revision" -o "$options" "$image"
    ;;
read)
    if [ "$2" -eq 0 ]; then
        io "read $1 0"
        exit
    fi
    # The dump of qemu-io, without its offsets and its text; a line that is none has no such columns.
    addcow-img io -r --revision "$revision" -c "read -v $1 $2" "$image" >"$scratch/dump" || {
        cat "$scratch/dump" >&2
        exit 1
    }
    sed -n 's/^[0-9a-f]\{8,\}:  \(.*\)  .*$/\1/p' "$scratch/dump" |
        tr -d ' \n' | tr a-f A-F | basenc --base16 --decode
    ;;
write)
    cat >"$scratch/data"
    if [ -s "$scratch/data" ]; then
        io "write -s $scratch/data $1 $2"
    else
        io "write $1 0"
    fi
    ;;
resize)
    io "truncate $1"
    ;;
esac
