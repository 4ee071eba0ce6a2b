"""The auditor that docs/proof.md prints accepts what was decided and refuses what was forged; so does `verify --offline`."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import auditor
from harness import Cluster, until

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "proof.md"


class ProofTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(2)
        cls.addClassCleanup(cls.cluster.close)
        cls.script = cls.cluster.folder / "proof.py"
        parts = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
        cls.script.write_text("".join(parts))
        cls.ledger_alone = cls.cluster.folder / "proof-of-the-ledger.py"
        cls.ledger_alone.write_text(parts[0])
        assert [len(part.splitlines()) for part in parts] == [20, 20], "the page counts its lines"
        run_id = cls.cluster.open()
        for n in range(4):
            cls.cluster.step(run_id, "double", n=n)
        for task in ("vote", "careful", "vote"):
            cls.cluster.step(run_id, task)
        cls.cluster.step(run_id, "double", n=None)
        # A second term, so that a hand-over is in it.
        cls.cluster.kill("coordinator")
        cls.cluster.start_coordinator()
        until("nodes are back", lambda: cls.cluster.heads_agree(2))
        cls.cluster.step(run_id, "vote", after="the restart")
        cls.export = cls.cluster.export()
        cls.key = json.loads((cls.export / "ledger.jsonl").read_text().splitlines()[0])["public_key"]

    def copy(self):
        folder = self.cluster.folder / f"copy-{self.id()}"
        shutil.copytree(self.export, folder)
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def audit(self, folder, key=None, script=None):
        done = subprocess.run([sys.executable, script or self.script, folder, key or self.key], capture_output=True, text=True)
        return done.returncode == 0, done.stdout + done.stderr

    def verify(self, folder, key=None):
        done = self.cluster.command("verify", "--offline", folder, "--key", key or self.key)
        return done.returncode, json.loads(done.stdout), done.stderr

    def change(self, folder, change_lines, name="ledger.jsonl"):
        path = folder / name
        lines = path.read_text().splitlines()
        changed = change_lines(list(lines))
        self.assertNotEqual(lines, changed)
        path.write_text("".join(line + "\n" for line in changed))

    def with_recomputed_head(self, folder):
        """What anyone can do without the key: make size and root fit again, keep the old signature."""
        leaves = (folder / "ledger.jsonl").read_bytes().splitlines()
        head = json.loads((folder / "head.json").read_text())
        head["size"], head["root"] = len(leaves), auditor.tree_root(leaves).hex()
        (folder / "head.json").write_bytes(auditor.canonical(head) + b"\n")

    def refuse(self, folder, *said, key=None):
        """Both auditors refuse; the page's may name less, `verify` must say all of `said`."""
        held, printed = self.audit(folder, key)
        self.assertFalse(held)
        self.assertRegex(printed, "refused: |InvalidSignature")
        code, report, problems = self.verify(folder, key)
        self.assertEqual((code, report["agree"]), (5, False))
        for words in ("export: ", "found ", "expected ", *said):
            self.assertIn(words, problems)

    def commit(self, lines, nth=0, with_branches=1):
        return [i for i, line in enumerate(lines) if '"kind":"commit"' in line
                and len(json.loads(line)["branch_names"]) >= with_branches][nth]

    def test_a_fresh_export_holds(self):
        held, printed = self.audit(self.export)
        self.assertTrue(held, printed)
        code, report, problems = self.verify(self.export)
        self.assertEqual((code, problems), (0, ""))
        lines = (self.export / "ledger.jsonl").read_text().splitlines()
        self.assertEqual(report, {"nodes": 0, "agree": True, "entries": len(lines), "recomputed": 9, "not_recomputed": 0,
                                  "re_executed": 0})

    def test_a_flipped_byte_is_refused(self):
        folder = self.copy()
        lines = (folder / "ledger.jsonl").read_text().splitlines()
        # In a time that nothing else in the entry depends on: only the tree shows it.
        self.change(folder, lambda lines: [re.sub(r'"branch_latencies_ms":\[(\d)', lambda m: f'"branch_latencies_ms":[{9 - int(m[1]) or 5}', line)
                                           if '"step":2,' in line else line for line in lines])
        first_of_second = next(i for i, line in enumerate(lines) if i and '"kind":"epoch"' in line)
        self.refuse(folder, f"entries 0 to {first_of_second - 1} (one or more were changed", f"as entry {first_of_second} has signed")

    def test_a_flipped_byte_in_an_output_is_refused(self):
        folder = self.copy()
        self.change(folder, lambda lines: [line.replace('"twice":4', '"twice":5') for line in lines], "outputs.jsonl")
        self.refuse(folder, "outputs.jsonl line", "output_hash")

    def test_a_flipped_byte_in_a_call_is_refused(self):
        folder = self.copy()
        self.change(folder, lambda lines: [line.replace('"n":2', '"n":5') for line in lines], "inputs.jsonl")
        self.refuse(folder, "inputs.jsonl line", "input_hash")

    def test_a_ledger_without_entries_is_refused(self):
        folder = self.copy()
        self.change(folder, lambda lines: [])
        self.refuse(folder, "entry 0: found nothing, expected an entry")

    def test_an_entry_in_another_order_is_refused(self):
        folder = self.copy()
        def swap(lines):
            at = self.commit(lines, 1)
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
            return lines
        self.change(folder, swap)
        self.with_recomputed_head(folder)
        self.refuse(folder, "entry 2: seq: found 3, expected 2")

    def test_a_wrong_winner_is_refused_also_with_every_hash_made_to_fit(self):
        folder = self.copy()
        def lie(lines):
            at = self.commit(lines, 0, with_branches=2)
            entry = json.loads(lines[at])
            entry["winning_branch_index"] = 1 - entry["winning_branch_index"]
            entry["branch_validities"] = entry["branch_validities"][::-1]
            decided = {name: entry[name] for name in (
                "run_id", "step", "task", "input_hash", "branch_names", "branch_validities", "select",
                "deterministic_tie_breaker_seed", "winning_branch_index", "output_hash", "writes_hash", "effects_hash")}
            entry["decision_hash"] = auditor.sha(auditor.canonical(decided)).hex()
            lines[at] = auditor.canonical(entry).decode()
            return lines
        self.change(folder, lie)
        self.with_recomputed_head(folder)
        self.refuse(folder, "entry 5: ")

    def test_a_signer_that_lies_about_a_winner_is_refused_by_the_decisions_alone(self):
        folder = self.copy()
        signer = Ed25519PrivateKey.generate()
        key = signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        def write(change):
            """The first term as this signer has it, with its own key and head."""
            entries = [json.loads(line) for line in (self.export / "ledger.jsonl").read_text().splitlines()]
            entries = entries[:[entry["kind"] for entry in entries].index("epoch", 1)]
            entries[0]["public_key"] = key
            change(next(entry for entry in entries if len(entry.get("branch_names", [])) > 1))
            leaves = [auditor.canonical(entry) for entry in entries]
            (folder / "ledger.jsonl").write_bytes(b"".join(leaf + b"\n" for leaf in leaves))
            head = {"epoch": entries[0]["epoch"], "root": auditor.tree_root(leaves).hex(), "size": len(leaves)}
            head |= {"signature": signer.sign(auditor.canonical(head)).hex(), "public_key": key}
            (folder / "head.json").write_bytes(auditor.canonical(head) + b"\n")
        write(lambda race: None)
        held, printed = self.audit(folder, key)
        self.assertTrue(held, printed)
        def other(race, **fields):
            race.update(winning_branch_index=1 - race["winning_branch_index"], **fields)
        write(lambda race: other(race, branch_validities=race["branch_validities"][::-1]))
        self.assertTrue(self.audit(folder, key, self.ledger_alone)[0])
        self.refuse(folder, "entry 5: ", key=key)
        for lie in (lambda race: race.update(branch_validities=[None, None]),
                    lambda race: other(race, branch_validities=race["branch_validities"][::-1], arrival_order=[1 - race["winning_branch_index"]]),
                    lambda race: race.update(select="lottery"), lambda race: race.update(task="double"),
                    lambda race: race.update(deterministic_tie_breaker_seed="00" * 8), lambda race: race.update(seq=4)):
            write(lie)
            self.refuse(folder, key=key)

    def test_a_line_that_readers_take_for_another_is_refused(self):
        for name, kind in (("inputs", "call"), ("outputs", "output")):
            folder = self.copy()
            def twice(lines):
                hashed = f'"{kind if kind == "output" else "input"}_hash":"'
                at, tail = lines[1].rindex(hashed), f'"{kind}":9,"":"'
                return [lines[0], lines[1][:at] + tail + lines[1][at + len(hashed):], *lines[2:]]
            self.change(folder, twice, name + ".jsonl")
            held, printed = self.audit(folder)
            self.assertFalse(held)
            self.assertIn("refused: ", printed)
            code, _, problems = self.verify(folder)
            self.assertEqual(code, 5)
            self.assertIn(name + ".jsonl line 2: ", problems)
            self.doCleanups()

    def test_a_truncated_ledger_is_refused(self):
        folder = self.copy()
        self.change(folder, lambda lines: lines[:-1])
        size = len((folder / "ledger.jsonl").read_text().splitlines())
        self.refuse(folder, f"entry {size}: found nothing, expected an entry")
        self.with_recomputed_head(folder)
        self.refuse(folder, f"head of size {size}: signature")

    def test_a_foreign_key_is_refused(self):
        foreign = "ab" * 32
        self.refuse(self.export, "entry 0: public_key: found " + self.key + ", expected " + foreign, key=foreign)

    def test_an_erased_call_is_counted_and_the_rest_still_holds(self):
        folder = self.copy()
        self.change(folder, lambda lines: lines[:1] + lines[2:], "inputs.jsonl")
        held, printed = self.audit(folder)
        self.assertTrue(held, printed)
        self.assertIn("the calls of 8 of 9 steps are there", printed)
        code, report, problems = self.verify(folder)
        self.assertEqual((code, report["recomputed"], report["not_recomputed"]), (0, 8, 1), problems)

    def test_what_cannot_be_judged_is_no_verdict(self):
        self.assertEqual(self.cluster.command("verify", "--offline", self.export, "--key", "abc").returncode, 2)
        empty = self.cluster.folder / "nothing-here"
        empty.mkdir()
        self.assertEqual(self.cluster.command("verify", "--offline", empty).returncode, 3)


if __name__ == "__main__":
    unittest.main()
