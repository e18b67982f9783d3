#!/bin/bash -eu
# Makes each target, with its seeds, its dictionary and its options. Run by OSS-Fuzz and ClusterFuzzLite in a container
# of theirs, which has compile_python_fuzzer; a frozen program has what Python imports, and data only if it is named.
cd "$SRC/add-cow"
python3 -m pip install '.[fuzz]'

# junitparser asks for its own version when it is imported.
packed=(--copy-metadata junitparser)
for package in addcow_spec addcow_ref addcow_conformance addcow_fuzz; do
  packed+=(--collect-submodules "$package" --collect-data "$package")
done
for source in fuzz/addcow_fuzz/targets/fuzz_*.py; do
  target=$(basename "$source" .py)
  # For reports of coverage, lines are put before the first one of a program, where a target has its docstring.
  printf 'from addcow_fuzz._main import fuzz\n\nfuzz("%s")\n' "${target#fuzz_}" > "$WORK/$target.py"
  compile_python_fuzzer "$WORK/$target.py" "${packed[@]}"
done

python3 - "$OUT" <<'END'
import sys
from pathlib import Path
from zipfile import ZipFile

from addcow_fuzz.dictionary import dictionary
from addcow_fuzz.targets import TARGETS

for target in TARGETS.values():
    beside = Path(sys.argv[1], f"fuzz_{target.name}")
    beside.with_suffix(".dict").write_text(dictionary())
    beside.with_suffix(".options").write_text(f"[libfuzzer]\nmax_len = {target.max_len}\n")
    with ZipFile(f"{beside}_seed_corpus.zip", "w") as seeds:
        for seed in sorted(Path("corpora/seeds", target.name).iterdir()):
            seeds.write(seed, seed.name)
END
