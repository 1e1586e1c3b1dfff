"""vmlinux.py VMLINUZ OUT - takes the ELF kernel out of a bzImage.

Where the payload lies stands in the boot header (Linux, Documentation/arch/x86/boot.rst: setup_sects at 0x1f1,
payload_offset at 0x248, payload_length at 0x24c).
"""
import struct
import subprocess
import sys

UNPACKERS = {
    b"\xfd7zXZ": ["xz", "-dc"],
    b"\x28\xb5\x2f\xfd": ["zstd", "-dc"],
    b"\x1f\x8b": ["gzip", "-dc"],
    b"\x02\x21\x4c\x18": ["lz4", "-dc"],
}

source, out = sys.argv[1:]
with open(source, "rb") as file:
    image = file.read()
if image[0x202:0x206] != b"HdrS":
    sys.exit(f"{source} is not a bzImage")
start = ((image[0x1F1] or 4) + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
payload = image[start : start + struct.unpack_from("<I", image, 0x24C)[0]]
unpacker = next((command for magic, command in UNPACKERS.items() if payload.startswith(magic)), None)
kernel = subprocess.run(unpacker, input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout if unpacker else payload
if not kernel.startswith(b"\x7fELF"):
    sys.exit(f"there is no ELF kernel in {source}")
with open(out, "wb") as file:
    file.write(kernel)
