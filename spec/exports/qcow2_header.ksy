# Made from addcow_spec.grammar by `python -m addcow_spec.exports`; do not edit.
meta:
  id: qcow2_header
  title: qcow2 header, versions 2 and 3, big endian
  file-extension: qcow2
  license: Apache-2.0
  ks-version: '0.10'
  endian: be
doc: |-
  The header of a qcow2 image with its extensions; the tables and clusters after it are left out.
  Give it the first cluster of the image: the extensions end there at the latest. Names are bytes
  without an encoding, and hostile until proven otherwise.
doc-ref: spec/08-qcow2.md
seq:
  - id: magic
    contents: [QFI, 0xfb]
    doc: QFI and the byte 0xfb
  - id: version
    type: u4
    valid:
      any-of: [2, 3]
    doc: 2 or 3
  - id: backing_file_offset
    type: u8
    doc: offset of the backing file's name; 0 without one
  - id: backing_file_size
    type: u4
    doc: length of that name in bytes
  - id: cluster_bits
    type: u4
    valid:
      min: 9
      max: 21
    doc: a cluster has 1 << cluster_bits bytes
  - id: size
    type: u8
    doc: virtual size of the disk in bytes
  - id: crypt_method
    type: u4
    doc: '0: not encrypted'
  - id: l1_size
    type: u4
    doc: entries in the active L1 table
  - id: l1_table_offset
    type: u8
    doc: offset of the active L1 table
  - id: refcount_table_offset
    type: u8
    doc: offset of the refcount table
  - id: refcount_table_clusters
    type: u4
    doc: clusters that the refcount table takes
  - id: nb_snapshots
    type: u4
    doc: number of internal snapshots
  - id: snapshots_offset
    type: u8
    doc: offset of the snapshot table
  - id: version_3
    type: version_3
    if: version == 3
    doc: the fields that qcow2 version 3 adds
  - id: extension_area
    type: extension_area
    size: extensions_end - header_length
    doc: header extensions, between the header and the backing file's name
instances:
  header_length:
    value: 'version == 3 ? version_3.header_length : 72'
    doc: length of the header in bytes, without the extensions
  extensions_end:
    value: |-
      backing_file_offset >= header_length and backing_file_offset < _io.size
      ? backing_file_offset
      : _io.size
    doc: where the extensions end at the latest
  backing_file_name:
    pos: backing_file_offset
    size: backing_file_size
    if: |-
      backing_file_offset >= 1
      and backing_file_size > 0
      and backing_file_size <= _io.size
      and backing_file_offset <= _io.size - backing_file_size
    doc: name of the backing file
types:
  version_3:
    seq:
      - id: incompatible_features
        type: u8
        doc: an unknown bit forbids to open the image
      - id: compatible_features
        type: u8
        doc: unknown bits are ignored
      - id: autoclear_features
        type: u8
        doc: a writer clears unknown bits first
      - id: refcount_order
        type: u4
        doc: a refcount has 1 << refcount_order bits, at most 64
      - id: header_length
        type: u4
        valid:
          min: 104
          max: _io.size
        doc: length of the header in bytes, at least 104
      - id: additional
        size: header_length - 104
        doc: fields that a later header has
  extension_area:
    seq:
      - id: extensions
        type: extension
        repeat: until
        repeat-until: _.type == extension_type::end or _io.size - _io.pos < 8
        if: _io.size >= 8
        doc: the last one has the type end, unless the area is full
  extension:
    seq:
      - id: type
        type: u4
        enum: extension_type
      - id: length
        type: u4
        doc: length of the data in bytes, without the padding
      - id: data
        size: length
        type:
          switch-on: type
          cases:
            extension_type::feature_names: feature_name_table
        if: type != extension_type::end
      - id: padding
        size: (8 - length % 8) % 8
        if: type != extension_type::end
        doc: fills the data up to a multiple of 8
  feature_name_table:
    seq:
      - id: entries
        type: feature_name
        repeat: expr
        repeat-expr: _io.size / sizeof<feature_name>
  feature_name:
    doc: entry of qcow2's feature name table
    seq:
      - id: kind
        type: u1
        enum: feature_kind
        doc: feature bitmap that the bit belongs to
      - id: bit
        type: u1
        doc: number of the bit, 0 to 63
      - id: name
        size: 46
        pad-right: 0
        doc: name, padded with zeros
enums:
  extension_type:
    0: end
    0xe2792aca: backing_format
    0x6803f857: feature_names
  feature_kind:
    0: incompatible
    1: compatible
    2: autoclear
