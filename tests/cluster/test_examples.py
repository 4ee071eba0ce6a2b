"""The examples, run as their READMEs say."""
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

import harness

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


class ExamplesTest(unittest.TestCase):
    def run_as_told(self, name, *more):
        """The command of a README's first ten lines, with the tested binary; what it printed as JSON."""
        head = "".join((EXAMPLES / name / "README.md").read_text().splitlines(True)[:10])
        command = re.search(rf"^    python3 (examples/{name}/run\.py)", head, re.M).group(1)
        done = subprocess.run([sys.executable, command, *map(str, more), "--json"], cwd=EXAMPLES.parent, capture_output=True, text=True,
                              timeout=240, env={**os.environ, "FORERUN_BINARY": os.path.abspath(harness.BINARY)})
        if "no usable sandbox" in done.stderr:
            self.skipTest("this machine has no usable sandbox")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_an_agent_with_real_tools(self):
        report = self.run_as_told("agent", "--think-s", 0.15)
        self.assertEqual((report["letters"], report["mails"]), (36, 36))
        self.assertEqual(report["refunds"], report["refunded_orders"])  # None twice.
        self.assertGreater(report["refunds"], 0)
        self.assertGreater(report["hits"], 0)
        self.assertGreater(report["saved_s"], 0)
        without = self.run_as_told("agent", "--think-s", 0, "--speculation", "off")
        self.assertEqual((without["hits"], without["mails_hash"], without["refunds"]), (0, report["mails_hash"], report["refunds"]))

    def test_two_models_race_under_every_selection(self):
        report = self.run_as_told("models")
        races = {race["select"]: race for race in report["races"]}
        self.assertEqual(list(races), ["seeded", "ranked", "ordered", "first"])
        for race in races.values():
            self.assertEqual(race["rules"] + race["bayes"], report["letters"])
        # The cascade: the rules where they are sure, and right then; the better model elsewhere.
        self.assertEqual((races["ordered"]["rules"], races["ordered"]["right"]), (21, 32))
        self.assertGreater(races["seeded"]["bayes"], 0)
        self.assertGreater(races["seeded"]["rules"], 0)
        self.assertGreaterEqual(races["ranked"]["bayes"], 11)
        self.assertRegex(report["auditor"][0], r"^\d+ entries, signed by [0-9a-f]{64}$")
        self.assertRegex(report["auditor"][1], r"^every decision follows in \d+ sessions; the calls of (\d+) of \1 steps are there$")
        self.assertTrue(report["verify"]["agree"])
        self.assertEqual(report["verify"]["not_recomputed"], 0)


if __name__ == "__main__":
    unittest.main()
