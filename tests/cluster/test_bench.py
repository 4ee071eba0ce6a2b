"""`forerun bench` measures real processes, and cannot flatter itself."""
import json
import os
import subprocess
import unittest

BINARY = os.environ.get("FORERUN_BINARY", "build/release/forerun")


def bench(*flags):
    return subprocess.run([BINARY, "bench", *flags], capture_output=True, text=True, timeout=120)


class BenchTest(unittest.TestCase):
    def test_a_stopped_node_answers_nothing_and_every_batch_is_synced(self):
        done = bench("--check", "--seconds", "0.9")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertGreater(report["running_per_s"], 0)
        self.assertEqual(report["stopped_per_s"], 0)
        self.assertGreaterEqual(report["syncs"] * report["largest_batch"], report["entries"])

    def test_its_report_has_the_promised_members(self):
        done = bench("--seconds", "0.3", "--in-flight", "8", "--output", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        for name, members in {"raw_curve": ["p50_us", "per_s"], "step": ["p50_us", "p99_us", "per_s", "durable_per_s"],
                              "three_nodes": ["per_s"], "saturated": ["per_s", "durable_per_s", "three_nodes_per_s"], "predicting": ["per_s"], "hit": ["p50_us", "p99_us"],
                              "http_step": ["p50_us", "per_s"]}.items():
            for member in members:
                self.assertGreater(report[name][member], 0, f"{name}.{member}")
        first = report["confirmed_first"]
        self.assertGreater(first["idle"]["p50_us"], 0)
        self.assertGreaterEqual(first["slots_full_of_speculation"]["samples"], 100)
        self.assertGreater(first["slots_full_of_confirmed"]["on_to_off"], 0)
        self.assertGreater(report["hedging"]["on_p99_us"], 0)
        self.assertLessEqual(report["hedging"]["second_share"], 0.05)
        self.assertGreater(report["jcs_hash_1kib_us"], 0)
        self.assertGreater(report["memory"]["session_bytes"], 0)

    def test_cancelled_branches_free_their_slots_and_leave_nothing(self):
        done = bench("cancel", "--count", "24", "--output", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        kinds = ["exec_without_sandbox", "http", "native", "native_ignoring", "resident", "resident_ignoring"] + ([] if "no_sandbox" in report else ["exec"])
        for kind in kinds:
            times = report[kind]
            self.assertEqual(times["count"], 24)
            self.assertLess(0, times["free_ms_p50"])
            self.assertLessEqual(times["free_ms_p50"], times["free_ms_p99"])
            self.assertLessEqual(times["free_ms_p99"], times["free_ms_max"])
        self.assertEqual((report["dead_handles"], report["left"]), (0, {"connections": 0, "descriptors": 0, "processes": 0}))
        # Who ignores a cancellation of 50 ms keeps the slot; a thread pool always does.
        self.assertGreater(report["native_ignoring"]["free_ms_p50"], 10)
        self.assertGreater(report["python_threads"]["free_ms_p50"], 25)

    def test_a_wrong_flag_is_a_usage_error(self):
        self.assertEqual(bench("--seconds", "0").returncode, 2)


if __name__ == "__main__":
    unittest.main()
