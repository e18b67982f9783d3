# Made from addcow_spec.grammar by `python -m addcow_spec.exports`; do not edit.
meta:
  id: addcow_v10
  title: add-cow header, revision v10 (June 2012), little endian
  file-extension: add-cow
  license: Apache-2.0
  ks-version: '0.10'
  endian: le
doc: |-
  The header of an add-cow file. Names are bytes without an encoding, and hostile until proven
  otherwise.
doc-ref: spec/02-header.md
seq:
  - id: magic
    contents: [ADD_COW, 0xff]
    doc: ADD_COW and the byte 0xff
  - id: version
    type: u4
    valid: 1
    doc: version of the format
  - id: backing_filename_offset
    type: u4
    doc: offset of the backing file's name; 0 without one
  - id: backing_filename_size
    type: u4
    doc: length of that name in bytes, no terminator
  - id: image_filename_offset
    type: u4
    doc: offset of the image file's name
  - id: image_filename_size
    type: u4
    doc: length of that name in bytes, no terminator
  - id: features
    type: features
    doc: feature bits
  - id: reserved
    size: 4060
    doc: holds the names; zero elsewhere
instances:
  backing_filename:
    pos: backing_filename_offset
    size: backing_filename_size
    if: |-
      backing_filename_offset >= 36
      and backing_filename_size > 0
      and backing_filename_size <= 4096
      and backing_filename_offset <= 4096 - backing_filename_size
    doc: backing file's name
  image_filename:
    pos: image_filename_offset
    size: image_filename_size
    if: |-
      image_filename_offset >= 36
      and image_filename_size > 0
      and image_filename_size <= 4096
      and image_filename_offset <= 4096 - image_filename_size
    doc: name of the image file
  bitmap:
    pos: 4096
    size-eos: true
    doc: a bit for each 65536 bytes of the disk, the least significant first; with what follows it
types:
  features:
    meta:
      bit-endian: le
    seq:
      - id: backing_file
        type: b1
        doc: BACKING_FILE, 0x1
      - id: backing_format_no_probe
        type: b1
        doc: BACKING_FORMAT_NO_PROBE, 0x2
      - id: unknown
        type: b62
        doc: bits without a meaning
