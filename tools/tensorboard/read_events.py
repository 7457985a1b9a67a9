#!/usr/bin/env python3
"""Reads TensorBoard event files by the formats' descriptions alone: TFRecord framing,
CRC-32C from its polynomial, Protobuf's wire format. Holds their scalars against a run's
metrics.jsonl and their histograms against its histograms.jsonl.

usage: read_events.py EVENTS RUN
"""
import json
import struct
import sys


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc_table()


def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        length, length_crc = struct.unpack_from("<QI", data, at)
        assert masked_crc(data[at:at + 8]) == length_crc, f"length's checksum at {at}"
        body = data[at + 12:at + 12 + length]
        assert len(body) == length, f"record cut off at {at}"
        (body_crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert masked_crc(body) == body_crc, f"record's checksum at {at}"
        yield body
        at += 16 + length


def fields(data):
    """Pairs of field number and value: int, or bytes for all that is longer."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}[kind] if kind != 2 else varint()
        yield number, data[at:at + size]
        at += size


def read(path):
    scalars, histograms, times = {}, {}, []
    for n, record in enumerate(records(path)):
        event = dict(fields(record))
        times.append(struct.unpack("<d", event[1])[0])
        if n == 0:
            assert event[3] == b"brain.Event:2", event
            continue
        step = event.get(2, 0)
        for _, value in fields(event[5]):
            parts = dict(fields(value))
            place = parts[1].decode(), step
            if 2 in parts:
                assert place not in scalars, place
                (scalars[place],) = struct.unpack("<f", parts[2])
            else:
                histograms[place] = dict(fields(parts[5]))
    assert times == sorted(times), "time goes backwards"
    return scalars, histograms


def lines(path):
    return [json.loads(line) for line in open(path)]


def prefix(line):
    return "/".join([line["stage"]] + ([line["layer"]] if "layer" in line else []))


def single(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def main():
    events, run = sys.argv[1:]
    scalars, histograms = read(events)
    wanted = {}
    epoch = 0
    for line in lines(f"{run}/metrics.jsonl"):
        epoch = line.get("epoch", epoch)
        for name, value in line.items():
            if name != "epoch" and type(value) in (int, float):
                wanted[f"{prefix(line)}/{name}", epoch] = single(value)
    assert wanted and scalars == wanted, set(scalars.items()) ^ set(wanted.items())
    found = 0
    for line in lines(f"{run}/histograms.jsonl"):
        for one in line["histograms"]:
            got = histograms[f"{prefix(line)}/{one['kind']}s/{one['name']}", line["epoch"]]
            counts = struct.unpack(f"<{len(got[7]) // 8}d", got[7])
            limits = struct.unpack(f"<{len(got[6]) // 8}d", got[6])
            assert list(counts) == one["counts"], one["name"]
            assert list(limits) == sorted(limits)
            assert abs(limits[-1] - one["high"]) < 1e-6 * max(1, abs(one["high"]))
            assert struct.unpack("<d", got[3])[0] == sum(one["counts"])
            found += 1
    assert found == len(histograms) > 0
    print(f"{len(scalars)} scalars, {found} histograms")


if __name__ == "__main__":
    main()
