#!/usr/bin/env python3
"""A driver in another language, from docs/reference/driver-protocol.md alone: the standard library, one file.

Kind `entropy`: software accelerators that a hypervisor makes for each guest (virtio-rng). They keep nothing on the host,
so every request can be answered by a process that has just been started.
"""

import json
import os
import sys

VERSION = "0.1.0"
PROTOCOL = "1"
FRAME_BYTES_MAX = 8 * 1024 * 1024
LOG_CHARACTERS_MAX = 4096

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603
GONE, TRANSIENT, INVALID, UNSUPPORTED, HOST_USE = 4001, 4002, 4003, 4004, 4005

CONFIG_SCHEMA = {
    "type": "object",
    "properties": {
        "count": {
            "type": "integer",
            "minimum": 1,
            "maximum": 64,
            "default": 2,
            "description": "How many accelerators there are.",
        },
        "source": {
            "enum": ["/dev/hwrng", "/dev/urandom"],
            "default": "/dev/urandom",
            "description": "Host file that gives the entropy.",
        },
    },
    "additionalProperties": False,
}


class Refusal(Exception):
    """An expected failure; the agent acts by its code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


# --- Frames. Bytes, not characters: text streams would count and translate them.

def read_frame(stream):
    """The next message, or None when the agent is gone."""
    length = None
    while True:
        line = stream.readline()
        if not line.endswith(b"\r\n"):
            return None  # the end, or half a header
        if line == b"\r\n":
            break
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    if length is None or length > FRAME_BYTES_MAX:
        raise ValueError(f"a frame with Content-Length {length}")
    body = stream.read(length)  # waits for all of it
    return json.loads(body) if len(body) == length else None


def write_frame(stream, message):
    body = json.dumps(message, ensure_ascii=False).encode("utf-8")
    stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    stream.flush()


# --- Parameters.

def is_text(value):
    return isinstance(value, str) and 0 < len(value) <= 255


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_flag(value):
    return isinstance(value, bool)


def is_spec(value):
    return (
        isinstance(value, dict)
        and is_text(value.get("name"))
        and is_text(value.get("kind"))
        and isinstance(value.get("config"), dict)
    )


def is_list_of(is_item):
    return lambda value: isinstance(value, list) and all(is_item(item) for item in value)


TARGET = {"backend": is_text, "accelerator": is_text, "epoch": is_integer}
PARAMS = {
    "initialize": {"protocol_versions": is_list_of(is_text), "backends": is_list_of(is_spec)},
    "install": {"backend": is_spec, "dry_run": is_flag},
    "uninstall": {"backend": is_text, "dry_run": is_flag},
    "discover": {"backend": is_text},
    "prepare": {**TARGET, "attachment": is_text, "instance": is_text, "plugs": is_list_of(is_text)},
    "release": {**TARGET, "attachment": is_text},
    "clean": TARGET,
    "health": {"backend": is_text},
    "shutdown": {},
}


def check_params(method, params):
    if not isinstance(params, dict):
        raise Refusal(INVALID_PARAMS, f"params of {method} must be an object")
    for key, is_right in PARAMS[method].items():
        if not is_right(params.get(key)):
            raise Refusal(INVALID_PARAMS, f"params.{key} of {method} is {params.get(key)!r}")


def parse_config(spec):
    """The configuration with its defaults. Refuses what the schema refuses."""
    if spec["kind"] != "entropy":
        raise Refusal(INVALID, f'backend {spec["name"]}: kind is "{spec["kind"]}"; there is entropy')
    config = spec["config"]
    for key in config:
        if key not in CONFIG_SCHEMA["properties"]:
            raise Refusal(INVALID, f"config.{key} is not known; there are count and source")
    count = config.get("count", 2)
    if not is_integer(count) or not 1 <= count <= 64:
        raise Refusal(INVALID, f"config.count is {count!r}; it must be an integer from 1 to 64")
    source = config.get("source", "/dev/urandom")
    if source not in CONFIG_SCHEMA["properties"]["source"]["enum"]:
        raise Refusal(INVALID, f"config.source is {source!r}; it must be /dev/hwrng or /dev/urandom")
    return {"count": count, "source": source}


# --- The driver.

class Driver:
    def __init__(self, notify):
        self.notify = notify
        self.host = None
        self.backends = {}
        self.epochs = {}  # the highest seen, by backend and accelerator

    def log(self, level, message):
        self.notify("log", {"level": level, "message": message[:LOG_CHARACTERS_MAX]})

    def answer(self, method, params):
        if method not in PARAMS:
            raise Refusal(METHOD_NOT_FOUND, f"sample-python has no {method}")
        check_params(method, params)
        if self.host is None and method not in ("initialize", "shutdown"):
            raise Refusal(INVALID, "initialize must come first")
        if "epoch" in PARAMS[method]:
            self.check_epoch(params)
        return getattr(self, method)(params)

    def check_epoch(self, params):
        """What a newer order has overtaken is not carried out."""
        self.config_of(params)
        target = (params["backend"], params["accelerator"])
        highest = self.epochs.get(target, 0)
        if params["epoch"] < highest:
            raise Refusal(INVALID, f'epoch {params["epoch"]} of {target[1]} is older than {highest}')
        self.epochs[target] = params["epoch"]

    def initialize(self, params):
        if PROTOCOL not in params["protocol_versions"]:
            offered = ", ".join(params["protocol_versions"])
            raise Refusal(UNSUPPORTED, f"sample-python speaks protocol {PROTOCOL}, not {offered}")
        self.host = params["host"]["name"]
        for spec in params["backends"]:
            try:
                self.backends[spec["name"]] = parse_config(spec)
            except Refusal as refusal:  # harms this backend alone
                self.log("error", f'backend {spec["name"]} is not started: {refusal}')
        kind = {
            "kind": "entropy",
            "title": "Entropy for guests: virtio-rng from a file of the host",
            "config_schema": CONFIG_SCHEMA,
            "delegable": ["count"],
        }
        return {
            "protocol_version": PROTOCOL,
            "driver": {"id": "sample-python", "version": VERSION},
            "capabilities": ["health"],
            "kinds": [kind],
        }

    def install(self, params):
        spec = params["backend"]
        config = parse_config(spec)
        if not params["dry_run"]:
            self.backends[spec["name"]] = config
        return {"status": "ready"}

    def uninstall(self, params):
        if not params["dry_run"]:
            name = params["backend"]
            self.backends.pop(name, None)
            self.epochs = {key: epoch for key, epoch in self.epochs.items() if key[0] != name}
        return {"status": "ready"}

    def config_of(self, params):
        config = self.backends.get(params["backend"])
        if config is None:
            raise Refusal(INVALID, f'backend "{params["backend"]}" is not installed')
        return config

    def keys_of(self, params):
        return [f"entropy-{number}" for number in range(self.config_of(params)["count"])]

    def discover(self, params):
        keys = self.keys_of(params)
        accelerators = [
            {
                "key": key,
                "name": key,
                "type": "ENTROPY",
                "plans": ["virtio-rng"],
                "offered": True,
                "reason": None,
                "host_use": None,
                "attach_info": {},
            }
            for key in keys
        ]
        deployable = {
            "key": "entropy",
            "name": f'{self.host}_{params["backend"]}_entropy',
            "resource_class": "CUSTOM_CYBORG_ENTROPY",
            "traits": ["OWNER_CYBORG"],
            "accelerators": accelerators,
        }
        nothing = ("address", "vendor_id", "device_id", "class", "vendor", "serial")
        nowhere = ("numa_node", "iommu_group", "kernel_driver")
        device = {
            **{name: None for name in nothing + nowhere},
            "key": "entropy",
            "type": "ENTROPY",
            "model": "virtio-rng",
            "offered": True,
            "reason": None,
            "health": {"status": "healthy", "reason": None},
            "info": {},
            "deployables": [deployable],
        }
        service = {
            "name": "random.entropy",
            "kind": "function",
            "state": "up",
            "reason": None,
            "accelerators_total": len(keys),
            "accelerators_offered": len(keys),
        }
        return {"devices": [device], "services": [service]}

    def prepare(self, params):
        config = self.config_of(params)
        if params["accelerator"] not in self.keys_of(params):
            raise Refusal(GONE, f'there is no accelerator {params["accelerator"]}')
        if "virtio-rng" not in params["plugs"]:
            raise Refusal(UNSUPPORTED, f'{params["accelerator"]} needs virtio-rng')
        return {"plan": {"kind": "virtio-rng", "source": config["source"]}}

    def release(self, params):
        self.config_of(params)  # `prepare` keeps nothing, so there is nothing to undo
        return {}

    def clean(self, params):
        self.config_of(params)
        return {"evidence": ["made anew by the hypervisor for each guest: nothing to clean"]}

    def health(self, params):
        source = self.config_of(params)["source"]
        if os.path.exists(source):
            health = {"status": "healthy", "reason": None}
        else:
            health = {"status": "failed", "reason": f"{source} is missing"}
        return {key: health for key in self.keys_of(params)}

    def shutdown(self, _params):
        return {}


def main():
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not come between the frames

    def send(message):
        write_frame(answers, {"jsonrpc": "2.0", **message})

    driver = Driver(lambda method, params: send({"method": method, "params": params}))
    while True:
        message = read_frame(requests)
        if message is None:
            return
        if "id" not in message or "method" not in message:
            continue  # notifications ($/cancelRequest comes when the answer is out already) and answers
        method = message["method"]
        try:
            send({"id": message["id"], "result": driver.answer(method, message.get("params"))})
        except Refusal as refusal:
            send({"id": message["id"], "error": {"code": refusal.code, "message": str(refusal)}})
        except Exception as error:  # a bug of ours: the agent is told, and the driver goes on
            text = f"{method} failed: {error!r}"
            send({"id": message["id"], "error": {"code": INTERNAL, "message": text}})
        if method == "shutdown":
            return


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        pass  # the agent is gone
