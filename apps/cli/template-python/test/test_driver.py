"""`python3 -m unittest discover test`: what is special about the cards, and the whole protocol, without hardware."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(FOLDER / "src"))

import family  # noqa: E402
import pci  # noqa: E402


class Family(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.card = pathlib.Path(self.folder.name) / "0000:65:00.0"
        self.card.mkdir()

    def tearDown(self):
        self.folder.cleanup()

    def function(self):
        return pci.Function(self.folder.name, "0000:65:00.0")

    def test_a_card_that_answers_is_healthy(self):
        (self.card / "config").write_bytes(b"\x86\x80\x30\x0b")
        self.assertEqual(family.health_of(self.function())["status"], "healthy")

    def test_a_card_that_fell_off_the_bus_has_failed(self):
        (self.card / "config").write_bytes(b"\xff" * 64)
        self.assertEqual(family.health_of(self.function())["status"], "failed")

    def test_what_is_missing_is_left_out(self):
        (self.card / "revision").write_text("0x01\n")
        self.assertEqual(family.info_of(self.function()).get("revision"), "0x01")


class Protocol(unittest.TestCase):
    def test_it_conforms(self):
        """CYBORG names the command where it is not in the PATH. The example machine has this card: the kit needs one."""
        command = os.environ.get("CYBORG", "cyborg")
        backends = FOLDER / "test" / "backends.json"
        run = subprocess.run(
            [command, "driver-test", str(FOLDER), "--backends", str(backends)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main()
