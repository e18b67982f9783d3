#!/bin/bash -eu
# As OSS-Fuzz does.
exec "$SRC/add-cow/fuzz/oss-fuzz/build.sh"
