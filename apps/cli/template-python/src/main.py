#!/usr/bin/env python3
"""The driver DRIVER_NAME: manifest.json says who it is, card.py what its cards can do, family.py what is special about them."""

import json
import pathlib

import card
import cyborg_driver

if __name__ == "__main__":
    manifest = pathlib.Path(__file__).resolve().parent.parent / "manifest.json"
    cyborg_driver.serve(json.loads(manifest.read_text("utf-8")), {"card": card})
