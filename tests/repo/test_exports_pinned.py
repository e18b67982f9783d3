"""What can be imported is promised: a name that comes or goes is a decision, made here."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from tests.repo.tree import PACKAGES

PINNED = {
    "addcow_conformance": "",
    "addcow_conformance.adapters": "",
    "addcow_conformance.adapters.cli": "CliImage CliTarget load",
    "addcow_conformance.adapters.nbd": "NbdImage NbdTarget load",
    "addcow_conformance.adapters.qemu": "QemuTarget load",
    "addcow_conformance.adapters.reference": "ReferenceProgram main",
    "addcow_conformance.adapters.stdio": "About StdioImage StdioTarget load",
    "addcow_conformance.checker": (
        "CHECKED_RULES BitmapSummary Bucket ChainFile CheckOptions FileFormat HeaderField Identity "
        "OpenFailed OpenFile Opener Refusal Repair Report Verdict check_image has_magic"
    ),
    "addcow_conformance.checker.repair": "repair_image",
    "addcow_conformance.cli_check": "command main",
    "addcow_conformance.cli_suite": "COMMANDS group main run",
    "addcow_conformance.commands": "",
    "addcow_conformance.commands.copy": "command",
    "addcow_conformance.commands.crash": "command",
    "addcow_conformance.commands.explain": "command",
    "addcow_conformance.commands.list": "command",
    "addcow_conformance.commands.replay": "command",
    "addcow_conformance.commands.run": "command",
    "addcow_conformance.commands.smoke": "command",
    "addcow_conformance.models": "Reach explain find keep measure",
    "addcow_conformance.oracle": "SECTOR Oracle Outcome Values",
    "addcow_conformance.powerloss": (
        "FAMILIES CannotTrace Effort Family Found History Part State Summary Tally Trial explore "
        "judge_traced rerun"
    ),
    "addcow_conformance.programs": (
        "IMAGE LARGEST_FILE RAW Backing BackingKind Disk Endless Fault Flush Kill Known Operation "
        "Patience PowerLoss Program Race Read Reopen Request Resize Result Session StorageKind Stream "
        "Unsupported Via Violation Write Zeroes backing_kinds check_memory dump_program end_of "
        "load_program make_backing program_schema refused tell"
    ),
    "addcow_conformance.protocol": (
        "CAPABILITIES LARGEST_DATA LARGEST_NUMBER LONGEST_LINE LONGEST_TEXT REQUESTS RESULTS VERSION Message "
        "Validator check_answer check_request check_result decode_line encode_line protocol_schema serve"
    ),
    "addcow_conformance.reach": "Reach states",
    "addcow_conformance.report": "FORMATS render schema",
    "addcow_conformance.report.github": "render",
    "addcow_conformance.report.html": "render",
    "addcow_conformance.report.human": "render",
    "addcow_conformance.report.json": "render render_lines",
    "addcow_conformance.report.junit": "render",
    "addcow_conformance.report.markdown": "render",
    "addcow_conformance.report.sarif": "render",
    "addcow_conformance.results": (
        "BAD FORMATS About CaseResult Difference Expectation Outcome Run check_format render schema"
    ),
    "addcow_conformance.results.badge": "render",
    "addcow_conformance.results.expect": ("CONDITIONS BadExpectations apply facts load_expectations render"),
    "addcow_conformance.results.github": "render",
    "addcow_conformance.results.html": "render",
    "addcow_conformance.results.human": "render",
    "addcow_conformance.results.json": "render",
    "addcow_conformance.results.junit": "render",
    "addcow_conformance.results.markdown": "render",
    "addcow_conformance.results.sarif": "render",
    "addcow_conformance.suite": (
        "CORPUS FLAGS Bench Case Directory Effort Entry Fifo HardLink Label RegularFile Scene SymbolicLink "
        "Vector all_cases corpus load_vector load_vectors materialize vector_schema"
    ),
    "addcow_conformance.suite.cases": "",
    # These two are for pytest, which finds them by their names.
    "addcow_conformance.suite.conftest": "",
    "addcow_conformance.suite.test_cases": "",
    "addcow_conformance.suite.gate": "BrokenRun NoCase Request chosen gate",
    "addcow_conformance.suite.vectors": (
        "Directory Entry Fifo HardLink Label RegularFile Scene SymbolicLink Vector load_vector "
        "load_vectors materialize vector_schema"
    ),
    "addcow_conformance.targets": (
        "REFERENCE TIMEOUT Extent ExternalImage ExternalTarget Image Target abilities_of is_external "
        "load_target"
    ),
    "addcow_fuzz": "",
    "addcow_fuzz.invariants": "Finding judge_refusal strict token_of",
    "addcow_fuzz.targets": "TARGETS Target TargetModule load",
    "addcow_fuzz.campaign": (
        "BadFolder BadRegistry Campaign Counters Entry Found Judged Plan Result Row Slice "
        "SliceFailed Standing Status Store Subject Way fuzz_by_hand judge load_registry measured "
        "run_slice smallest standing"
    ),
    "addcow_fuzz.cli": "COMMANDS TOOL group main run",
    "addcow_fuzz.commands": "",
    "addcow_fuzz.commands.campaign": "command",
    "addcow_fuzz.commands.coverage": "command",
    "addcow_fuzz.commands.findings": "command",
    "addcow_fuzz.commands.list": "command",
    "addcow_fuzz.commands.merge": "command",
    "addcow_fuzz.commands.minimize": "command",
    "addcow_fuzz.commands.replay": "command",
    "addcow_fuzz.commands.report": "command",
    "addcow_fuzz.commands.run": "command",
    "addcow_fuzz.commands.triage": "command",
    "addcow_fuzz.dictionary": "dictionary main",
    "addcow_fuzz.mutators": (
        "crossover_files mutate_files mutate_header mutate_plain mutate_qcow2 mutate_recipe"
    ),
    "addcow_fuzz.templates": "TEMPLATES Template add_cow prove qcow2",
    "addcow_fuzz.targets.fuzz_cache": "check_one",
    "addcow_fuzz.targets.fuzz_chain": "check_one custom_crossover custom_mutator",
    "addcow_fuzz.targets.fuzz_differential": (
        "check_one compare custom_crossover custom_mutator explain prepare program_of"
    ),
    "addcow_fuzz.targets.fuzz_header": "check_one custom_mutator",
    "addcow_fuzz.targets.fuzz_image": "check_one custom_crossover custom_mutator",
    "addcow_fuzz.targets.fuzz_ops": "check_one custom_crossover custom_mutator explain program_of",
    "addcow_fuzz.targets.fuzz_qcow2": "check_one custom_mutator",
    "addcow_fuzz.targets.fuzz_repair": "check_one custom_crossover custom_mutator",
    "addcow_fuzz.targets.fuzz_report": "check_one custom_crossover custom_mutator",
    "addcow_fuzz.targets.fuzz_resolve": "check_one custom_mutator",
    "addcow_fuzz.targets.fuzz_roundtrip": "check_one custom_mutator",
    "addcow_ref": (
        "Extent FileStorage Image Layer LayerInfo Note OpenFailed OpenReason Storage create_image "
        "finalize_image open_image open_layer"
    ),
    "addcow_ref.cli": "",
    "addcow_ref.cli.compare": "command",
    "addcow_ref.cli.convert": "command",
    "addcow_ref.cli.create": "command",
    "addcow_ref.cli.finalize": "command",
    "addcow_ref.cli.info": "command",
    "addcow_ref.cli.io": "command",
    "addcow_ref.cli.map": "command",
    "addcow_ref.cli.resize": "command",
    "addcow_ref.cli.serve": "command",
    "addcow_ref.cli.stream": "command",
    "addcow_ref.memory": "MemoryFiles MemoryStorage",
    "addcow_ref.serve": "DEFAULT_PORT DEFAULT_THREADS serve",
    "addcow_ref.storage": "Identity OpenFailed OpenReason ReadableBuffer Storage WritableBuffer",
    "addcow_ref.testing": (
        "Event Fault FaultPlan FaultyStorage Operation RecordingStorage SyncEvent TruncateEvent Wrapper "
        "WriteEvent ZeroesEvent"
    ),
    "addcow_spec": "",
    "addcow_spec.text": "printable quantity",
    "addcow_spec.codec": (
        "HEADER_LENGTH LAYOUTS QCOW2_CLUSTER_BITS QCOW2_MAX_EXTENSIONS build_feature_names build_header "
        "build_qcow2 parse_feature_names parse_header parse_qcow2 qcow2_backing_name versions"
    ),
    "addcow_spec.errors": (
        "AdapterError AddCowError BackingChainError CannotStart Crashed ImageError ImageInUse InvalidImage "
        "MalformedImage ProtocolViolation SanitizerReport StorageError TimedOut UnsupportedImage UsageError"
    ),
    "addcow_spec.exports": "boundaries exports",
    "addcow_spec.findings": "Finding",
    "addcow_spec.geometry": "CLUSTER_SIZE SECTOR_SIZE Geometry ceil_div round_up",
    "addcow_spec.grammar": (
        "ADDCOW_V4 ADDCOW_V6 ADDCOW_V10 QCOW2_EXTENSION QCOW2_EXTENSION_START QCOW2_FEATURE_NAME QCOW2_V2 "
        "QCOW2_V3_FIELDS Field Layout Pointer"
    ),
    "addcow_spec.model": (
        "MAGIC QCOW2_MAGIC VERSION ExtensionType FeatureName Features Header HeaderV4 HeaderV6 HeaderV10 "
        "Qcow2Extension Qcow2Header Revision Role Span"
    ),
    "addcow_spec.rules": "Level Profile Repair Rule Severity Source Stage catalogue rule",
}


def public_modules() -> set[str]:
    """Every module that has no underscored part in its dotted name."""
    found = set(PACKAGES)
    for top in PACKAGES:
        package = importlib.import_module(top)
        found |= {module.name for module in pkgutil.walk_packages(package.__path__, f"{top}.")}
    return {name for name in found if not any(part.startswith("_") for part in name.split("."))}


def test_every_public_module_is_pinned() -> None:
    assert public_modules() == PINNED.keys()


@pytest.mark.parametrize("name", PINNED)
def test_names(name: str) -> None:
    module = importlib.import_module(name)
    promised = getattr(module, "__all__", [])
    assert list(promised) == PINNED[name].split()
    assert [exported for exported in promised if not hasattr(module, exported)] == []
