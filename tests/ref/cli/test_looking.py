"""info and map."""

import json
import os

import pytest

from addcow_ref import open_image
from tests.conformance import by_hand
from tests.ref.cli.command import done, failed, img, qemu

pytestmark = pytest.mark.usefixtures("home")


def facts(*arguments):
    return json.loads(done("info", "--output", "json", *arguments))


def extents(*arguments):
    return json.loads(done("map", "--output", "json", *arguments))


def qcow2(name, *options):
    result = qemu("qemu-img", "create", "-q", "-f", "qcow2", *options, name)
    assert result.status == 0, result


def test_info_has_the_facts(disk):
    done("io", "-c", "write 64k 1", disk)
    found = facts(disk)
    assert found.pop("actual-size") == sum(os.stat(p).st_blocks * 512 for p in (disk, "disk.raw"))
    assert found == {
        "virtual-size": 688128,
        "filename": "disk.add-cow",
        "format": "add-cow",
        "dirty-flag": False,
        "cluster-size": 65536,
        "backing-filename": "base.raw",
        "backing-filename-format": "raw",
        "full-backing-filename": "base.raw",
        "format-specific": {
            "type": "add-cow",
            "data": {
                "revision": "v10",
                "image-file": "disk.raw",
                "full-image-filename": "disk.raw",
                "features": ["backing-file", "backing-format-no-probe"],
                "unit-size": 65536,
                "units": 11,
                "allocated-units": 1,
                "notes": [],
            },
        },
    }


@pytest.mark.parametrize("revision", ["v4", "v6"])
def test_info_of_old_revisions(home, revision):
    image = by_hand.old(home / "x", revision, size=4 << 20, bits=b"\x07")
    data = facts("--revision", revision, image)["format-specific"]["data"]
    assert (data["revision"], data["units"], data["allocated-units"]) == (revision, 8192, 3)


def test_info_tells_what_is_odd(home):
    image = by_hand.old(home / "x", "v6", size=8 << 20)
    (note,) = facts(image)["format-specific"]["data"]["notes"]
    assert note.startswith("ACW-HDR-005: ")
    assert f"        [0]: {note}\n" in done("info", image)


def test_full_names_lead_from_the_directory_of_the_image(disk, home, monkeypatch):
    monkeypatch.chdir("/")
    found = facts(home / disk)
    assert found["full-backing-filename"] == str(home / "base.raw")
    assert found["format-specific"]["data"]["full-image-filename"] == str(home / "disk.raw")
    assert f"backing file: base.raw (actual path: {home / 'base.raw'})\n" in done("info", home / disk)


def test_info_of_a_chain(disk):
    done("create", "-q", "-b", disk, "-o", "image_file=top.raw", "top")
    layers = facts("--backing-chain", "top")
    assert [layer["filename"] for layer in layers] == ["top", disk, "base.raw"]
    assert [layer["format"] for layer in layers] == ["add-cow", "add-cow", "raw"]
    assert [layer.get("full-backing-filename") for layer in layers] == [disk, "base.raw", None]
    assert layers[1] == facts(disk)
    text = done("info", "--backing-chain", "top")
    assert [part.splitlines()[0] for part in text.split("\n\n")] == [
        "image: top",
        f"image: {disk}",
        "image: base.raw",
    ]


def test_info_looks_at_an_image_in_use_only_when_told_to(disk):
    with open_image(disk, writable=True):
        assert "ACW-DYN-014" in failed("info", disk)
        assert "ACW-DYN-014" in failed("map", disk)
        assert facts("-U", disk)["virtual-size"] == 688128
        assert len(extents("-U", disk)) == 2


def test_hostile_names_stay_in_their_lines(home):
    name = b"i\n\x1b]0;x\x07\xff\xe2\x80\xae"
    by_hand.v10(home / "x", image=name).parent.joinpath(os.fsdecode(name)).write_bytes(bytes(10 * 65536))
    text = done("info", "x")
    assert not set("\x1b\x07\u202e") & set(text)
    assert "    image file: i\\u{a}\\u{1b}]0;x\\u{7}\\xff\\u{202e}\n" in text
    assert facts("x")["format-specific"]["data"]["image-file"] == r"i\u{a}\u{1b}]0;x\u{7}\xff\u{202e}"


@pytest.mark.parametrize("command", ["info", "map"])
def test_broken_images_are_refused_by_their_rule(home, command):
    by_hand.v10(home / "x", features=1)
    assert failed(command, "x").startswith("addcow-img: x: ACW-FEA-")
    (home / "y").write_bytes(b"QFI\xfb" * 2000)
    assert failed(command, "y").startswith("addcow-img: y: ACW-HDR-001: ")
    assert failed(command, "-f", "qcow2", "y").startswith("addcow-img: y: ACW-QC2-")
    assert failed(command, "nosuch").startswith("addcow-img: nosuch: ")
    assert failed(command, ".").startswith("addcow-img: .: ")
    assert failed(command, status=64)


def test_map_starts_and_ends_where_it_is_told_to(disk):
    assert extents(disk) == extents("-s", 0, "-l", "1T", disk)
    found = extents("-s", "100k", "-l", 70000, disk)
    assert [(e["start"], e["length"], e["depth"], e["offset"]) for e in found] == [(102400, 70000, 1, 102400)]
    assert extents("-s", "1T", disk) == []
    assert sum(e["length"] for e in extents("-s", 688127, disk)) == 1


@pytest.mark.system
@pytest.mark.parametrize("options", [[], ["-s", "100k", "-l", "300k"], ["-s", "671k"]])
def test_map_is_that_of_qemu_img(disk, options):
    """The same writes to a qcow2 file over the same backing file; where its own bytes lie differs."""
    qcow2("disk.qcow2", "-b", "base.raw", "-F", "raw", "-o", "size=672k")
    writes = ["-c", "write 64k 1", "-c", "write 192k 128k", "-c", "write -z 448k 64k"]
    done("io", *writes, disk)
    assert qemu("qemu-io", *writes, "disk.qcow2").status == 0

    def shape(text):
        return [{**e, "offset": e["depth"] and e.get("offset")} for e in json.loads(text)]

    ours = done("map", "--output", "json", *options, disk)
    theirs = qemu("qemu-img", "map", "--output", "json", *options, "disk.qcow2").output
    assert shape(ours) == shape(theirs)


@pytest.mark.system
@pytest.mark.parametrize("form", ["human", "json"])
@pytest.mark.parametrize("layer", ["qcow2", "raw"])
def test_map_of_other_formats_is_that_of_qemu_img(home, layer, form):
    (home / "base.raw").write_bytes(b"b" * 655360)
    qcow2("x.qcow2", "-b", "base.raw", "-F", "raw", "-o", "size=1M")
    assert qemu("qemu-io", "-c", "write 64k 100k", "-c", "write -z 256k 64k", "x.qcow2").status == 0
    name = "x.qcow2" if layer == "qcow2" else "base.raw"
    ours = done("map", "-f", layer, "--output", form, name)
    assert ours == qemu("qemu-img", "map", "-f", layer, "--output", form, name).output


@pytest.mark.system
def test_map_cannot_show_compressed_clusters_as_ranges(home):
    (home / "r").write_bytes(b"r" * 65536)
    assert qemu("qemu-img", "convert", "-c", "-O", "qcow2", "r", "x").status == 0
    assert img("map", "-f", "qcow2", "x").status == qemu("qemu-img", "map", "x").status == 1
    assert "offset" not in extents("-f", "qcow2", "x")[0]


@pytest.mark.system
@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_info_of_other_formats_is_that_of_qemu_img(home, compat):
    (home / "d").mkdir()
    (home / "d/base.raw").write_bytes(b"b" * 65536)
    qcow2("d/x.qcow2", "-b", "base.raw", "-F", "raw", "-o", f"size=1M,compat={compat},cluster_size=4k")
    ours = facts("--backing-chain", "-f", "qcow2", "d/x.qcow2")
    theirs = json.loads(qemu("qemu-img", "info", "--backing-chain", "--output", "json", "d/x.qcow2").output)
    specific = theirs[0]["format-specific"]["data"]
    for name in ("compression-type", "extended-l2"):
        specific.pop(name, None)
    assert ours == theirs
    text = done("info", "-f", "raw", "d/base.raw")
    assert text == qemu("qemu-img", "info", "-f", "raw", "d/base.raw").output
    human = qemu("qemu-img", "info", "d/x.qcow2").output.splitlines()
    assert set(done("info", "-f", "qcow2", "d/x.qcow2").splitlines()) <= set(human)


def test_info_of_a_chain_is_confined_and_takes_no_locks_with_force_share(home):
    """Of every layer, and without the names being followed a second time."""
    (home / "in").mkdir()
    (home / "base").write_bytes(bytes(65536))
    for name, below in (("low", "../base"), ("top", "low")):
        (home / f"in/{name}.raw").write_bytes(bytes(65536))
        done("create", "-q", "-b", below, "-o", f"image_file={name}.raw", f"in/{name}")
    message = failed("info", "--backing-chain", "--confine", "in", "in/top")
    assert "ACW-ENV-004" in message
    with open_image("in/low", writable=True):
        assert "ACW-DYN-014" in failed("info", "--backing-chain", "in/top")
        assert len(facts("--backing-chain", "-U", "in/top")) == 3
