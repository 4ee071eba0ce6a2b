#!/usr/bin/env python3
"""Each planted bug of the table in docs/simulation.md is found at its recorded seed, by the rule that the table names; the same
seed without it breaks no rule. Usage: sim_planted_bugs.py FORERUN-SIM-PLANTED TABLE"""
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
            problems.append(f"{name}: seed {seed}: expected a violation of '{rule}', found "
                            f"'{found.stderr.strip() or found.stdout.strip()}': scripts/planted_table.sh makes the table again")
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
