"""`python3 -m unittest discover test`: what is special about the cards, who uses them, and the protocol, without hardware."""

import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(FOLDER / "src"))

import family  # noqa: E402
import pci  # noqa: E402
from cyborg_driver import METHOD_NOT_FOUND, Refusal  # noqa: E402


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


class Use(unittest.TestCase):
    """Who on the host has a card: what cannot be seen counts as use."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.card = self.root / "bus/pci/devices/0000:65:00.0"
        self.card.mkdir(parents=True)
        (self.card / "vendor").write_text("0x8086\n")
        (self.card / "device").write_text("0x0b30\n")
        self.answers = {"listBound": {"functions": []}, "openNodes": {"complete": True, "open": []}}
        self.asked = []

    def tearDown(self):
        self.folder.cleanup()

    def ask(self, method, **params):
        self.asked.append((method, params))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def use(self):
        roots = {"sysfs": str(self.root), "proc": str(self.root)}
        context = types.SimpleNamespace(roots=roots, simulated=False, ask=self.ask)
        return pci.find_cards(context, ["8086:0b30"])[0].host_use

    def add_node(self):
        (self.card / "misc/acme0").mkdir(parents=True)
        (self.card / "misc/acme0/dev").write_text("10:60\n")

    def test_a_card_without_a_kernel_driver_is_free(self):
        self.assertIsNone(self.use())

    def test_a_card_whose_node_a_process_has_open_is_used(self):
        self.add_node()
        holder = {"node": "c10:60", "pid": 7, "command": "worker"}
        self.answers["openNodes"] = {"complete": True, "open": [holder]}
        self.assertIn("worker (pid 7)", self.use())
        self.assertEqual(self.asked[-1], ("openNodes", {"nodes": ["0000:65:00.0", "c10:60"]}))

    def test_what_the_agent_cannot_see_or_does_not_know_is_used(self):
        self.add_node()
        self.answers["openNodes"] = {"complete": False, "open": []}
        self.assertIn("unknown", self.use())
        self.answers["openNodes"] = Refusal(METHOD_NOT_FOUND, "no openNodes")
        self.assertIn("unknown", self.use())

    def test_a_network_card_that_is_up_and_a_disk_are_used(self):
        (self.card / "net/eth0").mkdir(parents=True)
        (self.card / "net/eth0/flags").write_text("0x1003\n")
        self.assertEqual(self.use(), "network interface eth0 is up")
        (self.card / "net/eth0/flags").write_text("0x1002\n")
        self.assertIsNone(self.use())
        (self.card / "nvme/nvme0/nvme0n1").mkdir(parents=True)
        self.assertIn("storage", self.use())

    def test_a_crypto_card_whose_algorithms_the_kernel_uses_is_used(self):
        (self.card / "class").write_text("0x0b4000\n")
        (self.card / "driver").symlink_to("/sys/bus/pci/drivers/acme-crypto")
        self.assertIn("unknown", self.use())
        entry = "name : xts(aes)\nmodule : acme_crypto\nrefcnt : {}\n\nname : sha1\nmodule : kernel\nrefcnt : 9\n"
        (self.root / "crypto").write_text(entry.format(1))
        self.assertIsNone(self.use())
        (self.root / "crypto").write_text(entry.format(2))
        self.assertEqual(self.use(), "kernel crypto uses xts(aes) of acme_crypto")

    def test_what_this_agent_gave_to_a_guest_is_no_use_by_the_host(self):
        (self.card / "driver").symlink_to("/sys/bus/pci/drivers/vfio-pci")
        (self.card / "iommu_group").symlink_to("/sys/kernel/iommu_groups/9")
        self.assertIn("not by this agent", self.use())
        bound = {"address": "0000:65:00.0", "kernel_driver": None}
        self.answers["listBound"] = {"functions": [bound]}
        self.assertIsNone(self.use())


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
