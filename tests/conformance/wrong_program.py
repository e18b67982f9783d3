"""Programs that do not keep to the protocol, each in one way: `python wrong_program.py MODE`.

They load nothing but the standard library, as they are started often.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

LONGEST_LINE = 16 << 20
ABOUT = {
    "protocol": 1,
    "name": "wrong",
    "version": "0",
    "language": "Python",
    "homepage": "",
    "issues": "",
    "revisions": ["v10"],
    "capabilities": ["create", "write"],
}
ASAN = "==1234==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010\n"


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def answer(asked, **outcome):
    say(json.dumps({"seq": asked["seq"], **(outcome or {"result": {}})}))


def complain(text):
    sys.stderr.write(text)
    sys.stderr.flush()


def die(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def close_output(_):
    os.close(1)
    time.sleep(60)


def two(asked):
    answer(asked)
    answer(asked)


def report(asked):
    complain(ASAN)
    answer(asked)


def report_and_exit(_):
    complain(ASAN)
    sys.exit(1)


def last_words(_):
    complain("one\n\x1b[31mred\n" + "long" * 1000 + "\n")
    sys.exit(3)


def child(_):
    sleeper = subprocess.Popen(["sleep", "60"])
    complain(f"{sleeper.pid}\n")
    time.sleep(60)


# What is done to a create request.
MODES = {
    "answers": answer,
    "garbage": lambda _: say("this is no JSON"),
    "not-utf-8": lambda _: os.write(1, b'{"seq": "\xff"}\n'),
    "no-object": lambda _: say("[]"),
    "empty-line": lambda _: say(""),
    "two-answers": two,
    "wrong-seq": lambda asked: answer({"seq": asked["seq"] + "x"}),
    "seq-number": lambda _: say(json.dumps({"seq": 1, "result": {}})),
    "no-seq": lambda _: say('{"result": {}}'),
    "two-outcomes": lambda asked: answer(asked, result={}, error="both"),
    "no-outcome": lambda asked: say(json.dumps({"seq": asked["seq"]})),
    "more-members": lambda asked: answer(asked, result={"more": 1}),
    "twice-a-name": lambda asked: say(f'{{"seq": "{asked["seq"]}", "result": {{}}, "result": {{}}}}'),
    "huge-line": lambda _: say("x" * (LONGEST_LINE + 1)),
    "silence": lambda _: time.sleep(60),
    "half-a-line": lambda asked: (sys.stdout.write(f'{{"seq": "{asked["seq"]}"'), sys.exit(0)),
    "exit-3": lambda _: sys.exit(3),
    "exit-0": lambda _: sys.exit(0),
    "sigsegv": lambda _: die(signal.SIGSEGV),
    "sigabrt": lambda _: die(signal.SIGABRT),
    "sanitizer": report,
    "sanitizer-and-exit": report_and_exit,
    "closes-output": close_output,
    "last-words": last_words,
    "child": child,
    "refuses": lambda asked: answer(asked, refused={"reason": "no", "rule": "ACW-DYN-010"}),
    "fails": lambda asked: answer(asked, error="no"),
}


def main(mode):
    if mode == "silent-start":
        time.sleep(60)
    if mode == "early":
        say("hello")
    if mode == "ignores-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "start":
            about = dict(ABOUT, protocol=2) if mode == "other-version" else ABOUT
            answer(asked, **({"error": "no"} if mode == "no-start" else {"result": about}))
        else:
            MODES[mode](asked)
    if mode == "ignores-sigterm":
        time.sleep(60)
    if mode == "exit-9":
        sys.exit(9)


if __name__ == "__main__":
    main(sys.argv[1])
