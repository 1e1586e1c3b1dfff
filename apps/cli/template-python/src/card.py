"""Kind `card`: each card of the family is one device that is given whole, by VFIO. Rarely touched."""

import family
import pci
from cyborg_driver import GONE, HOST_USE, UNSUPPORTED, Refusal


def discover(context):
    devices = [to_device(one, context) for one in pci.find_cards(context, context.config["ids"])]
    service = {
        "name": family.SERVICE,
        "kind": "function",
        "state": "up",
        "reason": None,
        "accelerators_total": len(devices),
        "accelerators_offered": sum(device["offered"] for device in devices),
    }
    return {"devices": devices, "services": [service]}


def to_device(card, context):
    function = card.function
    health = family.health_of(function)
    reason = reason_of(card, health, context)
    accelerator = {
        "key": card.key,
        "name": f"{family.TYPE.lower()}-{function.address}",
        "type": family.TYPE,
        "plans": ["pci"],
        "offered": reason is None,
        "reason": reason,
        "host_use": card.host_use,
        "attach_info": function.attach_info(),
        "iommu_group": function.iommu_group,
        "group_members": card.group_members,
    }
    deployable = {
        "key": card.key,
        "name": f'{context.host["node_name"]}_{function.address}'[:255],
        "resource_class": family.RESOURCE_CLASS,
        "traits": family.TRAITS,
        "accelerators": [accelerator],
    }
    return {
        "key": card.key,
        "address": function.address,
        "vendor_id": function.text("vendor"),
        "device_id": function.text("device"),
        "class": function.text("class"),
        "type": family.TYPE,
        "vendor": family.VENDOR,
        "model": family.MODEL,
        "serial": card.serial,
        "numa_node": function.numa_node,
        "iommu_group": function.iommu_group,
        "kernel_driver": function.driver,
        "offered": reason is None,
        "reason": reason,
        "health": health,
        "info": family.info_of(function),
        "deployables": [deployable],
    }


def reason_of(card, health, context):
    """Why a card is not given out; None: it is."""
    if card.host_use is not None:
        return f"in use by the host: {card.host_use}"[:1024]
    if health["status"] == "failed":
        return health["reason"]
    if card.function.iommu_group is None and not context.simulated:
        return "no IOMMU group"
    return None


def health(context):
    cards = pci.find_cards(context, context.config["ids"])
    return {card.key: family.health_of(card.function) for card in cards}


def find(context, key):
    for card in pci.find_cards(context, context.config["ids"]):
        if card.key == key:
            return card
    raise Refusal(GONE, f"backend {context.backend} has no accelerator {key}")


def prepare(context, order):
    card = find(context, order["accelerator"])
    address = card.function.address
    if card.host_use is not None:
        raise Refusal(HOST_USE, f"{address}: {card.host_use}")
    if "pci" not in order["plugs"]:
        raise Refusal(UNSUPPORTED, f"{card.key} is a PCI function; this instance plugs none")
    if not context.simulated:
        context.ask("bind", address=address, kernel_driver="vfio-pci", unbind=[address])
        context.inventory_changed()
    return {"kind": "pci", "address": address}


def release(_context, _order):
    """The card stays on vfio-pci until it is clean: no driver of the host is to meet what a guest left in it."""


def clean(context, order):
    address = find(context, order["accelerator"]).function.address
    if context.simulated:
        return ["simulated"]
    method = context.ask("reset", address=address).get("method", "the kernel")
    context.ask("restore", address=address)
    context.inventory_changed()
    return [f"reset by {method}", "put back as it was found"]
