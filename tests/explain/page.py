#!/usr/bin/env python3
"""The page that `anec explain --html` writes: complete, well formed, self-contained, and safe whatever the plan says.

    page.py ANEC MODELS
"""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

ANEC, MODELS = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
PLANS = [("tiny", []), ("gpt2", ["-D", "layers=2", "-D", "seq=64", "-D", "vocab=512"]), ("layer768", ["--weights", "dynamic"]),
         ("looped", ["--weights", "reload"])]
VOID = {"meta"}
HARMLESS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "tr", "td", "th", "a", "small", "pre", "code",
            "details", "summary", "svg", "g", "rect", "text", "path"}


def anec(*args):
    done = subprocess.run([ANEC, *map(str, args)], capture_output=True, check=False, timeout=300)
    said = done.stderr.decode(errors="replace")
    assert done.returncode in (0, 1, 2) and "Sanitizer" not in said and "runtime error" not in said, said
    return done.returncode, done.stdout, said


class Page(HTMLParser):
    """The page's text, tags and attributes; its listings as lists of (statement, expression, lines of MIL), the statement
    repeated for each row that it spans. Fails where elements do not nest."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text, self.style = [], set(), [], "", ""
        self.listings, self.listing, self.cells, self.statement, self.span = [], False, [], "", 0
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, *a) for a in attrs]

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.listing = ("class", "m") in attrs
            self.listings += [[]] if self.listing else []
        elif tag == "tr":
            self.cells = []
        elif tag == "td":
            self.cells.append("")
            if "rowspan" in dict(attrs):
                assert self.span == 0
                self.span = int(dict(attrs)["rowspan"])

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open}"
        self.open.pop()
        if tag == "tr" and self.listing:
            *statement, expression, mil = self.cells
            self.statement = statement[0] if statement else self.statement
            self.span -= 1
            self.listings[-1].append((self.statement, expression, mil.split("\n")[:-1]))
        assert self.span >= 0 and (tag != "table" or self.span == 0)

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "style":
            self.style += data
        if "td" in self.open:
            self.cells[-1] += data


def manifest(plan):
    return (plan / "plan.anep").read_text(encoding="utf-8")


def texts(plan):
    """Names of the MIL texts, in the order of the programs, each once."""
    return list(dict.fromkeys(re.findall(r"^  mil (\S+) ", manifest(plan), re.M)))


def expected(plan, name):
    """[(statement, expression, line of MIL)] of a text, from its map."""
    places = {}
    if (plan / f"map/{name}.map").exists():
        for line in (plan / f"map/{name}.map").read_text(encoding="utf-8").splitlines():
            number, expression, direction, _, statement = line.split(" ")
            statement = expression if statement == "-:0:0" else statement
            places[int(number)] = (statement.rsplit(":", 1)[0], expression.rsplit(":", 1)[0], direction == "bwd")
    sources = {}

    def shown(place, remark=""):
        file, line = place.rsplit(":", 1)
        if file not in sources:
            path = plan / "src" / file
            sources[file] = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        text = sources[file][int(line) - 1] if int(line) <= len(sources[file]) else ""
        return f"{place}{remark}\n{text.strip()}"

    out = []
    for number, line in enumerate((plan / f"mil/{name}.mil").read_text(encoding="utf-8").splitlines(), 1):
        statement, expression, backward = places.get(number, ("", "", False))
        out.append((statement and shown(statement, " (adjoint)" if backward else ""),
                    "" if expression == statement else shown(expression), line.strip()))
    return out


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="page-")
        cls.dir = Path(cls.folder.name)
        for model, options in PLANS:
            status, _, said = anec(MODELS / f"{model}.anel", *options, "-o", cls.dir / model)
            assert status == 0, said

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def page(self, plan):
        status, out, said = anec("explain", "--html", "-", "-t", "any", plan)
        self.assertEqual((status, said), (0, ""))
        return out.decode("utf-8")

    def copy(self, name):
        shutil.rmtree(self.dir / name, ignore_errors=True)
        shutil.copytree(self.dir / "tiny", self.dir / name)
        return self.dir / name

    def self_contained(self, text):
        page = Page(text)
        self.assertEqual(page.tags - HARMLESS, set())
        self.assertNotRegex(page.style, r"url\(|@import|expression")
        ids = [value for _, key, value in page.attributes if key == "id"]
        self.assertEqual(len(ids), len(set(ids)))
        for tag, key, value in page.attributes:
            self.assertFalse(key.startswith("on") or key in ("src", "style", "action", "xlink:href"), (tag, key))
            if key == "href":
                self.assertIn(value.removeprefix("#"), ids)
        return page

    def test_every_line_of_mil_is_there_once_beside_its_source(self):
        for model, _ in PLANS:
            plan = self.dir / model
            text = self.page(plan)
            page = self.self_contained(text)
            self.assertNotRegex(text, r"https?:|<script|\bsrc=")
            self.assertEqual(len(page.listings), len(texts(plan)))
            for name, rows in zip(texts(plan), page.listings):
                told = [(statement, expression, line) for statement, expression, lines in rows for line in lines]
                self.assertEqual(told, expected(plan, name), f"{model} {name}")
                for a, b in zip(rows, rows[1:]):
                    self.assertNotEqual(a[:2], b[:2])  # what belongs together shares a row
                self.assertTrue(any(s.endswith(";") and s.split("\n")[0].startswith(f"{model}.anel:") for s, _, _ in rows))
            for name in re.findall(r"^program (\S+) \{", manifest(plan), re.M):
                self.assertIn(name, page.text)
            for picture in re.findall(r"<svg.*?</svg>", text, re.S):
                self.assertTrue(len(ElementTree.fromstring(picture).findall("g")) > 0)
            self.assertEqual(text.count("<svg"), len(texts(plan)) + len(re.findall(r"^entry ", manifest(plan), re.M)))

    def test_the_tables_are_those_of_explain(self):
        text = anec("explain", "-t", "any", self.dir / "tiny")[1].decode()
        self.assertIn(text, Page(self.page(self.dir / "tiny")).text)

    def test_names_of_a_hostile_plan_are_text(self):
        plan = self.copy("hostile")
        evil = "<script>alert('x')</script>&\"><img src=x onerror=y>"
        quoted = '"' + evil.replace('"', '\\"') + '\\x01\\xff"'
        said = manifest(plan)
        said = re.sub(r"^model .*", lambda _: f"model {quoted}", said, flags=re.M)
        said = re.sub(r"^((?:program| *run) )layers_fwd ", lambda m: f"{m[1]}{quoted} ", said, flags=re.M)
        said = re.sub(r"^(    part )x (channels)", lambda m: f"{m[1]}{quoted} {m[2]}", said, flags=re.M)
        (plan / "plan.anep").write_text(said, encoding="utf-8")
        (plan / "map/layers_fwd.map").write_text(f"6 {evil}.anel:1:1 fwd mul {evil}:2:1\n7 a.anel:1:1 bwd mul b.anel:1:1\n8 ../plan.anep:1:1\n"
                                                 "9 /etc/passwd:1:1 fwd x\n99999999999 a:1:1 fwd\n4000000000 a:1:1 fwd x a:1:1\n0 a:1:1\n"
                                                 "10 a.anel:2000000000:1 fwd\n11 :::: fwd ::: ::\n12 -:0:0 fwd mul <c>:3:1\n", encoding="utf-8")
        (plan / "src/a.anel").write_bytes(b"</pre></td><script>\xff\xfe\n")
        page = self.self_contained(self.page(plan))
        self.assertGreaterEqual(page.text.count(evil + "\ufffd\ufffd"), 4)
        rows = page.listings[texts(plan).index("layers_fwd")]
        mil = (plan / "mil/layers_fwd.mil").read_text(encoding="utf-8").splitlines()
        self.assertEqual([line for _, _, lines in rows for line in lines], [line.strip() for line in mil])
        self.assertIn((f"{evil}:2\n", f"{evil}.anel:1\n"), [r[:2] for r in rows])
        self.assertIn(("b.anel:1 (adjoint)\n", "a.anel:1\n</pre></td><script>\ufffd\ufffd"), [r[:2] for r in rows])
        self.assertIn(("<c>:3\n", ""), [r[:2] for r in rows])
        self.assertIn(("../plan.anep:1\n", ""), [r[:2] for r in rows])  # named, not read
        self.assertIn(("/etc/passwd:1\n", ""), [r[:2] for r in rows])
        self.assertEqual(anec("explain", "--json", plan)[0], 0)

    def test_maps_and_sources_may_be_missing(self):
        plan = self.copy("bare")
        shutil.rmtree(plan / "src")
        (plan / "map/layers_bwd.map").unlink()
        page = self.self_contained(self.page(plan))
        for name, rows in zip(texts(plan), page.listings):
            self.assertEqual([(s, e, line) for s, e, lines in rows for line in lines], expected(plan, name))

    def test_without_mil_there_is_an_error_and_no_page(self):
        plan, to = self.copy("broken"), self.dir / "out/page.html"
        to.parent.mkdir()
        self.assertEqual(anec("explain", "--html", to, plan), (0, b"", ""))
        self.assertEqual(to.read_text(encoding="utf-8").count("<svg"), self.page(plan).count("<svg"))
        before = to.read_bytes()
        for spoil in (lambda f: f.write_text("what", encoding="utf-8"), lambda f: f.unlink()):
            spoil(plan / "mil/layers_bwd.mil")
            status, out, said = anec("explain", "--html", to, plan)
            self.assertEqual((status, out), (1, b""))
            self.assertIn("layers_bwd.mil", said)
            self.assertEqual(to.read_bytes(), before)
        self.assertEqual([f.name for f in to.parent.iterdir()], ["page.html"])
        self.assertIn("there is no plan", anec("explain", "--html", to, self.dir / "none")[2])
        status, _, said = anec("explain", "--html", self.dir / "no/such/page.html", self.dir / "tiny")
        self.assertEqual(status, 1)
        self.assertIn("page.html", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
