"""`python3 -m unittest discover test`: what is special about the cards, who uses them, and the protocol, without hardware."""

import concurrent.futures
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

import cyborg_driver  # noqa: E402
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
        self.answers = {
            "listBound": {"functions": []},
            "openNodes": {"complete": True, "open": []},
            "serialNumbers": {"functions": []},
        }
        self.asked = []

    def tearDown(self):
        self.folder.cleanup()

    def ask(self, method, **params):
        self.asked.append((method, params))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def card_found(self):
        roots = {"sysfs": str(self.root), "proc": str(self.root)}
        context = types.SimpleNamespace(roots=roots, simulated=False, ask=self.ask)
        return pci.find_cards(context, ["8086:0b30"])[0]

    def use(self):
        return self.card_found().host_use

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
        self.assertIn(("openNodes", {"nodes": ["0000:65:00.0", "c10:60"]}), self.asked)

    def test_a_card_is_known_by_the_number_that_the_agent_reads_and_by_its_slot_without(self):
        self.assertEqual(self.card_found().key, "pci-0000:65:00.0-8086-0b30")
        number = {"address": "0000:65:00.0", "dsn": "00-11-22-33-44-55-66-77", "vpd": {}}
        self.answers["serialNumbers"] = {"functions": [number]}
        self.assertEqual(self.card_found().key, "pci-8086-0b30-0011223344556677")
        self.answers["serialNumbers"] = Refusal(METHOD_NOT_FOUND, "no serialNumbers")
        self.assertEqual(self.card_found().key, "pci-0000:65:00.0-8086-0b30")

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


class Talk(unittest.TestCase):
    """What cyborg_driver.py makes of messages, with an agent that is this test."""

    def setUp(self):
        self.calls = []
        schema = {"type": "object", "properties": {}}
        kind = {"kind": "card", "title": "Cards", "config_schema": schema, "delegable": [], "needs": {"modules": ["x"]}}
        own = types.SimpleNamespace(install=self.install, discover=self.discover)
        to_agent, self.said = os.pipe()
        self.heard = os.fdopen(to_agent, "rb")
        self.stream = os.fdopen(self.said, "wb")
        manifest = {"id": "talk", "version": "1.0.0", "kinds": [kind]}
        self.driver = cyborg_driver.Driver(manifest, {"card": own}, self.stream)
        self.pool = concurrent.futures.ThreadPoolExecutor(4)

    def tearDown(self):
        self.pool.shutdown()
        self.stream.close()
        self.heard.close()

    def install(self, context, dry_run):
        self.calls.append("install")
        return {"status": "ready"} if context.ask("loadModule", module="x") == {} else None

    def discover(self, context):
        self.calls.append("discover")
        return {"devices": [], "services": []}

    def hear(self, request_id, method, params):
        self.driver.heard({"id": request_id, "method": method, "params": params}, self.pool)

    def next(self):
        return cyborg_driver.read_frame(self.heard)

    def begin(self):
        """`install` under way, which has asked the agent and waits."""
        host = {"name": "h", "node_name": "h"}
        greeting = {"host": host, "roots": {}, "simulated": False, "state_dir": None}
        self.hear(1, "initialize", {**greeting, "protocol_versions": ["1"], "backends": []})
        self.greeted = self.next()["result"]
        spec = {"name": "cards", "kind": "card", "config": {}}
        self.hear(2, "install", {"backend": spec, "dry_run": False})
        self.asked = self.next()

    def test_the_protocol_is_told_of_a_kind_what_it_knows(self):
        self.begin()
        self.assertEqual([*self.greeted["kinds"][0]], ["kind", "title", "config_schema", "delegable"])
        self.driver.heard({"id": self.asked["id"], "result": {}}, self.pool)

    def test_install_may_ask_the_agent_and_what_comes_later_waits_for_it(self):
        self.begin()
        self.assertEqual(self.asked["method"], "loadModule")
        self.hear(3, "discover", {"backend": "cards"})
        self.assertEqual(self.calls, ["install"])
        self.driver.heard({"id": self.asked["id"], "result": {}}, self.pool)
        answers = {one["id"]: one for one in (self.next(), self.next())}
        self.assertEqual(answers[2].get("result"), {"status": "ready"})
        self.assertEqual(answers[3].get("result"), {"devices": [], "services": []})

    def test_what_waits_for_an_install_can_be_cancelled(self):
        self.begin()
        self.hear(3, "discover", {"backend": "cards"})
        self.driver.heard({"method": "$/cancelRequest", "params": {"id": 3}}, self.pool)
        self.assertEqual(self.next()["error"]["code"], cyborg_driver.CANCELLED)
        self.driver.heard({"id": self.asked["id"], "result": {}}, self.pool)
        self.assertEqual(self.next()["id"], 2)
        self.assertEqual(self.calls, ["install"])


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
