# SPDX-License-Identifier: MIT
"""A program in a pseudo terminal, and what a VT100 would show of it."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from .proc import wait_for

CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b([()#])(.)|\x1b(.)|[\x00-\x1f]|[^\x00-\x1f\x1b]",
                     re.DOTALL)


class Screen:
    """The grid. Knows what TERM=vt100 in terminfo makes ncurses send, and refuses the rest."""

    def __init__(self, width, height):
        self.resize(width, height)

    def resize(self, width, height):
        self.width, self.height = width, height
        self.top, self.bottom = 0, height - 1
        self.x = self.y = 0
        self.wraps = False
        self.grid = [[" "] * width for _ in range(height)]

    def text(self):
        return [f"{''.join(row)}".rstrip() for row in self.grid]

    def feed(self, text):
        for match in CONTROL.finditer(text):
            parameters, final, _, _, escape = match.groups()
            if final:
                self._csi(parameters, final)
            elif match.group(3):
                pass  # character sets
            elif escape:
                self._escape(escape)
            else:
                self._put(match.group())

    def _scroll(self, down):
        if down:
            self.grid.insert(self.top, [" "] * self.width)
            del self.grid[self.bottom + 1]
        else:
            del self.grid[self.top]
            self.grid.insert(self.bottom, [" "] * self.width)

    def _line_feed(self):
        if self.y == self.bottom:
            self._scroll(down=False)
        else:
            self.y = min(self.y + 1, self.height - 1)

    def _put(self, char):
        if char == "\r":
            self.x = 0
        elif char == "\n":
            self._line_feed()
        elif char == "\b":
            self.x = max(self.x - 1, 0)
        elif char == "\t":
            self.x = min(self.x // 8 * 8 + 8, self.width - 1)
        elif char >= " ":
            if self.wraps:
                self.x = 0
                self._line_feed()
            self.grid[self.y][self.x] = char
            self.wraps = self.x == self.width - 1
            self.x = min(self.x + 1, self.width - 1)
            return
        elif char not in "\x00\x07\x0e\x0f":
            raise AssertionError(f"control character {char!r}")
        self.wraps = False

    def _escape(self, char):
        if char == "M":
            if self.y == self.top:
                self._scroll(down=True)
            else:
                self.y -= 1
        elif char not in "=>78":
            raise AssertionError(f"escape {char!r}")

    def _csi(self, parameters, final):
        private = parameters.startswith("?")
        numbers = [int(n or 0) for n in parameters.lstrip("?").split(";")]
        first = max(numbers[0], 1)
        self.wraps = False
        if final == "H":
            column = max(numbers[1], 1) if len(numbers) > 1 else 1
            self.y, self.x = min(first, self.height) - 1, min(column, self.width) - 1
        elif final == "A":
            self.y = max(self.y - first, 0)
        elif final == "B":
            self.y = min(self.y + first, self.height - 1)
        elif final == "C":
            self.x = min(self.x + first, self.width - 1)
        elif final == "D":
            self.x = max(self.x - first, 0)
        elif final == "J" and numbers[0] == 0:
            self.grid[self.y][self.x:] = [" "] * (self.width - self.x)
            self.grid[self.y + 1:] = [[" "] * self.width for _ in self.grid[self.y + 1:]]
        elif final == "K":
            if numbers[0] == 1:
                self.grid[self.y][:self.x + 1] = [" "] * (self.x + 1)
            else:
                self.grid[self.y][self.x:] = [" "] * (self.width - self.x)
        elif final == "r":
            self.top = first - 1
            self.bottom = (numbers[1] if len(numbers) > 1 else self.height) - 1
            self.x = self.y = 0
        elif not (final == "m" or private):
            raise AssertionError(f"CSI {parameters}{final}")


class Terminal:
    """Runs argv in a terminal of its own."""

    def __init__(self, argv, width=80, height=24, term="vt100"):
        self.master, slave = pty.openpty()
        self.screen = Screen(width, height) if term == "vt100" else None
        self.raw = b""
        self._set_size(width, height)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [str(a) for a in argv], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=dict(os.environ, TERM=term, LC_ALL="C.UTF-8"),
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def _set_size(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        self.screen.resize(width, height)
        self._set_size(width, height)

    def keys(self, text):
        os.write(self.master, text.encode())

    def read(self, seconds=0.05):
        """Takes in what comes within a moment; returns the screen's lines."""
        end = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.master], [], [], max(end - time.monotonic(), 0))
            if not ready:
                return self.screen.text() if self.screen else None
            try:
                data = os.read(self.master, 65536)
            except OSError:  # its end
                return self.screen.text() if self.screen else None
            self.raw += data
            if self.screen:
                self.screen.feed(data.decode("utf-8", errors="replace"))

    def wait(self, predicate, timeout, what):
        """Until predicate(lines) holds; returns the lines."""
        seen = []

        def check():
            seen[:] = self.read()
            return predicate(seen)

        def shown():
            return f"{what}; the screen:\n" + "\n".join(seen)

        wait_for(check, timeout, shown, interval=0)
        return list(seen)

    def end(self, timeout=5):
        """The exit status, once it has ended and the terminal is as it was."""
        wait_for(lambda: self.read(0.02) is None or self.process.poll() is not None, timeout,
                 "it ends")
        status = self.process.wait(timeout)
        self.read()
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is left changed"
        self.close()
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)
        self.master = self.slave = -1
