"""The driver protocol, version 1 (docs/reference/driver-protocol.md), with Python's standard library. Rarely touched.

A kind of backend is a module or object with the functions `discover(context)`, `prepare(context, order)`,
`release(context, order)`, `clean(context, order)`, and, where it has them, `install(context, dry_run)`,
`uninstall(context, dry_run)`, `health(context)`, `stats(context)` and `update(context, order, tell)`. Acts on different
accelerators run at the same time, each in a thread.

`update` writes the file `order["image"]` into the card: its bytes have been checked, and nobody holds a part of the card.
`tell(percent)` says how far it is; between two pieces it calls `context.check_cancelled()`, at least every few seconds.
"""

import concurrent.futures
import copy
import hashlib
import json
import os
import re
import sys
import threading
import traceback

PROTOCOL = "1"
FRAME_BYTES_MAX = 8 * 1024 * 1024
LOG_CHARACTERS_MAX = 4096
WORKERS_MAX = 32
ANSWER_SECONDS_MAX = 50
PIECE_BYTES = 1024 * 1024
KIND_FIELDS = ("kind", "title", "config_schema", "delegable")  # the manifest may say more of a kind: what it needs

METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL, CANCELLED = -32601, -32602, -32603, -32800
GONE, TRANSIENT, INVALID, UNSUPPORTED, HOST_USE = 4001, 4002, 4003, 4004, 4005


class Refusal(Exception):
    """An expected failure; the agent acts by its code. The message is a sentence for operators."""

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


# --- Checks of what comes in: the part of JSON Schema that parameters and configurations need.


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": is_integer,
    "number": lambda value: is_integer(value) or isinstance(value, float),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def problem(schema, value, at):
    """What is wrong, or None."""
    if "enum" in schema and value not in schema["enum"]:
        return f'{at} is {value!r}; it must be one of {schema["enum"]}'
    if "type" in schema and not TYPES[schema["type"]](value):
        return f'{at} is {value!r}; it must be of type {schema["type"]}'
    if isinstance(value, str):
        return problem_of_size(schema, len(value), ("minLength", "maxLength"), at) or problem_of_pattern(
            schema, value, at
        )
    if TYPES["number"](value):
        return problem_of_size(schema, value, ("minimum", "maximum"), at)
    if isinstance(value, list):
        items = [problem(schema.get("items", {}), one, f"{at}[{i}]") for i, one in enumerate(value)]
        size = problem_of_size(schema, len(value), ("minItems", "maxItems"), at)
        return size or next((one for one in items if one), None)
    return problem_of_members(schema, value, at) if isinstance(value, dict) else None


def problem_of_size(schema, size, names, at):
    low, high = (schema.get(name) for name in names)
    if low is not None and size < low:
        return f"{at} is too small: {names[0]} is {low}"
    if high is not None and size > high:
        return f"{at} is too large: {names[1]} is {high}"
    return None


def problem_of_pattern(schema, value, at):
    pattern = schema.get("pattern")
    is_fine = pattern is None or re.search(pattern, value)
    return None if is_fine else f"{at} is {value!r}; it must match {pattern}"


def problem_of_members(schema, value, at):
    members = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            return f"{at}.{name} is missing"
    for name, one in value.items():
        if name in members:
            found = problem(members[name], one, f"{at}.{name}")
            if found:
                return found
        elif schema.get("additionalProperties") is False:
            return f'{at}.{name} is not known; there are {", ".join(members) or "none"}'
    return None


TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
PATH = {"type": "string", "minLength": 1, "maxLength": 4096}
TEXTS = {"type": "array", "items": TEXT}
FLAG = {"type": "boolean"}
SPEC = {
    "type": "object",
    "required": ["name", "kind", "config"],
    "properties": {"name": TEXT, "kind": TEXT, "config": {"type": "object"}},
}
TARGET = {"backend": TEXT, "accelerator": TEXT, "epoch": {"type": "integer"}}
PARAMS = {
    "initialize": {"protocol_versions": TEXTS, "backends": {"type": "array", "items": SPEC}},
    "install": {"backend": SPEC, "dry_run": FLAG},
    "uninstall": {"backend": TEXT, "dry_run": FLAG},
    "discover": {"backend": TEXT},
    "prepare": {**TARGET, "attachment": TEXT, "instance": TEXT, "plugs": TEXTS},
    "release": {**TARGET, "attachment": TEXT},
    "clean": TARGET,
    "update": {**TARGET, "image": PATH, "sha256": TEXT},
    "stats": {"backend": TEXT},
    "health": {"backend": TEXT},
    "shutdown": {},
}


class Backend:
    def __init__(self, name, kind, config):
        self.name = name
        self.kind = kind
        self.config = config
        self.epochs = {}  # the highest seen, by accelerator
        self.prepared = {}  # the attachment, by accelerator
        self.cards = {}  # the device, by accelerator


class Context:
    """One call for one backend."""

    def __init__(self, driver, backend, request_id):
        self.backend = backend.name
        self.config = backend.config
        self.host = driver.greeting["host"]
        self.roots = driver.greeting["roots"]
        self.simulated = driver.greeting["simulated"]
        self.state_dir = driver.greeting["state_dir"]
        self._driver = driver
        self._request_id = request_id

    def ask(self, method, **params):
        """Asks the agent for what a driver may not do itself. Raises Refusal."""
        return self._driver.ask(self._request_id, method, {"backend": self.backend, **params})

    def check_cancelled(self):
        """Raises Refusal once the agent wants no more of this `update`."""
        cancelled = self._driver.updates.get(self._request_id)
        if cancelled is not None and cancelled.is_set():
            raise Refusal(CANCELLED, "cancelled")

    def inventory_changed(self):
        self._driver.notify("inventoryChanged", {"backend": self.backend})

    def health_changed(self):
        self._driver.notify("healthChanged", {"backend": self.backend})

    def log(self, level, message):
        self._driver.log(level, message)


class Driver:
    def __init__(self, manifest, kinds, stream):
        self.manifest = manifest
        self.kinds = kinds
        self.stream = stream
        self.greeting = None
        self.backends = {}
        self.lock = threading.Lock()  # of backends and what they remember
        self.writing = threading.Lock()
        self.asked = {}  # by id: who asked, and where the answer goes
        self.last_id = 0
        self.updates = {}  # by request: whether it was cancelled
        self.settled = {}  # by backend: its last `install` or `uninstall`, for which later requests wait

    # --- what goes out

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False).encode("utf-8")
        with self.writing:
            self.stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.stream.flush()

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def log(self, level, message):
        self.notify("log", {"level": level, "message": message[:LOG_CHARACTERS_MAX]})

    def ask(self, request_id, method, params):
        answer = concurrent.futures.Future()
        with self.lock:
            self.last_id += 1
            own_id = self.last_id
            self.asked[own_id] = (request_id, answer)
        self.send({"id": own_id, "method": method, "params": params})
        try:
            message = answer.result(timeout=ANSWER_SECONDS_MAX)
        except concurrent.futures.TimeoutError:
            raise Refusal(TRANSIENT, f"the agent did not answer {method} in time") from None
        finally:
            self.asked.pop(own_id, None)
        if "error" in message:
            raise Refusal(message["error"]["code"], message["error"]["message"])
        return message["result"]

    # --- what comes in

    def heard(self, message, pool):
        """False when that was the last."""
        method = message.get("method")
        if method is None:
            _, answer = self.asked.get(message.get("id"), (None, None))
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif "id" not in message:
            if method == "$/cancelRequest":
                self.cancelled(message.get("params") or {})
        elif method in ("initialize", "shutdown"):
            self.serve_one(message)  # these ask the agent for nothing
        else:
            self.begin(message, pool)
        return method != "shutdown"

    def begin(self, message, pool):
        """Off the thread that hears the agent's answers, whatever asks for them."""
        method, request_id = message["method"], message["id"]
        if method == "update":  # known before a cancellation of it can be heard
            self.updates[request_id] = threading.Event()
        name = backend_of(message.get("params"))
        before = self.settled.get(name)
        turn = None
        if before is not None and not before.done():
            turn = concurrent.futures.Future()
            self.asked[("turn", request_id)] = (request_id, turn)  # a cancellation ends the wait
        work = pool.submit(self.serve_one, message, before, turn)
        if method in ("install", "uninstall") and name is not None:
            self.settled[name] = work

    def cancelled(self, params):
        """What waits for the agent is answered at once, an update when it looks; anything else is about to be."""
        update = self.updates.get(params.get("id"))
        if update is not None:
            update.set()
        error = {"error": {"code": CANCELLED, "message": "cancelled"}}
        for request_id, answer in list(self.asked.values()):
            if request_id == params.get("id") and not answer.done():
                answer.set_result(error)

    def serve_one(self, message, before=None, turn=None):
        method, request_id = message["method"], message["id"]
        try:
            if turn is not None:
                self.await_turn(request_id, before, turn)
            result = self.answer(method, message.get("params"), request_id)
            self.send({"id": request_id, "result": result})
        except Refusal as refusal:
            self.send({"id": request_id, "error": {"code": refusal.code, "message": str(refusal)}})
        except Exception as error:  # a bug of ours: the agent is told, and the driver goes on
            text = f"{method} failed: {error!r}"
            print(f"{text}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            self.send({"id": request_id, "error": {"code": INTERNAL, "message": text}})
        finally:
            self.updates.pop(request_id, None)

    def await_turn(self, request_id, before, turn):
        """Until the backend is installed or uninstalled, as was asked earlier."""
        try:
            concurrent.futures.wait((before, turn), return_when=concurrent.futures.FIRST_COMPLETED)
        finally:
            self.asked.pop(("turn", request_id), None)
        if turn.done():
            raise Refusal(CANCELLED, "cancelled")

    def answer(self, method, params, request_id):
        if method not in PARAMS:
            raise Refusal(METHOD_NOT_FOUND, f'{self.manifest["id"]} has no {method}')
        schema = {"type": "object", "required": list(PARAMS[method]), "properties": PARAMS[method]}
        wrong = problem(schema, params, "params")
        if wrong:
            raise Refusal(INVALID_PARAMS, wrong)
        if self.greeting is None and method not in ("initialize", "shutdown"):
            raise Refusal(INVALID, "initialize must come first")
        own = getattr(self, f"do_{method}", None)
        return own(params, request_id) if own else self.optional(method, params, request_id)

    def do_initialize(self, params, _id):
        if PROTOCOL not in params["protocol_versions"]:
            raise Refusal(UNSUPPORTED, f"it speaks protocol {PROTOCOL}")
        self.greeting = params
        for spec in params["backends"]:
            try:
                self.put(spec)
            except Refusal as refusal:  # harms this backend alone
                self.log("error", f'backend {spec["name"]} is not started: {refusal}')
        optional = ("update", "stats", "health")
        kinds = self.kinds.values()
        return {
            "protocol_version": PROTOCOL,
            "driver": {"id": self.manifest["id"], "version": self.manifest["version"]},
            "capabilities": [name for name in optional if any(hasattr(kind, name) for kind in kinds)],
            "kinds": [{name: one[name] for name in KIND_FIELDS if name in one} for one in self.manifest["kinds"]],
        }

    def parse(self, spec):
        found = next((one for one in self.manifest["kinds"] if one["kind"] == spec["kind"]), None)
        if found is None or spec["kind"] not in self.kinds:
            known = ", ".join(self.kinds)
            raise Refusal(INVALID, f'backend {spec["name"]}: kind is "{spec["kind"]}"; there is {known}')
        members = found["config_schema"].get("properties", {})
        defaults = {name: one["default"] for name, one in members.items() if "default" in one}
        config = {**copy.deepcopy(defaults), **spec["config"]}
        wrong = problem(found["config_schema"], config, "config")
        if wrong:
            raise Refusal(INVALID, wrong)
        return Backend(spec["name"], self.kinds[spec["kind"]], config)

    def put(self, spec):
        backend = self.parse(spec)
        with self.lock:
            before = self.backends.get(backend.name)
            if before:
                backend.epochs, backend.prepared, backend.cards = before.epochs, before.prepared, before.cards
            self.backends[backend.name] = backend

    def do_install(self, params, request_id):
        backend = self.parse(params["backend"])
        install = getattr(backend.kind, "install", None)
        answer = install(Context(self, backend, request_id), params["dry_run"]) if install else None
        if not params["dry_run"]:
            self.put(params["backend"])
        return answer or {"status": "ready"}

    def do_uninstall(self, params, request_id):
        backend = self.backends.get(params["backend"])
        uninstall = getattr(backend.kind, "uninstall", None) if backend else None
        answer = uninstall(Context(self, backend, request_id), params["dry_run"]) if uninstall else None
        if not params["dry_run"]:
            with self.lock:
                self.backends.pop(params["backend"], None)
        return answer or {"status": "ready"}

    def enter(self, params, request_id):
        backend = self.backends.get(params["backend"])
        if backend is None:
            raise Refusal(INVALID, f'backend "{params["backend"]}" is not installed')
        if "epoch" in params:
            self.fence(backend, params)
        return backend, Context(self, backend, request_id)

    def fence(self, backend, params):
        """What a newer order has overtaken is not carried out."""
        with self.lock:
            key, epoch = params["accelerator"], params["epoch"]
            highest = backend.epochs.get(key, epoch)
            if epoch < highest:
                raise Refusal(INVALID, f"epoch {epoch} of {key} is older than {highest}")
            backend.epochs[key] = epoch

    def do_discover(self, params, request_id):
        backend, context = self.enter(params, request_id)
        inventory = backend.kind.discover(context)
        parts = [(device["key"], part) for device in inventory["devices"] for part in device["deployables"]]
        cards = {one["key"]: card for card, part in parts for one in part["accelerators"]}
        with self.lock:  # what comes back may be another ledger's
            backend.cards = cards
            backend.epochs = {key: one for key, one in backend.epochs.items() if key in cards}
            backend.prepared = {key: one for key, one in backend.prepared.items() if key in cards}
        return inventory

    def do_prepare(self, params, request_id):
        backend, context = self.enter(params, request_id)
        plan = backend.kind.prepare(context, params)
        with self.lock:
            backend.prepared[params["accelerator"]] = params["attachment"]
        return {"plan": plan}

    def do_release(self, params, request_id):
        backend, context = self.enter(params, request_id)
        backend.kind.release(context, params)
        with self.lock:
            if backend.prepared.get(params["accelerator"]) == params["attachment"]:
                del backend.prepared[params["accelerator"]]
        return {}

    def do_clean(self, params, request_id):
        backend, context = self.enter(params, request_id)
        evidence = backend.kind.clean(context, params)
        with self.lock:
            backend.prepared.pop(params["accelerator"], None)
        return {"evidence": evidence}

    def do_update(self, params, request_id):
        backend, context = self.enter(params, request_id)
        update = getattr(backend.kind, "update", None)
        if update is None:
            raise Refusal(UNSUPPORTED, f"backend {backend.name} has no update")
        key, told = params["accelerator"], [0]
        self.check_unheld(backend, key)
        check_image(context, params)

        def tell(percent):
            told[0] = max(told[0], min(100, int(percent)))
            progress = {"backend": backend.name, "accelerator": key, "percent": told[0]}
            self.notify("updateProgress", progress)

        update(context, params, tell)
        return {}

    def check_unheld(self, backend, key):
        """No image is written into a card of which a part is prepared."""
        with self.lock:
            card = backend.cards.get(key)
            for other, attachment in backend.prepared.items():
                if other == key or (card is not None and backend.cards.get(other) == card):
                    raise Refusal(HOST_USE, f"{other} is prepared for attachment {attachment}")

    def optional(self, method, params, request_id):
        backend, context = self.enter(params, request_id)
        function = getattr(backend.kind, method, None)
        if function is None:
            raise Refusal(UNSUPPORTED, f"backend {backend.name} has no {method}")
        return function(context)

    def do_shutdown(self, _params, _id):
        return {}


def backend_of(params):
    """The backend that a request is about, None where it names none."""
    named = params.get("backend") if isinstance(params, dict) else None
    name = named.get("name") if isinstance(named, dict) else named
    return name if isinstance(name, str) else None


def check_image(context, order):
    """The bytes that were ordered, and no others. Raises Refusal: nothing was touched then."""
    image, found = order["image"], hashlib.sha256()
    try:
        with open(image, "rb") as file:
            for piece in iter(lambda: file.read(PIECE_BYTES), b""):
                context.check_cancelled()
                found.update(piece)
    except OSError as error:
        raise Refusal(INVALID, f"image {image} cannot be read: {error}") from None
    if found.hexdigest() != order["sha256"]:
        raise Refusal(INVALID, f'image {image} has SHA-256 {found.hexdigest()}, not {order["sha256"]}')


def serve(manifest, kinds):
    """Answers the agent until it says `shutdown` or is gone, then ends the process."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not come between the frames
    driver = Driver(manifest, kinds, answers)
    pool = concurrent.futures.ThreadPoolExecutor(WORKERS_MAX)
    try:
        while True:
            message = read_frame(requests)
            if message is None or not driver.heard(message, pool):
                break
    except BrokenPipeError:
        pass  # the agent is gone
    sys.stderr.flush()
    os._exit(0)  # threads that still work have nobody to answer
