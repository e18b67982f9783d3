"""What runs a target as a program: instrumentation first, then libFuzzer, by way of atheris."""

from __future__ import annotations

import gc
import os
import pkgutil
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from addcow_fuzz._counters import Counters
from addcow_fuzz._environment import PLAIN, end_with_parent, implementation_module, known_tokens, prepare
from addcow_fuzz.invariants import token_of
from addcow_fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["fuzz", "fuzz_module"]

# What is fuzzed. construct builds what was parsed, so that its branches tell something, too.
_INSTRUMENTED = ("addcow_spec", "addcow_ref", "addcow_conformance", "construct")

# What makes inputs, judges them, stands in for a disk, or does sums, is not: a branch of it tells little of
# an input, and to count one takes longer than to run a line.
_PLAIN_PACKAGES = (
    *("addcow_fuzz", "addcow_fuzz.targets"),
    *(f"addcow_conformance.{name}" for name in ("powerloss", "programs", "reach")),
)
_PLAIN_MODULES = (
    *("addcow_spec.errors", "addcow_spec.findings", "addcow_spec.rules", "addcow_spec.text"),
    *("addcow_spec.geometry", "addcow_spec.model"),
    *("addcow_ref.memory", "addcow_ref.testing"),
    *(f"addcow_conformance.{name}" for name in ("_sectors", "_sparse", "_units", "oracle")),
    *("addcow_conformance.checker._collector", "addcow_conformance.checker._model"),
)

# What this module has from them must stay the same: an error that is declared is known by its class.
_KEPT = {"__main__", "addcow_fuzz", "addcow_spec", "addcow_spec.errors", "addcow_fuzz.invariants", __name__}


def fuzz(name: str) -> None:
    """Run libFuzzer on a target with the options of the command line; does not return.

    Args:
        name: the target's name.
    """
    fuzz_module(f"addcow_fuzz.targets.fuzz_{name}")


def fuzz_module(name: str) -> None:
    """The same, of a target by the name of its module."""
    end_with_parent()
    import atheris  # noqa: PLC0415 - an extra, for fuzzing alone
    from atheris.import_hook import HookManager  # noqa: PLC0415 - see above

    included = (*_INSTRUMENTED, name, *implementation_module())
    ours = {"addcow_fuzz", *(module.split(".")[0] for module in included)}
    loaded = [module for module in sys.modules if module.split(".")[0] in ours]
    for module in loaded:  # they were loaded before they could be instrumented, or have parts of such a one
        if module not in _KEPT:
            del sys.modules[module]
    # The target itself, too: libFuzzer gives up where its first two inputs, of a byte at most, reach nothing.
    # Of an included module atheris takes the whole package. To the end, as parts of the engine and of the
    # report are loaded when they are asked for.
    plain = {*_plain()} - {name}
    counters = Counters()
    counters.install()
    with HookManager(ours, plain, enable_loader_override=True, trace_dataflow=_compares(name)):
        target: Any = import_module(name)
        prepare(target)
        # Asked for when it is called: starting puts another function in its place.
        import_module("addcow_fuzz._bytes").use(lambda *given: atheris.Mutate(*given))  # noqa: PLW0108
        gc.collect()
        gc.freeze()  # what is loaded stays, and is not looked through again and again
        options = {
            option: getattr(target, option)
            for option in ("custom_mutator", "custom_crossover")
            if hasattr(target, option) and not os.environ.get(PLAIN)
        }
        check_one = _reporting(target.check_one, known_tokens(), counters.connect)
        atheris.Setup(sys.argv, check_one, **options)
        atheris.Fuzz()


def _compares(name: str) -> bool:
    """Whether libFuzzer is told what is compared with what, for its own mutations and its value profile."""
    target = next((target for target in TARGETS.values() if target.module == name), None)
    asked = os.environ.get(PLAIN) or "-use_value_profile=1" in sys.argv
    return target is None or target.compares or bool(asked)


def _plain() -> Iterator[str]:
    """The names of the modules that are not instrumented."""
    yield from _PLAIN_MODULES
    for package in _PLAIN_PACKAGES:
        spec = find_spec(package)
        yield package
        for module in pkgutil.iter_modules(spec.submodule_search_locations if spec else None, f"{package}."):
            yield module.name


def _reporting(
    check_one: Callable[[bytes], None], known: frozenset[str], begin: Callable[[], None]
) -> Callable[[bytes], None]:
    """The same, with the token of a finding on standard error, where libFuzzer looks for it.

    Args:
        check_one: the target.
        known: tokens of findings that are passed over, so that fuzzing goes on behind them.
        begin: is called before the first input.
    """
    begun = False

    def checked(data: bytes) -> None:
        nonlocal begun
        if not begun:
            begin()
            begun = True
        try:
            check_one(data)
        except Exception as error:
            token = token_of(error)
            if token in known:
                return
            sys.stderr.write(f"DEDUP_TOKEN: {token}\n")
            raise

    return checked
