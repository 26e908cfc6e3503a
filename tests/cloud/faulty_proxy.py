# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between processes of ours that cuts, delays, splits and withholds what passes, and
that stands in front of several servers as a balancer does. Standard library only."""

import asyncio
import re
import socket
import struct
import threading

UP, DOWN = "up", "down"  # to the server, and from it


class Fate:
    """What becomes of one connection.

    cut_at:    (direction, unit, where): cut where that unit passes; `before`, `inside` or `after`
               it. Units are counted from 0: HTTP messages first, then frames
    cut_after: {direction: bytes}
    half_open: `client` or `server`: where it is cut, that side only is told; the other one sees a
               connection on which nothing comes any more
    chop:      pieces of at most that many bytes, for the first few thousand bytes
    delay:     seconds before each piece
    """

    def __init__(self, cut_at=None, cut_after=None, half_open=None, chop=None, delay=0.0):
        self.cut_at = cut_at
        self.cut_after = cut_after or {}
        self.half_open = half_open
        self.chop = chop
        self.delay = delay

    def __repr__(self):
        return str({name: value for name, value in vars(self).items() if value})


class Units:
    """Finds where HTTP messages, and after an upgrade frames, begin and end."""

    def __init__(self):
        self.has_frames = False
        self.kept = b""

    def size_of_first(self):
        """None: it is not known yet."""
        kept = self.kept
        if not self.has_frames:
            end = kept.find(b"\r\n\r\n")
            if end < 0:
                return None
            body = re.search(rb"(?i)\r\ncontent-length: *(\d+)", kept[:end + 2])
            return end + 4 + (int(body.group(1)) if body else 0)
        if len(kept) < 2:
            return None
        size, head = kept[1] & 0x7F, 2 + (4 if kept[1] & 0x80 else 0)
        for mark, form in ((126, ">H"), (127, ">Q")):
            if size == mark:
                wide = struct.calcsize(form)
                if len(kept) < 2 + wide:
                    return None
                return head + wide + struct.unpack(form, kept[2:2 + wide])[0]
        return head + size

    def feed(self, data):
        """The units that are whole now."""
        self.kept += data
        units = []
        while (size := self.size_of_first()) is not None and size <= len(self.kept):
            unit, self.kept = self.kept[:size], self.kept[size:]
            if not self.has_frames:
                self.has_frames = unit.startswith((b"GET /wss?", b"HTTP/1.1 101 "))
            units.append(unit)
        return units


class Cut(Exception):
    pass


class Way:
    """One direction of a connection."""

    def __init__(self, proxy, direction, fate):
        self.proxy = proxy
        self.direction = direction
        self.fate = fate
        self.units = Units()
        self.unit = 0
        self.passed = 0

    async def send(self, writer, data):
        most = self.fate.cut_after.get(self.direction)
        is_cut = most is not None and self.passed + len(data) >= most
        if is_cut:
            data = data[:most - self.passed]
        while data:
            size = len(data)
            if self.fate.chop and self.passed < 4000:
                size = min(size, self.fate.chop)
            if self.fate.delay:
                await asyncio.sleep(self.fate.delay)
            await self.proxy.may_pass(self.direction)
            writer.write(data[:size])
            await writer.drain()
            self.passed += size
            data = data[size:]
        if is_cut:
            raise Cut()

    async def send_units(self, writer, data):
        _, which, where = self.fate.cut_at
        for unit in self.units.feed(data):
            is_it = self.unit == which
            self.unit += 1
            if is_it and where == "before":
                raise Cut()
            if is_it and where == "inside":
                await self.send(writer, unit[:len(unit) // 2])
                raise Cut()
            await self.send(writer, unit)
            if is_it:
                raise Cut()

    async def run(self, reader, writer):
        counts_units = self.fate.cut_at and self.fate.cut_at[0] == self.direction
        while data := await reader.read(1 << 16):
            await self.proxy.may_pass(self.direction)
            await (self.send_units if counts_units else self.send)(writer, data)


class Proxy:
    """Stands on an address of its own; `targets`: (host, port), or a path, of those behind it. The
    next connection goes to the next one that takes it. `draw` gives each connection its Fate."""

    def __init__(self, targets, draw=None):
        self.targets = list(targets)
        self.draw = draw or Fate
        self.turn = 0
        self.made = 0  # connections that found a target
        self.cuts = 0
        self.held = set()  # directions
        self.open = set()  # writers
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.call(
            asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1000))
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def connect(self):
        targets = list(self.targets)
        for _ in targets:
            self.turn += 1
            target = targets[self.turn % len(targets)]
            try:
                if isinstance(target, str):
                    return await asyncio.open_unix_connection(target)
                return await asyncio.open_connection(*target)
            except OSError:
                continue
        return None

    async def may_pass(self, direction):
        while direction in self.held:
            await asyncio.sleep(0.01)

    async def serve(self, reader, writer):
        try:
            await self.pass_on(reader, writer)
        except asyncio.CancelledError:
            pass  # close()

    async def pass_on(self, reader, writer):
        behind = await self.connect()
        if behind is None:
            writer.transport.abort()
            return
        self.made += 1
        fate = self.draw()
        sides = {"client": writer, "server": behind[1]}
        for side in sides.values():
            sock = side.get_extra_info("socket")
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open.add(side)
        ways = [asyncio.ensure_future(Way(self, UP, fate).run(reader, behind[1])),
                asyncio.ensure_future(Way(self, DOWN, fate).run(behind[0], writer))]
        done, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in left:
            way.cancel()
        is_cut = any(isinstance(way.exception(), Cut) for way in done)
        self.cuts += is_cut
        for name, side in sides.items():
            if is_cut and fate.half_open and fate.half_open != name:
                continue  # until cut_all(), or it is given up there
            self.open.discard(side)
            side.close()  # what was sent before still arrives

    async def abort_all(self):
        for side in list(self.open):
            side.transport.abort()
        self.open.clear()

    # For the test's threads.

    def hold(self, *directions):
        """From now on nothing passes there; what comes meanwhile passes later."""
        self.held = set(directions)

    def cut_all(self):
        self.call(self.abort_all())

    def close(self):
        async def close():
            self.server.close()
            await self.abort_all()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.call(close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
