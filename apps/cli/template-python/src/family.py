"""What is special about these cards. Their ids are in manifest.json: default of `ids`."""

# Of the device, the deployable and the accelerator, in the API's and in Placement's words.
TYPE = "FPGA"
VENDOR = "Intel Corporation"
MODEL = "FPGA card"
RESOURCE_CLASS = "FPGA"
TRAITS = ["CUSTOM_FPGA_INTEL"]
SERVICE = "fpga.compute"


def info_of(function):
    """More facts for people, text by name. `function.text(name)` reads one file of the card's folder in sysfs."""
    names = ("current_link_speed", "current_link_width", "reset_method", "revision")
    facts = {name: function.text(name) for name in names}
    return {name: text for name, text in facts.items() if text}


def health_of(function):
    """`failed` with a reason withholds the card. A card that fell off the bus reads all ones."""
    if function.config[:4] != b"\xff\xff\xff\xff":
        return {"status": "healthy", "reason": None}
    return {"status": "failed", "reason": "the card does not answer on the bus"}
