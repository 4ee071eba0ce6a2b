"""examples/native_node, built against what `cmake --install` has put into a folder, as a node of a real cluster."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import BINARY, Cluster

BUILD = pathlib.Path(BINARY).resolve().parent
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/native_node"

# Its deadline is too near for all of its rounds.
HURRIED = """
[task.score_at_once]
executor   = "native"
function   = "scoring::score"
effect     = "pure"
timeout_ms = 130
[task.listed]
executor = "exec"
command  = ["sh", "-c", "echo '\\"in a sandbox\\"'"]
effect   = "pure"
"""


class NativeNodeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-native-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.prefix = cls.folder / "prefix"
        for component in ("program", "development"):
            cls.must("cmake", "--install", BUILD, "--prefix", cls.prefix, "--component", component)
        cls.must("cmake", "-G", "Ninja", "-S", EXAMPLE, "-B", cls.folder / "build", f"-DCMAKE_PREFIX_PATH={cls.prefix}",
                "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror")
        cls.must("cmake", "--build", cls.folder / "build")
        cls.program = cls.folder / "build/scoring-node"

    @staticmethod
    def run_for(*words, **options):
        return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=240, **options)

    @classmethod
    def must(cls, *words):
        done = cls.run_for(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def test_what_is_installed_is_small_and_names_no_header_of_the_tree(self):
        headers = sorted((self.prefix / "include").rglob("*.hpp"))
        self.assertEqual([str(header.relative_to(self.prefix / "include")) for header in headers],
                         ["forerun/json.hpp", "forerun/native_function.hpp", "forerun/native_node.hpp", "forerun/result.hpp"])
        for header in headers:
            self.assertNotIn('#include "', header.read_text())
        self.assertTrue(os.access(self.prefix / "bin/forerun", os.X_OK))

    def test_its_functions_answer_calls_of_a_cluster(self):
        cluster = Cluster(nodes=0, catalog=(EXAMPLE / "catalog.toml").read_text() + HURRIED)
        self.addCleanup(cluster.close)
        arguments = cluster.node_arguments("scoring")
        self.assertEqual(arguments.pop(0), "node")
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        os.environ["PATH"] = f"{self.prefix / 'bin'}:{path}"  # Where its sandbox is found.
        cluster.spawn("scoring", *arguments, "--token-file", cluster.token_for("scoring"), program=self.program)
        run = cluster.open()
        scored = cluster.step(run, "score", amount=40)
        self.assertEqual(scored["output"]["rounds"], 50)
        self.assertAlmostEqual(scored["output"]["score"], 0.04, places=3)
        self.assertEqual([cluster.step(run, "count_order")["output"] for _ in range(3)], [1, 2, 3])
        hurried = cluster.step(run, "score_at_once", amount=40)
        self.assertLess(hurried["output"]["rounds"], 50)  # It saw its deadline.
        self.assertEqual(cluster.step(run, "score", amount="much")["causes"], ["amount: expected a number"])
        if "no usable sandbox" not in cluster.log("scoring"):
            self.assertEqual(cluster.step(run, "listed")["output"], "in a sandbox")

    def test_it_has_the_flags_of_a_node(self):
        self.assertIn("--tasks-dir", self.run_for(self.program, "--help").stdout)
        self.assertEqual(self.run_for(self.program).returncode, 2)
        self.assertEqual(self.run_for(self.program, "--version").stdout, self.run_for(BINARY, "--version").stdout)


if __name__ == "__main__":
    unittest.main()
