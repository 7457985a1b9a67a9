"""A slow, lossy link between a host and a bridge, for kernels without netem.

usage: slow_link.py NAMESPACE ADDRESS/PREFIX BRIDGE DELAY_MS LOSS_PERCENT

Makes eth0 in the namespace and a port of the bridge, both tap devices, and carries
Ethernet frames between them, each after the delay; of a hundred, as many as asked for
are lost, by a fixed seed. Prints "ready" once the link is up, and at its end how many
frames it carried and lost.
"""

import collections
import fcntl
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def main():
    namespace, address, bridge, delay, loss = sys.argv[1:]
    delay, loss = float(delay) / 1000, float(loss) / 100
    inside, outside = tap("tamerslow0"), tap("tamerslow1")
    ip("link", "set", "tamerslow1", "master", bridge, "up")
    ip("link", "set", "tamerslow0", "netns", namespace)
    ip("-n", namespace, "link", "set", "tamerslow0", "name", "eth0")
    ip("-n", namespace, "addr", "add", address, "dev", "eth0")
    ip("-n", namespace, "link", "set", "eth0", "up")
    other = {inside: outside, outside: inside}
    chance = random.Random(1)
    waiting = collections.deque()  # (when, where to, frame): the delay is one
    carried = lost = 0
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    print("ready", flush=True)
    while not stop:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, to, frame = waiting.popleft()
            try:
                os.write(to, frame)
                carried += 1
            except OSError:
                lost += 1
        until = max(0, waiting[0][0] - now) if waiting else 0.2
        for fd in select.select([inside, outside], [], [], until)[0]:
            try:
                frame = os.read(fd, 65536)
            except OSError:
                continue
            if chance.random() < loss:
                lost += 1
            else:
                waiting.append((time.monotonic() + delay, other[fd], frame))
    print(f"carried {carried}, lost {lost}", flush=True)


main()
