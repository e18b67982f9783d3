"""The exports are current, and other tools read the same from them as the codec does."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addcow_conformance.suite import RegularFile, load_vector
from addcow_spec.exports import exports
from addcow_spec.exports.__main__ import stale
from addcow_spec.model import Revision
from tests.spec.headers import ADD_COW_START, add_cow_headers, mutated, qcow2_headers
from tests.spec.kaitai import EXPORTS, FORMATS, Refusal, Specifications, by_codec

VECTORS = Path(__file__).parents[2] / "corpora" / "vectors"
# As much of a file as both parsers get: more than any header, less than a large bitmap.
HEAD = 65536
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class TestCurrent:
    def test_written_files_are_what_the_grammar_gives(self) -> None:
        assert stale(EXPORTS) == []

    def test_stale_names_what_differs_is_missing_or_is_too_many(self, tmp_path: Path) -> None:
        first, second, *others = sorted(exports())
        for name in (second, *others):
            (tmp_path / name).write_text(exports()[name], encoding="utf-8")
        (tmp_path / second).write_text("edited", encoding="utf-8")
        (tmp_path / "zz.left-over").touch()
        assert stale(tmp_path) == [first, second, "zz.left-over"]

    def test_command_writes_and_checks(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "addcow_spec.exports", str(tmp_path)]
        assert subprocess.run([*command, "--check"], check=False, capture_output=True).returncode == 1
        assert subprocess.run(command, check=False).returncode == 0
        assert subprocess.run([*command, "--check"], check=False).returncode == 0
        assert {path.name for path in tmp_path.iterdir()} == exports().keys()

    def test_command_refuses_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "addcow_spec.exports", str(tmp_path / "none")]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr


@pytest.fixture(scope="session")
def specifications(tmp_path_factory: pytest.TempPathFactory) -> Specifications:
    return Specifications(tmp_path_factory.mktemp("kaitai"))


def agree(specifications: Specifications, name: str, data: bytes) -> None:
    """Both parsers read the same, or both refuse; where Kaitai names a field, it is the codec's."""
    expected, found = by_codec(name, data), specifications.read(name, data)
    if isinstance(expected, Refusal) and isinstance(found, Refusal):
        # Of two faults the parsers may report either; the codec looks for missing bytes first.
        if not expected.cut:
            assert found == expected
    else:
        assert found == expected


def head_of(file: RegularFile) -> bytes:
    """The first bytes of a vector's file."""
    head = bytearray(min(file.size, HEAD))
    for offset, data in file.data:
        head[offset : offset + len(data)] = data[: max(0, HEAD - offset)]
    return bytes(head[:HEAD])


@pytest.mark.system
class TestKaitai:
    @pytest.mark.parametrize("path", sorted(VECTORS.rglob("*.json")), ids=lambda path: path.stem)
    def test_vectors(self, specifications: Specifications, path: Path) -> None:
        files = [entry for entry in load_vector(path).files if isinstance(entry, RegularFile)]
        for head in map(head_of, files):
            for name in FORMATS:
                agree(specifications, name, head)

    def test_there_are_vectors(self) -> None:
        assert list(VECTORS.rglob("*.json"))

    @UNTIMED
    @given(data=st.data(), revision=st.sampled_from(Revision), rest=st.binary(max_size=8))
    def test_add_cow_headers(
        self, specifications: Specifications, data: st.DataObject, revision: Revision, rest: bytes
    ) -> None:
        header = data.draw(add_cow_headers(revision))
        assert not isinstance(by_codec(f"addcow_{revision}", header), Refusal)
        agree(specifications, f"addcow_{revision}", header + rest)

    @UNTIMED
    @given(header=qcow2_headers())
    def test_qcow2_headers(self, specifications: Specifications, header: bytes) -> None:
        assert not isinstance(by_codec("qcow2_header", header), Refusal)
        agree(specifications, "qcow2_header", header)

    @UNTIMED
    @given(data=st.data(), name=st.sampled_from(FORMATS))
    def test_damaged_headers(self, specifications: Specifications, data: st.DataObject, name: str) -> None:
        revision = name.removeprefix("addcow_")
        sound = qcow2_headers() if name == "qcow2_header" else add_cow_headers(Revision(revision))
        damaged = data.draw(sound.flatmap(mutated))
        agree(specifications, name, damaged[: data.draw(st.integers(0, len(damaged)))])

    @pytest.mark.parametrize(
        ("name", "data", "field"),
        [
            ("addcow_v10", b"ADD_COW\xfe".ljust(4096, b"\0"), "magic"),
            ("addcow_v10", b"ADD_COW\xff\0\0\0\x01".ljust(4096, b"\0"), "version"),
            ("addcow_v6", b"ADD_COW\xff\x01\0\0\0".ljust(2560, b"\0"), "version"),
            ("qcow2_header", b"QFI\xfa".ljust(104, b"\0"), "magic"),
            ("qcow2_header", b"QFI\xfb\0\0\0\x04".ljust(104, b"\0"), "version"),
            ("qcow2_header", b"QFI\xfb\0\0\0\x02".ljust(104, b"\0"), "cluster_bits"),
            (
                "qcow2_header",
                (b"QFI\xfb\0\0\0\x03".ljust(20, b"\0") + b"\0\0\0\x10").ljust(104, b"\0"),
                "header_length",
            ),
        ],
    )
    def test_both_name_the_field_at_fault(
        self, specifications: Specifications, name: str, data: bytes, field: str
    ) -> None:
        assert by_codec(name, data) == specifications.read(name, data) == Refusal(field, cut=False)


def identified(path: Path, *, magic: str, option: str = "--brief") -> str:
    """What `file` says of a file by the entries in ``magic``, a file or a directory of such files."""
    command = ["file", "--brief", option, "-m", magic, str(path)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


MAGIC = str(EXPORTS / "add-cow.magic")
V10 = ADD_COW_START[Revision.V10] + struct.pack("<IIIIQ", 36, 8, 44, 5, 3) + b"base.rawdisk\n"
V6 = ADD_COW_START[Revision.V6] + b"base\x1b[2J".ljust(1024, b"\0") + b"d" * 1024 + struct.pack(">Q", 1 << 40)


@pytest.mark.system
class TestMagic:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (
                V10.ljust(4096, b"\0") + b"\xff",
                (
                    "QEMU add-cow image, revision v10, backing file name at byte 36 (8 bytes), "
                    "image file name at byte 44 (5 bytes), BACKING_FILE, BACKING_FORMAT_NO_PROBE"
                ),
            ),
            (
                (V10[:12] + struct.pack("<IIIIQ", 0, 0, 2**32 - 1, 4060, 4)).ljust(4096, b"\0"),
                "QEMU add-cow image, revision v10, image file name at byte 4294967295 (4060 bytes)",
            ),
            (
                V6,
                (
                    r"QEMU add-cow image, revision v4 or v6, backing file base\033[2J, "
                    f"image file {'d' * 64}, virtual size {1 << 40} bytes"
                ),
            ),
            (
                V6[:12] + bytes(1024) + V6[1036:] + bytes(492) + b"\xff",
                f"QEMU add-cow image, revision v4 or v6, image file {'d' * 64}, virtual size {1 << 40} bytes",
            ),
            (V10.ljust(4095, b"\0"), "QEMU add-cow image, revision v10, truncated header"),
            (V10[:12], "QEMU add-cow image, revision v10, truncated header"),
            (V6[:-1], "QEMU add-cow image, revision v4 or v6, truncated header"),
            (V10[:11], "QEMU add-cow image, truncated header"),
            (V10[:8], "QEMU add-cow image, truncated header"),
            (b"ADD_COW\xff\x02\0\0\0".ljust(99), "QEMU add-cow image, unknown version 2 (little endian)"),
            (b"ADD_COW\xff\0\0\0\x02".ljust(99), "QEMU add-cow image, unknown version 2 (big endian)"),
            (b"ADD_COW\xff\0\0\0\0".ljust(99), "QEMU add-cow image, unknown version 0 (little endian)"),
            (b"ADD_COW\xff\x12\x34\x56\x78".ljust(99), "QEMU add-cow image, unknown version 0x12345678"),
        ],
    )
    def test_images(self, tmp_path: Path, data: bytes, said: str) -> None:
        path = tmp_path / "image"
        path.write_bytes(data)
        assert identified(path, magic=MAGIC) == said
        assert identified(path, magic=MAGIC, option="--mime-type") == "application/x-qemu-add-cow"
        assert identified(path, magic=MAGIC, option="--extension") == "add-cow"

    @pytest.mark.parametrize("data", [V10[:7], b"ADD_COW\xfe" + V10[8:], b"\0" + V10, b"QFI\xfb\0\0\0\x03"])
    def test_foreign_files(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "foreign"
        path.write_bytes(data)
        assert "add-cow" not in identified(path, magic=MAGIC)
        assert identified(path, magic=MAGIC, option="--mime-type") != "application/x-qemu-add-cow"

    def test_wins_over_weaker_entries(self, tmp_path: Path) -> None:
        entries = tmp_path / "entries"
        entries.mkdir()
        (entries / "a.magic").write_text(
            "32769 string CD001 ISO image\n257 string ustar\\040\\040\\0 tar archive\n"
        )
        image = tmp_path / "polyglot"
        data = bytearray(V10.ljust(40000, b"\0"))
        data[257:265] = b"ustar  \0"
        data[32769:32774] = b"CD001"
        image.write_bytes(data)
        assert identified(image, magic=str(entries)) == "tar archive"
        (entries / "z.magic").write_text(Path(MAGIC).read_text("utf-8"))
        assert identified(image, magic=str(entries)).startswith("QEMU add-cow image")


ENTRY = re.compile(r'(\w+)="((?:[ !#-\[\]-~]|\\x[0-9a-f]{2})+)"')
# AFL takes no longer ones.
LONGEST = 128


def tokens() -> dict[str, bytes]:
    """The dictionary, read by a parser that takes only what both fuzzers take."""
    found: dict[str, bytes] = {}
    for line in (EXPORTS / "add-cow.dict").read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            entry = ENTRY.fullmatch(line)
            assert entry, line
            assert entry[1] not in found
            found[entry[1]] = re.sub(rb"\\x(..)", _unescaped, entry[2].encode("ascii"))
    return found


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escape[1].decode("ascii"))


class TestDictionary:
    def test_no_value_twice_and_none_too_long(self) -> None:
        values = list(tokens().values())
        assert len(set(values)) == len(values)
        assert max(map(len, values)) <= LONGEST

    def test_holds_what_mutations_seldom_find(self) -> None:
        wanted = {b"ADD_COW\xff", b"QFI\xfb", b"../", b"/proc/self/mem", b"nbd:"}
        wanted |= {struct.pack(order, version) for order in ("<I", ">I") for version in (1, 2)}
        wanted |= {struct.pack("<I", edge) for edge in (35, 36, 4059, 4060, 4094, 4095, 4096, 2**32 - 1)}
        wanted |= {struct.pack("<Q", bit) for bit in (1, 2, 4)}
        wanted |= {struct.pack(">Q", edge) for edge in (511, 512, 513, 2**63 - 1, 2**63, 2**64 - 1)}
        wanted |= {struct.pack(">I", kind) for kind in (0xE2792ACA, 0x6803F857, 103, 104, 8, 9, 21, 22)}
        assert wanted <= set(tokens().values())
