#!/usr/bin/env python3
"""The progress display, seen through a pseudo-terminal.

    terminal.py ANEC ANERUN MODELS

A screen of a few lines of code understands what the display may send (text, carriage return, newline, cursor up, erase,
bold and faint) and refuses all else; text that would run into the last column is a failure, as the display would then
wrap somewhere and leave rubbish behind.
"""
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import unittest
from pathlib import Path

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
SHRUNK = ["dim=32", "hidden=32", "layers=1", "heads=2", "kv_heads=2", "seq=16"]


class Screen:
    """What a terminal of `columns` shows. `seen` has every state of its lines before a carriage return or the end."""

    def __init__(self, columns):
        self.columns, self.lines, self.row, self.column = columns, [""], 0, 0
        self.seen, self.styles = [], 0

    def put(self, c):
        assert self.column < self.columns - 1, f"text runs into column {self.columns}: {self.lines[self.row]!r}"
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[:self.column] + c + line[self.column + 1:]
        self.column += 1

    def escape(self, code):
        if code == "[A":
            assert self.row > 0, "above the first line"
            self.row -= 1
        elif code == "[K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif code == "[J":
            self.lines[self.row] = self.lines[self.row][:self.column]
            del self.lines[self.row + 1:]
        elif code in ("[0m", "[1m", "[2m"):
            self.styles += 1
        else:
            raise AssertionError(f"escape sequence {code!r}")

    def feed(self, text):
        text = text.replace("\r\n", "\n")  # the terminal driver's translation
        for match in re.finditer(r"\x1b(\[[0-9;]*[A-Za-z])|(.)", text, re.DOTALL):
            code, c = match.groups()
            if code:
                self.escape(code)
            elif c == "\r":
                self.seen.append(list(self.lines))
                self.column = 0
            elif c == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
                self.column = 0
            else:
                assert c.isprintable(), repr(c)
                self.put(c)
        self.seen.append(list(self.lines))


def on_terminal(columns, *args, **environment):
    """What the command writes."""
    setting = {"PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment}
    for name, value in os.environ.items():
        if name.endswith("SAN_OPTIONS"):
            setting[name] = value
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen([ANERUN, *args], stdout=theirs, stdin=theirs, stderr=subprocess.PIPE, env=setting)
    os.close(theirs)
    got = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side was closed
            break
        if not data:
            break
        got += data
    os.close(ours)
    said = child.communicate()[1].decode()
    if child.returncode != 0:
        raise AssertionError(f"status {child.returncode}: {said}")
    return got.decode()


def shown(columns, text):
    screen = Screen(columns)
    screen.feed(text)
    return screen


class Terminal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.plan = f"{cls.folder.name}/tiny.plan"
        subprocess.run([ANEC, f"{MODELS}/tiny.anel", "-o", cls.plan,
                        *(word for d in SHRUNK for word in ("-D", d))], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def train(self, columns, *more, steps=60, **environment):
        """The screen of a run, and what was written to it."""
        text = on_terminal(columns, self.plan, "--train", "--no-save", "--set", "data=copy_task", "--steps", str(steps),
                           *more, **environment)
        return shown(columns, text), text

    def displays(self, screen):
        """Each display that was on the screen: one or two lines."""
        found = []
        for lines in screen.seen:
            at = [i for i, line in enumerate(lines) if re.match(r"step \d+/\d", line)]
            self.assertLessEqual(len(at), 1, "an old display was left on the screen")
            if at:
                found.append(lines[at[0]:])
        return found

    def test_two_lines_tell_everything(self):
        screen, _ = self.train(120)
        first, second = [d for d in self.displays(screen) if len(d) == 2 and d[0].startswith("step 60/60")][-1]
        self.assertRegex(first, r"^step 60/60  loss \d+\.\d{4} [▁▂▃▄▅▆▇█]{20,}  0:00 left  [\d.]+k? tokens/s$")
        self.assertRegex(second, r"^lr [\d.e-]+  norm [\d.e-]+  device \d+%")
        self.assertGreater(screen.styles, 0)
        self.assertTrue(any(line.startswith("done at step 60") for line in screen.lines))

    def test_no_width_wraps(self):
        for columns in (12, 30, 39, 40, 60, 80, 100):
            displays = self.displays(self.only_display(columns))
            self.assertGreater(len(displays), 0)
            for display in displays:
                self.assertEqual(len(display), 1 if columns < 40 else 2)

    def only_display(self, columns):
        """The screen with what stands outside the display (notes, which may be long) left out."""
        text = on_terminal(columns, self.plan, "--train", "--no-save", "--set", "data=copy_task", "--steps", "40")
        return shown(columns, text[text.index("step 1/"):text.rindex("done at step")])

    def test_ascii_where_the_locale_is_not_utf8(self):
        screen, text = self.train(100, LC_ALL="C")
        self.assertTrue(text.isascii())
        self.assertRegex(self.displays(screen)[-1][0], r"loss \d+\.\d{4} [_.,\-=+*#]{20,}  ")

    def test_no_color_is_respected(self):
        screen, _ = self.train(100, NO_COLOR="1")
        self.assertEqual(screen.styles, 0)
        self.assertGreater(len(self.displays(screen)), 0)

    def test_quiet_and_dumb(self):
        screen, text = self.train(100, "--quiet")
        self.assertEqual(text, "")
        _, text = self.train(100, TERM="dumb")
        self.assertNotIn("\x1b", text)
        self.assertIn("step 60/60  loss ", text)

    def test_a_pipe_gets_plain_lines(self):
        out = subprocess.run([ANERUN, self.plan, "--train", "--no-save", "--set", "data=copy_task", "--steps", "5"],
                             capture_output=True, check=True).stdout.decode()
        self.assertTrue(out.isascii() and "\r" not in out and "\x1b" not in out)
        self.assertRegex(out, r"\nstep 1/5  loss .*  lr .*\n(.*\n)*step 5/5  loss ")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
