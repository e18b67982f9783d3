"""Any files are an image to checker and engine alike, or to neither; and it reads as its bits say.

Both refuse by the same rule, in the profile and with the revision that the options say. What both accept is
read around the ends of units and files, beside an arithmetic that shares no code with the engine.
"""

from __future__ import annotations

from addcow_fuzz._agreement import agree
from addcow_fuzz._files import InputFiles
from addcow_fuzz._made import take_apart
from addcow_fuzz._main import fuzz
from addcow_fuzz.mutators import crossover_files as custom_crossover
from addcow_fuzz.mutators import mutate_files as custom_mutator

__all__ = ["check_one", "custom_crossover", "custom_mutator"]


def check_one(data: bytes) -> None:
    """Let both judge the files of an input.

    Raises:
        Finding: they do not agree, or what is read is not what the files say.
    """
    packed = take_apart(data)
    _, image = agree(InputFiles(packed.records), packed)
    if image:
        image.close()


if __name__ == "__main__":
    fuzz("image")
