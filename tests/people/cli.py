#!/usr/bin/env python3
"""Help, man pages and completion say the same, and what reads them accepts them.

    cli.py ANEC ANERUN

mandoc, groff, zsh and fish are used where they are installed.
"""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = {"anec": str(Path(sys.argv[1]).resolve()), "anerun": str(Path(sys.argv[2]).resolve())}
COMMANDS = {"anec": [[], ["check"], ["diff"], ["explain"], ["gradcheck"], ["lint"], ["target"], ["fmt"]], "anerun": [["x.plan"]]}


def run(*args, status=0, text=None, env=None):
    done = subprocess.run(args, capture_output=True, check=False, text=True, input=text, env=env)
    if done.returncode != status:
        raise AssertionError(f"{args}: {done.returncode}\n{done.stderr}")
    return done.stdout


def options(help_text):
    """Names of options that stand at the beginning of lines."""
    return set(re.findall(r"(?m)^  (?:-\w, |    )?(--[a-z][a-z0-9-]*)", help_text))


def bash(tool, words, place=None):
    """What the completion offers for the last word."""
    script = f"""
source <({TOOLS[tool]} completion bash)
COMP_WORDS=({' '.join(f"'{w}'" for w in [tool, *words])})
COMP_CWORD={len(words)}
compopt() {{ :; }}
_{tool}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=place)
    if done.stderr:
        raise AssertionError(done.stderr)
    return set(done.stdout.split())


class CommandLine(unittest.TestCase):
    def helps(self, tool):
        """(words of the command, options of its help)"""
        return [(c, options(run(TOOLS[tool], *c, "--help=all" if not c or tool == "anerun" else "--help")))
                for c in COMMANDS[tool]]

    def test_overviews_fit_a_screen(self):
        for tool, more in (("anec", []), ("anerun", []), ("anerun", ["x.plan"])):
            lines = run(TOOLS[tool], *more, "--help").splitlines()
            self.assertLessEqual(len(lines), 24)
            self.assertLessEqual(max(map(len, lines)), 80)

    def test_all_help_is_80_columns_wide(self):
        for tool in TOOLS:
            for command in COMMANDS[tool]:
                text = run(TOOLS[tool], *command, "--help=all" if not command or tool == "anerun" else "--help")
                for line in text.splitlines():
                    self.assertLessEqual(len(line), 80, line)

    def test_man_pages_have_every_option(self):
        for tool in TOOLS:
            page = run(TOOLS[tool], "man").replace("\\-", "-")
            for command, names in self.helps(tool):
                self.assertGreater(len(names), 1)
                for name in names:
                    self.assertRegex(page, rf"\\fB{name}\\fR", f"{tool} {command}")
        self.assertIn("optimizer=adamw", run(TOOLS["anerun"], "man"))

    def test_man_pages_are_clean(self):
        for tool in TOOLS:
            page = run(TOOLS[tool], "man")
            if shutil.which("mandoc"):
                self.assertEqual(run("mandoc", "-T", "lint", text=page), "")
            if shutil.which("groff"):
                done = subprocess.run(["groff", "-man", "-Tascii", "-ww"], input=page, capture_output=True, text=True, check=True)
                self.assertEqual(done.stderr, "")

    def test_bash_completes_options_and_commands(self):
        for tool in TOOLS:
            for command, names in self.helps(tool):
                self.assertLessEqual(names, bash(tool, [*command, "--"]), f"{tool} {command}")
        with tempfile.TemporaryDirectory() as folder:  # with no files in it
            self.assertEqual(bash("anec", ["gr"], folder), {"gradcheck"})
            self.assertEqual(bash("anerun", ["comp"], folder), {"completion"})
        self.assertEqual(bash("anerun", ["x.plan", "--trai"]), {"--train"})
        self.assertNotIn("--train", bash("anec", ["--"]))
        self.assertNotIn("--memory", bash("anec", ["check", "--"]))

    def test_bash_completes_values(self):
        self.assertEqual(bash("anerun", ["x", "--numerics", ""]), {"ane", "exact"})
        self.assertEqual(bash("anerun", ["x", "--set", "optimizer.l"]), {"optimizer.lr="})
        self.assertEqual(bash("anerun", ["x", "--steps", ""]), set())
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "shakespeare.txt").touch()
            (Path(folder) / "tiny.plan").mkdir()
            self.assertEqual(bash("anerun", ["x", "--data", "shak"], folder), {"shakespeare.txt"})
            self.assertEqual(bash("anerun", ["ti"], folder), {"tiny.plan"})
            self.assertEqual(bash("anerun", ["x", "--out", ""], folder), {"tiny.plan"})

    def test_other_shells_read_their_scripts(self):
        for tool in TOOLS:
            for shell in ("zsh", "fish"):
                script = run(TOOLS[tool], "completion", shell)
                for _, names in self.helps(tool):
                    for name in names:
                        self.assertIn(name if shell == "zsh" else f"-l {name[2:]} ", script)
                if shutil.which(shell):
                    with tempfile.TemporaryDirectory() as folder:
                        file = Path(folder) / "script"
                        file.write_text(script)
                        run(shell, "-n", str(file))
        if shutil.which("fish"):
            with tempfile.TemporaryDirectory() as home:
                said = run("fish", "--no-config", "-c", f"{TOOLS['anerun']} completion fish | source; complete -C 'anerun x --trai'",
                           env={"HOME": home, "PATH": "/usr/bin:/bin", "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home})
                self.assertIn("--train", said)

    def test_mistakes(self):
        for tool in TOOLS:
            for words in (["completion"], ["completion", "tcsh"]):
                done = subprocess.run([TOOLS[tool], *words], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("bash, zsh" if len(words) == 1 else "only for bash, zsh and fish", done.stderr)
            for words, told in ((["completion", "bsh"], "did you mean 'bash'?"), (["man", "x"], "takes no arguments, not 'x'")):
                done = subprocess.run([TOOLS[tool], *words], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(f"{tool} {words[0]}: ", done.stderr)
                self.assertIn(told, done.stderr)
            for word in ("completion", "man"):
                self.assertTrue(run(TOOLS[tool], word, "--help").startswith(f"usage: {tool} {word}"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
