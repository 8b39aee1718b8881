#!/usr/bin/env python3
"""The page of a run (--report): well-formed, complete, equal to the log, and kept over interruptions.

    report.py ANEC ANERUN MODELS

The page is read with Python's HTML parser. Where a browser is installed it is also drawn once, without network.
"""
import html.parser
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
SHRUNK = ["dim=32", "hidden=32", "layers=1", "heads=2", "kv_heads=2", "seq=16"]
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    """Elements must be closed in order; ids are unique, what refers to one finds it, nothing comes from elsewhere."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.refers, self.text, self.data = [], [], [], {}, {}
        self.tables, self.row, self.cell, self.rows = [], None, None, None
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"
        assert len(self.ids) == len(set(self.ids)), "an id stands twice"
        assert set(self.refers) <= set(self.ids), set(self.refers) - set(self.ids)

    def handle_starttag(self, tag, attributes):
        got = dict(attributes)
        if tag not in VOID:
            self.open.append((tag, got.get("id")))
        if "id" in got:
            self.ids.append(got["id"])
        self.refers += got.get("aria-labelledby", "").split()
        if "href" in got:
            assert got["href"].startswith("#"), got["href"]
            self.refers.append(got["href"][1:])
        assert "src" not in got and not any(name.startswith("on") for name in got)
        assert tag != "script" or got.get("type") == "application/json"
        if tag == "svg":
            assert got.get("role") == "img" and got.get("aria-labelledby")
        if tag == "table":
            self.rows = []
        if tag == "tr":
            self.row = []
        if tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()
        if tag in ("td", "th"):
            self.row.append(self.cell)
            self.cell = None
        if tag == "tr":
            self.rows.append(self.row)
        if tag == "table":
            self.tables.append(self.rows)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()  # <path/> of SVG

    def handle_data(self, text):
        assert not any(ord(c) < 32 and c not in "\n\t" for c in text), repr(text)
        if self.cell is not None:
            self.cell += text
        for tag, name in self.open[-1:]:
            self.text[tag] = self.text.get(tag, "") + text
            if name:
                self.data[name] = self.data.get(name, "") + text

    def history(self):
        return json.loads(self.data["history"])


def events(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keep = tempfile.TemporaryDirectory()
        cls.plan = f"{cls.keep.name}/tiny.plan"
        cls.text = Path(cls.keep.name) / "text.txt"
        cls.text.write_text("she sells sea shells by the sea shore. " * 40)
        subprocess.run([ANEC, f"{MODELS}/tiny.anel", "-o", cls.plan, *(w for d in SHRUNK for w in ("-D", d))],
                       check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.keep.cleanup()

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(dir=self.keep.name))
        self.page, self.log, self.out = self.folder / "run.html", self.folder / "run.jsonl", self.folder / "run"

    def train(self, *more, status=0):
        done = subprocess.run([ANERUN, self.plan, "--train", "--quiet", "--report", str(self.page), *map(str, more)],
                              capture_output=True, check=False)
        said = done.stderr.decode()
        self.assertEqual(done.returncode, status, said)
        return said

    def new(self, *more, **how):
        return self.train("--data", self.text, "--out", self.out, "--holdout", "0.2", "--eval-every", 10, *more, **how)

    def read(self):
        return Page(self.page.read_text(encoding="utf-8"))

    def test_every_way_of_handling_weights_has_a_page(self):
        for mode in ("baked", "dynamic", "reload", "mixed"):
            plan = self.folder / mode
            subprocess.run([ANEC, f"{MODELS}/tiny.anel", "-o", plan, "--weights", mode,
                            *(w for d in SHRUNK for w in ("-D", d))], check=True, capture_output=True)
            subprocess.run([ANERUN, plan, "--train", "--quiet", "--report", self.page, "--data", self.text, "--steps",
                            "1", "--no-save"], check=True, capture_output=True)
            self.assertIn(["weights", mode], [row for table in self.read().tables for row in table])
            self.page.unlink()

    def test_the_page_says_what_the_log_says(self):
        self.new("--steps", 30, "--log", self.log)
        page = self.read()
        steps = [e for e in events(self.log) if e["event"] == "step"]
        for name in ("loss", "rate", "norm", "scale", "speed", "time", "samples", "events", "configuration", "numbers"):
            self.assertIn(name, page.ids)
        table = page.tables[-1]  # the figures
        self.assertEqual(len(table), 31)
        for row, e in zip(table[1:], steps):
            want = [e["step"], e["loss"], e["lr"], e["grad_norm"], e["loss_scale"], e["tokens_per_s"], e["ms"]["total"], 0]
            for shown, value in zip(row, want):
                self.assertTrue(math.isclose(float(shown), value, rel_tol=1e-5), (row, e))
        for point, e in zip(page.history()["points"], steps):  # and to the last bit in the page's own state
            self.assertEqual(point[3:6], [e["loss"], e["lr"], e["grad_norm"]])
        self.assertEqual([e for e in page.history()["events"]], [e for e in events(self.log) if e["event"] != "step"])
        seconds = {row[0]: float(row[1]) for row in page.tables[0][1:]}
        self.assertAlmostEqual(seconds["device"], sum(e["ms"]["device"] for e in steps) / 1000, delta=0.002)
        self.assertTrue(any(row[0] == "layers_fwd" and row[1] == "device" for row in page.tables[1]))
        self.assertIn(["optimizer.lr", "0.002"], page.tables[-2])
        self.assertIn("done, step 30 of 30", page.text["p"])
        self.assertIn("sample", [row[1] for row in page.tables[2]])
        self.assertGreater(len(page.text["pre"]), 50)

    def test_every_kind_of_text_is_escaped(self):
        self.new("--steps", 3, "--sample", "<script>'&\x02")
        page = self.read()
        self.assertIn("<script>'&\ufffd", page.text["pre"])
        self.assertTrue(page.text["title"].startswith("Training Tiny"))

    def test_a_resumed_run_goes_on_with_its_log(self):
        self.new("--steps", 20, "--stop-at", 10, "--log", self.log)
        self.page.unlink()
        self.log.write_bytes(self.log.read_bytes() + b'{"event":"st')  # as if killed
        said = self.train("--resume", self.out, "--log", self.log)
        self.assertIn("1 lines of the log", said)
        self.assertEqual([p[0] for p in self.read().history()["points"]], list(range(1, 21)))

    def test_a_resumed_run_goes_on_with_its_page(self):
        self.new("--steps", 20, "--stop-at", 12, "--save-every", 10)
        first = self.read().history()
        self.train("--resume", self.out / "ckpt-10")
        history = self.read().history()
        self.assertEqual([p[0] for p in history["points"]], list(range(1, 21)))
        self.assertEqual(history["points"][:10], first["points"][:10])
        self.assertEqual([e["step"] for e in history["events"] if e["event"] == "start"], [0, 10])
        self.assertTrue(all(p[3] == q[3] for p, q in zip(history["points"][:12], first["points"])))

    def test_an_interrupted_run_leaves_its_page(self):
        child = subprocess.Popen([ANERUN, self.plan, "--train", "--set", "data=copy_task", "--steps", "1000000", "--no-save",
                                  "--report", str(self.page)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not child.stdout.readline().startswith(b"step "):
            pass
        child.send_signal(signal.SIGINT)
        child.communicate()
        self.assertEqual(child.returncode, 0)
        page = self.read()
        self.assertIn("interrupted, step ", page.text["p"])
        self.assertGreaterEqual(len(page.history()["points"]), 1)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["run.html"])

    def test_files_of_others_and_bad_places_are_refused_before_the_run(self):
        self.page.write_text("my notes")
        self.assertIn("is no report of anerun: it is not overwritten", self.new("--steps", 1, status=1))
        self.assertEqual(self.page.read_text(), "my notes")
        self.page = self.folder / "none" / "run.html"
        self.assertIn("the report was not written", self.new("--steps", 1, status=1))
        self.assertFalse(self.out.exists() and any(self.out.glob("ckpt-*")))

    def test_a_browser_draws_it(self):
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        if not browser or os.environ.get("ASAN_OPTIONS"):
            self.skipTest("no browser")
        self.new("--steps", 3)
        shot = self.folder / "page.png"
        subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        f"--user-data-dir={self.folder}/browser", f"--screenshot={shot}", self.page.as_uri()],
                       capture_output=True, check=False, timeout=60)
        if not shot.exists():
            self.skipTest("the browser does not run here")
        self.assertGreater(shot.stat().st_size, 5000)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
