"""The walk over a triple and its backing chain: opens each file once, and hands it to the judges.

Layers are walked first, top down, and the bitmaps are judged afterwards: what a clear bit means depends on
the size of the layer below. ACW-CHN-004 bounds the depth, so that no chain runs away.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from addcow_conformance.checker import _header  # noqa: F401 - registers its judges
from addcow_conformance.checker._collector import Collector
from addcow_conformance.checker._disk import judge_disk
from addcow_conformance.checker._files import open_file
from addcow_conformance.checker._layers import (
    Layer,
    Reference,
    add_cow_reference,
    header_fields,
    name_field,
    probe,
    qcow2_reference,
    usable_name,
)
from addcow_conformance.checker._model import BitmapSummary, ChainFile, FileFormat, HeaderField, Report
from addcow_conformance.checker._names import has_protocol, open_name, resolve
from addcow_conformance.checker._qcow2 import QCOW2, read_qcow2
from addcow_conformance.checker._registry import Draft, judges_of
from addcow_conformance.checker._revision import tell_revision
from addcow_spec.codec import HEADER_LENGTH, LAYOUTS, parse_header, versions
from addcow_spec.errors import MalformedImage
from addcow_spec.model import MAGIC, VERSION, Header, HeaderV4, HeaderV10, Revision, Role, Span
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.checker._files import Identity, Opener, OpenFile
    from addcow_conformance.checker._model import CheckOptions

__all__ = ["CHAIN_RULES", "MAX_LAYERS", "Walk"]

MAX_LAYERS = 200
CHAIN_RULES = frozenset(
    {
        *("ACW-HDR-001", "ACW-HDR-002", "ACW-HDR-003", "ACW-HDR-005"),
        *("ACW-CHN-001", "ACW-CHN-002", "ACW-CHN-003", "ACW-CHN-004"),
        "ACW-SIZ-006",
    }
)

_LONGEST_HEADER = max(HEADER_LENGTH.values())


class Walk:
    """One check of one image. Use `run` once.

    Args:
        options: how to check.
        progress: told how many bytes of the first file's bitmap are done, and how many there are.
        opener: opens the files that are named.
    """

    def __init__(
        self,
        options: CheckOptions,
        progress: Callable[[int, int], None] | None = None,
        opener: Opener = open_file,
    ) -> None:
        self._options = options
        self._progress = progress
        self._opener = opener
        self._collector = Collector(options)
        self._files: list[dict[str, Any]] = []
        self._seen: dict[Identity, int] = {}
        self._layers: list[Layer] = []
        self._told: Revision | None = None
        self._header = b""
        self._fields: tuple[HeaderField, ...] = ()
        self._bitmap: BitmapSummary | None = None
        self._problem = ""

    def run(self, file: OpenFile) -> Report:
        """Check the add-cow file ``file`` and all that it names; ``file`` stays open.

        Raises:
            StorageError: reading a file failed.
        """
        self._seen[file.identity] = 0
        self._add_file(FileFormat.ADD_COW, file.path, file)
        with ExitStack() as stack:
            layer: Layer | None = Layer(0, file, FileFormat.ADD_COW)
            while layer:
                self._layers.append(layer)
                reference = self._judge_layer(layer)
                layer = self._descend(reference, stack) if reference else None
            self._judge_disks()
        return Report(
            filename=file.path,
            profile=self._options.profile,
            revision=self._told,
            files=tuple(ChainFile(**facts) for facts in self._files),
            findings=self._collector.findings(),
            counts=self._collector.counts,
            rule_counts=self._collector.rule_counts,
            header=self._header,
            fields=self._fields,
            bitmap=self._bitmap,
            problem=self._problem,
        )

    def _add_file(self, kind: FileFormat, path: bytes, file: OpenFile | None, **named: Any) -> int:  # noqa: ANN401 - passed on to ChainFile
        facts = {
            "index": len(self._files),
            "path": path,
            "format": kind,
            "length": file.length if file else None,
            "virtual_size": file.length if file and kind is FileFormat.RAW else None,
        }
        self._files.append(facts | named)
        return len(self._files) - 1

    def _judge_layer(self, layer: Layer) -> Reference | None:
        if layer.format is FileFormat.ADD_COW:
            return self._judge_add_cow(layer)
        if layer.format is FileFormat.QCOW2:
            return self._judge_qcow2(layer)
        if layer.format is FileFormat.RAW:
            layer.virtual_size = layer.file.length
        return None

    # --- an add-cow layer

    def _judge_add_cow(self, layer: Layer) -> Reference | None:
        data = layer.file.read(0, _LONGEST_HEADER)
        if not layer.index:
            self._header = data
        header = self._parse(layer, data)
        if header is None:
            return None
        layer.header = header
        self._files[layer.index]["revision"] = header.revision
        if not layer.index:
            self._told = header.revision
            self._header = data[: header.LENGTH]
            self._fields = header_fields(header)
        for rule, judge in judges_of(header.revision):
            for draft in judge(header):
                self._collector.add(rule, layer.index, draft)
        self._open_image(layer, header)
        return add_cow_reference(layer, header)

    def _parse(self, layer: Layer, data: bytes) -> Header | None:
        revision = self._options.revision if not layer.index else None
        if revision is None and data.startswith(MAGIC) and len(data) >= 12:
            told = tell_revision(layer.file, data)
            if told is None:
                draft = Draft(Span(8, 4), "version", str(VERSION), str(min(versions(data))))
                self._collector.add("ACW-HDR-002", layer.index, draft)
                return None
            revision = told.revision
            if told.doubt:
                draft = Draft(None, "revision", "v4 or v6 alone fits", f"{told.doubt}, taken for {revision}")
                self._collector.add("ACW-HDR-005", layer.index, draft)
        revision = revision or Revision.V10
        try:
            return parse_header(data, revision)
        except MalformedImage as error:
            self._collector.add(error.rule, layer.index, _malformed(error, data, revision))
            if error.rule == "ACW-HDR-001":
                self._files[layer.index]["format"] = FileFormat.OTHER
            return None

    def _open_image(self, layer: Layer, header: Header) -> None:
        if isinstance(header, HeaderV4):
            layer.virtual_size = header.size
        name = usable_name(header, Role.IMAGE)
        if name is None:
            return
        span = header.name_span(Role.IMAGE)
        field = name_field(header, Role.IMAGE)
        file = self._open(layer, name, Role.IMAGE, (layer.index, span, field))
        if file is None:
            if has_protocol(name):
                self._problem = f"the image file {printable(name)} is not a local file"
            return
        with file:
            self._judge_image(layer, header, file, name)

    def _judge_image(self, layer: Layer, header: Header, file: OpenFile, name: bytes) -> None:
        index = self._add_file(
            FileFormat.RAW, file.path, file, parent=layer.index, role=Role.IMAGE, name=name
        )
        span, field = header.name_span(Role.IMAGE), name_field(header, Role.IMAGE)
        self._judge_identity(file, layer, index, Draft(span, field, "a file of its own", ""))
        if isinstance(header, HeaderV10):
            layer.virtual_size = file.length
        elif file.length != header.size:
            expected = f"{file.length}, the length of the image file"
            draft = Draft(Span(2060, 8), "size", expected, str(header.size))
            self._collector.add("ACW-SIZ-006", layer.index, draft)

    def _open(self, layer: Layer, name: bytes, role: Role, at: tuple[int, Span, str]) -> OpenFile | None:
        path = resolve(name, layer.file.path)
        file = open_name(
            name,
            role=role,
            path=path,
            at=at,
            options=self._options,
            collector=self._collector,
            opener=self._opener,
        )
        if file is None:
            remote = has_protocol(name)
            kind = FileFormat.REMOTE if remote else FileFormat.UNAVAILABLE
            self._add_file(kind, name if remote else path, None, parent=layer.index, role=role, name=name)
            return None
        return file

    def _judge_identity(self, file: OpenFile, parent: Layer, index: int, draft: Draft) -> None:
        """Judge whether a file has one part only (ACW-CHN-001, ACW-CHN-002)."""
        earlier = self._seen.setdefault(file.identity, index)
        if earlier == index:
            return
        own = file.identity == parent.file.identity and parent.format is FileFormat.ADD_COW
        followed = self._files[index]["format"] in {FileFormat.ADD_COW, FileFormat.QCOW2}
        cycle = self._entered(file) and followed and not own
        path = printable(self._files[earlier]["path"])
        actual = f"{printable(file.path)} is file {earlier} of the chain, {path}"
        rule = "ACW-CHN-002" if cycle else "ACW-CHN-001"
        self._collector.add(rule, parent.index, draft._replace(actual=actual))

    # --- down the chain

    def _descend(self, reference: Reference, stack: ExitStack) -> Layer | None:
        layer, at = reference.layer, (reference.layer.index, reference.span, reference.field)
        layer.backed = True
        if len(self._layers) >= MAX_LAYERS:
            draft = Draft(reference.span, reference.field, f"at most {MAX_LAYERS} layers", "one more")
            self._collector.add("ACW-CHN-004", layer.index, draft)
            return None
        file = self._open(layer, reference.name, Role.BACKING, at)
        if file is None:
            return None
        stack.enter_context(file)
        entered = self._entered(file)
        # A file that is a layer already is not probed again: where it stands is the fault.
        kind = reference.stated or (entered.format if entered else self._probe(file, reference))
        index = self._add_file(
            kind, file.path, file, parent=layer.index, role=Role.BACKING, name=reference.name
        )
        draft = Draft(reference.span, reference.field, "a file of its own", "")
        self._judge_identity(file, layer, index, draft)
        if entered or not (self._options.follow_chain or kind is FileFormat.RAW):
            return None
        return Layer(index, file, kind)

    def _entered(self, file: OpenFile) -> Layer | None:
        """The layer of the chain that is this very file, None where it is no layer yet."""
        return next((layer for layer in self._layers if layer.file.identity == file.identity), None)

    def _probe(self, file: OpenFile, reference: Reference) -> FileFormat:
        kind, name = probe(file)
        if name != "raw":
            span, field = reference.blame
            draft = Draft(span, field, "a stated format, or raw content", f"content probes as {name}")
            self._collector.add("ACW-CHN-003", reference.layer.index, draft)
        return kind

    def _judge_qcow2(self, layer: Layer) -> Reference | None:
        try:
            found = read_qcow2(layer.file)
        except MalformedImage as error:
            draft = Draft(error.span, error.field, "a qcow2 header", str(error))
            self._collector.add(error.rule, layer.index, draft)
            return None
        layer.virtual_size = found.header.size
        self._files[layer.index] |= {
            "revision": f"v{found.header.version}",
            "virtual_size": layer.virtual_size,
        }
        for rule, judge in judges_of(QCOW2):
            for draft in judge(found):
                self._collector.add(rule, layer.index, draft)
        return qcow2_reference(layer, found)

    # --- what the bitmaps say

    def _judge_disks(self) -> None:
        below = None
        for layer in reversed(self._layers):
            top = not layer.index
            summary = judge_disk(
                layer,
                below,
                self._collector,
                buckets=self._options.buckets if top else 0,
                progress=self._progress if top else None,
            )
            below = layer.virtual_size
            if layer.header and below is not None:
                self._files[layer.index]["virtual_size"] = below
            if top:
                self._bitmap = summary


def _malformed(error: MalformedImage, data: bytes, revision: Revision) -> Draft:
    """A finding for a header that did not parse, from what the codec says of it."""
    layout = LAYOUTS[revision]
    value = layout.field(error.field).value
    expected = f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
    if error.rule == "ACW-HDR-003":
        expected = f"a header of {layout.end} bytes"
    span = error.span or Span(0, 0)
    found = data[span.offset : span.end]
    actual = f"0x{found.hex()}" if len(found) == span.length else f"the file ends at {len(data)}"
    return Draft(span, error.field, expected, actual)
