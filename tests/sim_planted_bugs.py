#!/usr/bin/env python3
"""Each planted bug of the table in docs/simulation.md is found at its recorded seed, by the rule that the table names; the same
seed without it breaks no rule. With every change of a brain a seed is another scenario: where it no longer shows the bug, another
one of the first 5,000 must, and the table is to be made again. Usage: sim_planted_bugs.py FORERUN-SIM-PLANTED TABLE"""
import pathlib
import re
import subprocess
import sys

BUGS_MIN = 25
SEEDS_MAX = 5000


def run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main() -> int:
    sim, table = sys.argv[1], pathlib.Path(sys.argv[2]).read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \| (\d+) \|$", table, re.M)
    problems = []
    if len(rows) < BUGS_MIN:
        problems.append(f"{len(rows)} planted bugs in the table, expected at least {BUGS_MIN}")
    for name, rule, needed in rows:
        if int(needed) > SEEDS_MAX:
            problems.append(f"{name}: needs {needed} seeds, expected at most {SEEDS_MAX}")
        seed = str(int(needed) - 1)
        found = run([sim, "--seed", seed, "--plant", name])
        if found.returncode != 1 or f"seed {seed}: {rule}: " not in found.stderr:
            found = run([sim, "--seeds", str(SEEDS_MAX), "--jobs", "2", "--plant", name])
            if found.returncode != 1:
                problems.append(f"{name}: no seed of {SEEDS_MAX} finds it")
            else:
                print(f"{name}: no longer at seed {seed}: scripts/planted_table.sh makes the table again: {found.stderr.strip()}")
        sound = run([sim, "--seed", seed])
        if sound.returncode != 0:
            problems.append(f"{name}: seed {seed} breaks a rule without it: {sound.stderr.strip()}")
    known = run([sim, "--plant", "no-such-bug", "--seed", "0"]).stderr
    for name in re.findall(r"[a-z]+(?:-[a-z]+)+", known.split("expected one of ")[-1].split("\n")[0]):
        if name not in {row[0] for row in rows}:
            problems.append(f"{name}: not in the table: scripts/planted_table.sh makes it again")
    print("\n".join(problems) or f"{len(rows)} planted bugs are found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
