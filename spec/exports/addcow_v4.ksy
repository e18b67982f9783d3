# Made from addcow_spec.grammar by `python -m addcow_spec.exports`; do not edit.
meta:
  id: addcow_v4
  title: add-cow header, revision v4 (October 2011), big endian
  file-extension: add-cow
  license: Apache-2.0
  ks-version: '0.10'
  endian: be
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
  - id: backing_file
    size: 1024
    type: padded_name
    doc: backing file's name, padded with zeros
  - id: image_file
    size: 1024
    type: padded_name
    doc: image file's name, padded with zeros
  - id: size
    type: u8
    doc: virtual size of the disk in bytes
instances:
  bitmap:
    pos: 2068
    size-eos: true
    doc: a bit for each 512 bytes of the disk, the least significant first; with what follows it
types:
  padded_name:
    doc: A name that ends at the first NUL, or with the field.
    seq:
      - id: name
        terminator: 0
        eos-error: false
      - id: padding
        size-eos: true
