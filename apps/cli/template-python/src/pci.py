"""PCI cards of a host, from its sysfs: who they are, and who uses them. What cannot be seen counts as use."""

import os
import re

from cyborg_driver import METHOD_NOT_FOUND, Refusal

CONFIG_BYTES_MAX = 4096
TEXT_BYTES_MAX = 4096
ENTRIES_MAX = 4000
DEPTH_MAX = 8
NODES_MAX = 1024
SERIAL_CAPABILITY = 3
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
USER_DRIVER = re.compile(r".*vfio.*|uio.*|igb_uio|pci-stub|(?:xen-)?pciback")
CRYPTO_CLASSES = (0x0B, 0x10)  # coprocessors and encryption
STORAGE = re.compile(r"block|nvme\d*|scsi_host|ata\d+")


class Function:
    """One function: its folder in sysfs."""

    def __init__(self, root, address):
        self.address = address
        self.path = os.path.realpath(os.path.join(root, address))
        self.vendor = as_integer(self.text("vendor"))
        self.device = as_integer(self.text("device"))
        self.class_code = as_integer(self.text("class"))
        self.driver = self.link_name("driver")
        group = self.link_name("iommu_group")
        self.iommu_group = int(group) if group is not None and group.isdigit() else None
        node = as_integer(self.text("numa_node"))
        self.numa_node = node if node is not None and node >= 0 else None
        self.config = self.read("config", CONFIG_BYTES_MAX) or b""

    def read(self, name, bytes_max):
        """The file's bytes, None when it is not there, is no plain file (a FIFO would block), or cannot be read."""
        path = os.path.join(self.path, name)
        try:
            if not os.path.isfile(path):
                return None
            with open(path, "rb") as file:
                return file.read(bytes_max)
        except OSError:
            return None

    def text(self, name):
        content = self.read(name, TEXT_BYTES_MAX)
        if content is None:
            return None
        try:
            return content.decode("utf-8").strip()
        except UnicodeDecodeError:
            return None

    def link_name(self, name):
        try:
            return os.path.basename(os.readlink(os.path.join(self.path, name)))
        except OSError:
            return None

    @property
    def is_bridge(self):
        return self.class_code is not None and self.class_code >> 16 == 0x06

    @property
    def ids(self):
        return None if self.vendor is None or self.device is None else f"{self.vendor:04x}:{self.device:04x}"

    def attach_info(self):
        domain, bus, rest = self.address.split(":")
        device, function = rest.split(".")
        return {"domain": domain, "bus": bus, "device": device, "function": function}

    def serial(self):
        """Device Serial Number of the extended configuration space, as 16 digits; None where there is none."""
        at, seen = 0x100, set()
        while 0x100 <= at <= len(self.config) - 12 and at not in seen:
            seen.add(at)
            header = int.from_bytes(self.config[at : at + 4], "little")
            if header & 0xFFFF == SERIAL_CAPABILITY:
                number = int.from_bytes(self.config[at + 4 : at + 12], "little")
                return f"{number:016x}" if number & 0xFFFFFF not in (0, 0xFFFFFF) else None
            at = header >> 20
        return None


class Card:
    def __init__(self, function, key, serial, host_use, group_members):
        self.function = function
        self.key = key
        self.serial = serial
        self.host_use = host_use
        self.group_members = group_members


def as_integer(text):
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None


def find_cards(context, ids):
    """Physical functions with one of these ids (`8086:0b30`), by address."""
    root = os.path.join(context.roots["sysfs"], "bus/pci/devices")
    functions = {name: Function(root, name) for name in names_in(root) if ADDRESS.fullmatch(name)}
    chosen = [
        one
        for one in functions.values()
        if one.ids in ids and not os.path.lexists(os.path.join(one.path, "physfn"))
    ]
    groups = {one.address: group_of(context, one, functions) for one in chosen}
    uses = uses_of(context, {one.address: one for group in groups.values() for one in group})
    serials = serials_of(context, chosen)
    keys = keys_of(chosen, serials)
    return [
        Card(
            one,
            keys[one.address],
            serials[one.address],
            next((uses[other.address] for other in groups[one.address] if uses[other.address]), None),
            [other.address for other in groups[one.address] if other is not one],
        )
        for one in chosen
    ]


def names_in(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def group_of(context, function, functions):
    """The function, and what cannot be given to another guest than it: its IOMMU group, bridges aside."""
    folder = os.path.join(context.roots["sysfs"], "kernel/iommu_groups", str(function.iommu_group), "devices")
    names = names_in(folder) if function.iommu_group is not None else []
    others = [functions[name] for name in names if name in functions and name != function.address]
    return [function, *(one for one in others if not one.is_bridge)]


def serials_of(context, cards):
    """By address. The agent reads them, which a driver that is nobody may not; without one that does, what sysfs shows."""
    shown = {one.address: one.serial() for one in cards}
    if context.simulated or not cards:
        return shown
    answer = ask_or(context, "serialNumbers", None, addresses=list(shown))
    if answer is None:
        return shown
    told = {one["address"]: one["dsn"] for one in answer["functions"]}
    return {address: (told.get(address) or "").replace("-", "") or None for address in shown}


def keys_of(cards, serials):
    """By the serial number, so that a card keeps its key in another slot; one that two cards share names neither."""
    keys = {}
    for one in cards:
        serial = serials[one.address]
        ids = one.ids.replace(":", "-")
        is_unique = serial is not None and list(serials.values()).count(serial) == 1
        keys[one.address] = f"pci-{ids}-{serial}" if is_unique else f"pci-{one.address}-{ids}"
    return keys


def uses_of(context, functions):
    """What on the host uses each of the functions, None for what is free."""
    bound = set()
    if not context.simulated:
        bound = {one["address"] for one in ask_or(context, "listBound", {"functions": []})["functions"]}
    nodes = {}
    uses = {}
    for address, one in functions.items():
        given = address in bound and "vfio" in (one.driver or "")
        # A guest that got it from this agent is no use by the host.
        uses[address], nodes[address] = (None, []) if given else look_at(context, one)
    if not context.simulated and functions:
        ask_for_holders(context, uses, nodes)
    return uses


def ask_or(context, method, otherwise, **params):
    try:
        return context.ask(method, **params)
    except Refusal as refusal:
        if refusal.code == METHOD_NOT_FOUND:
            return otherwise
        raise


def look_at(context, function):
    """(use, device nodes) from the function's own folder."""
    if function.text("boot_vga") == "1":
        return "the boot display", []
    kinds, nodes, is_whole = walk(function.path)
    driver = function.driver
    if USER_DRIVER.fullmatch(driver or ""):
        return f"bound to {driver}, and not by this agent", []
    if not is_whole:
        return "unknown: its folder in sysfs is too large", []
    for interface in kinds["net"]:
        flags = as_integer(Function(interface, ".").text("flags"))
        if flags is None or flags & 1:
            return f"network interface {os.path.basename(interface)} is up", []
    if kinds["storage"]:
        return f"{os.path.basename(kinds['storage'][0])}: this driver does not know who uses storage", []
    if any(name.startswith("virtfn") for name in names_in(function.path)):
        return "it is divided into virtual functions", []
    if driver is not None and (function.class_code or 0) >> 16 in CRYPTO_CLASSES:
        return crypto_use(context, function), nodes
    return None, nodes


def crypto_use(context, function):
    """Algorithms of its driver that somebody (dm-crypt, IPsec) uses: more references than being registered gives."""
    try:
        with open(os.path.join(context.roots["proc"], "crypto"), encoding="utf-8") as file:
            entries = file.read().split("\n\n")
    except (OSError, UnicodeDecodeError):
        return None if context.simulated else "unknown: the kernel's table of crypto algorithms cannot be read"
    module = (function.link_name("driver/module") or function.driver).replace("-", "_")
    for entry in entries:
        fields = dict((part.strip() for part in line.split(":", 1)) for line in entry.split("\n") if ":" in line)
        if fields.get("module", "").replace("-", "_") == module and (as_integer(fields.get("refcnt")) or 0) > 1:
            return f'kernel crypto uses {fields.get("name")} of {module}'
    return None


def walk(path):
    """Network interfaces, storage and device nodes below a function; not those of functions behind it."""
    kinds = {"net": [], "storage": []}
    nodes, entries = [], 0
    for folder, folders, files in os.walk(path):
        depth = folder[len(path) :].count(os.sep)
        entries += len(folders) + len(files)
        if depth > DEPTH_MAX or entries > ENTRIES_MAX:
            return kinds, nodes, False
        folders[:] = [name for name in folders if not ADDRESS.fullmatch(name)]
        if os.path.basename(folder) == "net" and depth == 1:
            kinds["net"] += [os.path.join(folder, name) for name in folders]
        kinds["storage"] += [os.path.join(folder, name) for name in folders if STORAGE.fullmatch(name)]
        if "dev" in files:
            number = Function(folder, ".").text("dev")
            nodes.append(f"c{number}" if re.fullmatch(r"\d+:\d+", number or "") else "?")
    return kinds, nodes, True


def ask_for_holders(context, uses, nodes):
    """Processes that have one of the nodes open: only the agent sees all."""
    unasked = [address for address, names in nodes.items() if "?" in names]
    names = sorted({*nodes, *(name for some in nodes.values() for name in some if name != "?")})
    unknown = {"complete": False, "open": []}
    answer = unknown
    if len(names) <= NODES_MAX:
        answer = ask_or(context, "openNodes", unknown, nodes=names)
    holders = {one["node"]: f'{one["command"]} (pid {one["pid"]})' for one in answer["open"]}
    for address, own in nodes.items():
        if uses[address] is not None:
            continue
        held = next((name for name in (address, *own) if name in holders), None)
        if held is not None:
            uses[address] = f"{held} is open in {holders[held]}"
        elif own and (not answer["complete"] or address in unasked):
            uses[address] = f"unknown: not every process could be asked for {own[0]}"
