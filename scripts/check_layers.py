#!/usr/bin/env python3
"""Fails when a folder includes what its place in the architecture forbids (README.md, "Layout")."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# folder -> folders of ours that it may include, foreign include prefixes that it may use
ALLOWED = {
    "base": ([], ["openssl/"]),
    "speculation": (["base"], []),
    "coordinator": (["base", "speculation"], []),
    "node": (["base", "speculation"], []),
    "node/executors": (["base", "speculation", "files"], ["curl/", "seccomp.h"]),
    "messages": (["base", "speculation"], ["google/", "wire.pb.h", "messages/wire/"]),
    "cluster": (["base", "speculation"], ["zmq"]),
    "storage": (["base", "speculation"], ["sqlite3.h"]),
    "gateway": (["base", "speculation"], ["boost/"]),
    "files": (["base", "speculation"], ["toml++/", "zlib.h"]),
    "demo": (["base", "speculation", "files", "cluster"], ["curl/"]),
    "replay": (["base", "speculation", "files", "cluster", "demo", "node/executors"], []),
    "client": (["base", "speculation", "files", "demo"], []),
    "actors": (["base", "speculation", "coordinator", "node", "node/executors", "messages", "storage"], ["caf/"]),
    "backtest": (["base", "speculation", "coordinator", "files"], []),
    "simulation": (["base", "speculation", "coordinator", "node", "node/executors", "storage", "actors"], ["caf/"]),
}
PURE = {"speculation", "coordinator", "node"}
IMPURE = re.compile(r"^(thread|mutex|fstream|iostream|atomic|condition_variable|future|filesystem|sys/.*|unistd\.h|random)$")
# Equal on every machine: no last bit may come from the C library (docs/adr/0019-portable-reals.md).
PORTABLE = PURE | {"base", "simulation", "backtest"}
LIBRARY_REAL = re.compile(r"\bstd::(log|log2|log10|log1p|exp|exp2|expm1|pow|cbrt|hypot|tanh?|sinh?|cosh?)\(")
FOREIGN = sorted({prefix for _, prefixes in ALLOWED.values() for prefix in prefixes})


def folder_of(path: str) -> str:
    """The deepest folder of the table that holds this path."""
    return max((f for f in ALLOWED if path.startswith(f + "/")), key=len, default="")


def main() -> int:
    problems = []
    for source in sorted(ROOT.glob("*/**/*.[ch]pp")):
        name = source.relative_to(ROOT).as_posix()
        folder = folder_of(name)
        if not folder:
            continue
        ours, foreign = ALLOWED[folder]
        for number, line in enumerate(source.read_text().splitlines(), 1):
            if folder in PORTABLE and LIBRARY_REAL.search(line):
                problems.append(f"{name}:{number}: {folder}/ gives the same bits everywhere: use base/real.hpp")
            match = re.match(r'\s*#include [<"]([^>"]+)[>"]', line)
            if not match:
                continue
            included = match.group(1)
            target = folder_of(included)
            if target and target != folder and target not in ours:
                problems.append(f"{name}:{number}: {folder}/ must not include {target}/")
            prefix = next((p for p in FOREIGN if included.startswith(p)), None)
            if not target and prefix and not any(included.startswith(p) for p in foreign):
                problems.append(f"{name}:{number}: {folder}/ must not include {prefix}")
            if folder in PURE and IMPURE.match(included):
                problems.append(f"{name}:{number}: {folder}/ is pure and must not include <{included}>")
    print("\n".join(problems) or "layers hold")
    return 1 if problems else 0


sys.exit(main())
