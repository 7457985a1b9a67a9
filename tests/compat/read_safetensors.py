"""Reads a safetensors file by the format's specification, with nothing of Tamer's.

Prints a line for each tensor: its name, type, shape, and the sum of its elements.
"""

import array
import json
import struct
import sys


def main(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    end = 0
    for name, entry in sorted(header.items(), key=lambda e: e[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        assert begin == end, "the format allows no holes"
        end = stop
        code = {"F32": "f", "I32": "i", "U8": "B", "I8": "b"}[entry["dtype"]]
        values = array.array(code, data[begin:stop])
        count = 1
        for dim in entry["shape"]:
            count *= dim
        assert len(values) == count, name
        print(name, entry["dtype"], entry["shape"], "%.6f" % sum(values))
    assert end == len(data), "the format allows no rest"


main(sys.argv[1])
