"""What commands say to whoever uses them wrongly, and where they must be forgiving."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
from harness import Cluster, until


def forerun(*arguments):
    return subprocess.run([harness.BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60)


class UsageTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def check(self, code, message, *arguments):
        done = forerun(*arguments)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertRegex(done.stderr, message)
        self.assertLess(len(done.stderr), 400)

    def test_an_unknown_command_is_named_with_a_suggestion(self):
        self.check(2, '"verfy": no such command; did you mean "verify"', "verfy")
        self.check(2, '"nonsense": no such command, expected one of demo, dev, ', "nonsense")
        self.check(2, '"exprt": no such command; did you mean "export"', "ledger", "exprt")

    def test_what_a_configuration_file_cannot_say_is_told_with_its_line(self):
        file = self.folder / "forerun.toml"

        def check(text, message):
            file.write_text(text)
            self.check(2, message, "--config", file, "coordinator")
        check('[coordinator]\nhtp = "127.0.0.1:0"\n',
              f'{file}:2: "htp": no such flag of forerun coordinator; did you mean "http"')
        check('[cordinator]\nhttp = "x"\n', f'{file}:2: "cordinator": no such table: .*; did you mean "coordinator"')
        check("[coordinator\n", f"{file}:1: not TOML: ")
        check('[coordinator]\nwaste-max = 2\n[node]\nname = "n"\n', "--waste-max: .* 2 ")

    def test_the_command_line_wins_over_the_environment_and_that_over_the_file(self):
        file = self.folder / "forerun.toml"
        file.write_text('[ledger.head]\ndata = "/nowhere/file"\n[keys.list]\ndata = "/nowhere/file"\n')

        def head(*arguments, **environment):
            return subprocess.run([harness.BINARY, "ledger", "head", "--config", str(file), *arguments], timeout=60,
                                  capture_output=True, text=True, env=dict(os.environ, **environment)).stderr
        self.assertIn("/nowhere/file", head())
        self.assertIn("/nowhere/environment", head(FORERUN_DATA="/nowhere/environment"))
        self.assertIn("/nowhere/flag", head("--data", "/nowhere/flag", FORERUN_DATA="/nowhere/environment"))

    def test_a_native_function_that_the_program_lacks_is_told_before_anything_starts(self):
        file = self.folder / "catalog.toml"
        file.write_text('[task.mine]\nexecutor = "native"\nfunction = "mine::rank"\neffect = "pure"\n')
        self.check(3, f"{file}: task.mine: native function mine::rank is not in this program; start `forerun coord",
                   "dev", file)
        file.write_text('[task.noo]\nexecutor = "native"\neffect = "pure"\nfunction = "noopp"\n')
        self.check(3, "did you mean noop[?]", "dev", file)

    def test_a_file_that_is_not_there_is_not_found(self):
        for arguments in (("demo", "--traces"), ("dev",), ("simulate", "--costs"), ("--config",)):
            self.check(3, "/nonexistent/x: no such file", *arguments, "/nonexistent/x")
        self.check(3, "/nonexistent/x: no such file or folder", "simulate", "/nonexistent/x")
        self.check(2, f"found a folder at {self.folder}, expected a file", "demo", "--traces", self.folder)

    def test_numbers_out_of_range_are_told_as_people_write_them(self):
        self.check(2, "seq: found -1, expected 0 or more", "ledger", "prove", "-1")
        self.check(2, "--sessions: found -1, expected 0 or more", "demo", "--sessions", "-1")
        for number in ("0", "-1", "nan", "1e9", "x"):
            self.check(2, f"--speedup: found {number}, expected more than 0, at most 1000000",
                       "demo", "--speedup", number)
        self.check(2, "--speedup: found -1, expected 0 or more, at most 1000000", "replay", self.folder, "--speedup", "-1")

    def test_what_is_not_there_is_not_found(self):
        self.check(3, "nothing-here", "verify", "--offline", self.folder / "nothing-here")

    def test_an_output_that_cannot_be_written_is_an_error(self):
        for arguments in (("keys", "add", "node-1", "--data", self.folder / "data"), ("--version",)):
            with open("/dev/full", "w") as full:
                done = subprocess.run([harness.BINARY, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=30)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("stdout: the output could not be written whole", done.stderr)

    def test_a_demo_that_could_not_export_does_not_start(self):
        (self.folder / "file").write_text("")
        self.check(4, "--export: .*: not an empty folder", "demo", "--export", self.folder)
        self.check(4, "--export: .*: not an empty folder", "demo", "--export", self.folder / "file")


class AddressTest(unittest.TestCase):
    def test_a_url_may_end_with_a_slash(self):
        cluster = Cluster(1)
        self.addCleanup(cluster.close)
        run_id = cluster.open()
        cluster.step(run_id, "double", n=1)
        url = f"http://{cluster.http}/"
        for command in (("status",), ("explain", run_id), ("verify", "--sample", 0)):
            done = cluster.command(*command, "--url", url)
            self.assertEqual(done.returncode, 0, done.stderr)


class DevTest(unittest.TestCase):
    def start(self, folder, *more):
        process = subprocess.Popen([harness.BINARY, "dev", folder / "catalog.toml", *more], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "Ctrl-C" in line:
                return lines
        raise AssertionError(process.stderr.read())

    def folder_with(self, catalog):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-test-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "tasks.py").write_text(harness.TASKS)
        (folder / "catalog.toml").write_text(catalog)
        return folder

    def test_the_first_line_asks_what_the_catalog_gives_as_an_example(self):
        example = """example = '{"n":21,"note":"it\\\\u0027s"}'\n"""
        folder = self.folder_with(harness.CATALOG.replace("[task.double]\n", "[task.double]\n" + example))
        curl = next(line for line in self.start(folder) if line.startswith("curl"))
        done = subprocess.run(["sh", "-c", curl + " --fail"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, curl)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["status"], answer["output"]), ("ok", {"twice": 42}))

    def test_without_an_example_the_first_line_fills_in_what_tags_name(self):
        curl = next(line for line in self.start(self.folder_with(harness.CATALOG)) if line.startswith("curl"))
        answer = json.loads(subprocess.run(["sh", "-c", curl], capture_output=True, text=True).stdout)
        self.assertEqual((answer["task"], answer["status"]), ("look_up", "ok"), answer)

    def test_a_folder_that_another_one_uses_is_refused(self):
        folder = self.folder_with(harness.CATALOG)
        self.start(folder, "--data", folder / "data")
        second = forerun("dev", folder / "catalog.toml", "--data", folder / "data")
        self.assertEqual(second.returncode, 4, second.stderr)
        self.assertIn("in use by process", second.stderr)


if __name__ == "__main__":
    unittest.main()
