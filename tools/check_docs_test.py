# SPDX-License-Identifier: Apache-2.0
"""Goal: check_docs finds what is no longer true, and takes what is."""

import argparse
import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

tool_path = pathlib.Path(__file__).parent / "check_docs"
loader = importlib.machinery.SourceFileLoader("check_docs", str(tool_path))
check_docs = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_docs", loader))
loader.exec_module(check_docs)


def marked(mark, language, text):
    return f"<!-- {mark} -->\n```{language}\n{text}\n```\n"


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name, "tree")
        for name in ("src/base/amount.h", "include/limitr/limitr.h", "docs/guide.md", "run", "README.md"):
            self.write(self.root / name, "")
        # What the examples run as ./limitr.
        self.prefix = pathlib.Path(folder.name, "installed")
        self.write(self.prefix / "bin" / "limitr", "#!/bin/sh\necho limitr $1\n")
        (self.prefix / "bin" / "limitr").chmod(0o755)
        self.node = None

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def document(self, text):
        path = self.root / "docs" / "guide.md"
        path.write_text(text)
        return path

    def paths(self, text):
        return list(check_docs.check_paths(self.document(text), self.root))

    def run_examples(self, text):
        arguments = argparse.Namespace(run=self.prefix, compiler="c++", node=self.node)
        return list(check_docs.run_document(self.document(text), self.root, arguments))


class Paths(Tree):
    def test_what_exists(self):
        for text in (
            "`src/base/amount.h`", "`src/base/`", "`base/amount.h`", "`limitr/limitr.h`", "`./run --fast`",
            "`src/*/amount.h`", "`README.md`", "[up](../README.md)", "# A `part`\n[here](guide.md#a-part), [there](#a-part)",
        ):
            self.assertEqual(self.paths(text), [], text)

    def test_what_does_not(self):
        for text in (
            "`src/base/gone.h`", "`src/gone/`", "`gone/amount.h`", "`./gone --fast`", "`src/*/gone.h`",
            "`GONE.md`", "[up](../GONE.md)", "[here](README.md)", "`src/base`, `src/gone`", "[here](#part)",
            "[here](guide.md#part)", "[up](../README.md#part)",
        ):
            found = self.paths("A line.\n" + text)
            self.assertEqual(len(found), 1, text)
            self.assertTrue(found[0].startswith("docs/guide.md:2: "), found[0])

    def test_what_is_no_path(self):
        for text in (
            "`allow/check`", "`GB/s`", "`/tmp/x.yaml`", "`build/release/bin/limitr`", "`a / b`", "`/`",
            "`https://example.org/a.md`", "[site](https://example.org)", "```\n`src/gone.h`\n```",
        ):
            self.assertEqual(self.paths(text), [], text)


class Headers(Tree):
    def cited(self, text):
        self.document("# A guide\n\n## Some calls\n")
        header = self.root / "include" / "limitr" / "limitr.h"
        header.write_text(text)
        return list(check_docs.check_header(header, self.root))

    def test_what_is_there(self):
        for text in (
            "// See docs/guide.md.", "// See docs/guide.md, Some calls.", "// docs/guide.md has more.",
            "// See docs/guide.md, Some calls, and docs/guide.md.",
        ):
            self.assertEqual(self.cited(text), [], text)

    def test_what_is_not(self):
        for text in ("// See docs/gone.md.", "// See docs/guide.md, Other calls.", "// Is in docs/gone.md, Calls"):
            found = self.cited("// A line.\n" + text)
            self.assertEqual(len(found), 1, text)
            self.assertTrue(found[0].startswith("include/limitr/limitr.h:2: "), found[0])


class Examples(Tree):
    def test_an_example_that_works_as_printed(self):
        text = marked("test", "sh", "./limitr one; limitr two; cat README.md")
        self.assertEqual(self.run_examples(text + marked("output", "text", "limitr one\nlimitr two")), [])

    def test_an_example_that_fails(self):
        text = marked("test", "sh", "echo before; false | cat")
        found = self.run_examples("\n" + text + marked("output", "", "after"))
        self.assertEqual(found, ["docs/guide.md:3: the example fails (1):\nbefore\n"])

    def test_an_example_that_prints_something_else(self):
        test = marked("test", "sh", "seq 5")
        for expected, good in (("1\n2\n3\n4\n5", True), ("1\n...\n5", True), ("...\n4\n5", True),
                               ("1\n2", False), ("1\n...\n4", False), ("1.\n...", False)):
            self.assertEqual(self.run_examples(test + marked("output", "", expected)) == [], good, expected)

    def test_an_output_needs_a_test(self):
        self.assertIn("no test before", self.run_examples(marked("output", "", "1"))[0])

    def test_unmarked_blocks_do_not_run(self):
        self.assertEqual(self.run_examples("```sh\nfalse\n```\n<!-- test -->\nWords.\n```sh\nfalse\n```\n"), [])

    def test_a_language_that_cannot_run(self):
        self.assertIn("`yaml`", self.run_examples(marked("test", "yaml", "a: 1"))[0])

    def test_a_module_finds_the_package_and_what_stands_beside_it(self):
        self.node = self.root / "package"
        for folder, says in ((self.node, "limitr"), (self.node / "node_modules" / "express", "express")):
            self.write(folder / "package.json", '{"main": "main.js"}')
            self.write(folder / "main.js", f"exports.said = '{says}'")
        text = marked("file: own.txt", "", "own") + marked("test", "js", """
            import fs from 'fs';
            import express from 'express';
            import limitr from '@formata/limitr';
            console.log(limitr.said, express.said, fs.readFileSync('own.txt', 'utf8'));""")
        self.assertEqual(self.run_examples(text + marked("output", "", "limitr express own")), [])
        self.assertIn("prints something else", self.run_examples(text + marked("output", "", "else"))[0])
        self.assertIn("fails (1)", self.run_examples(marked("test", "js", "throw new Error()"))[0])

    def test_without_the_package_documents_with_modules_do_not_run(self):
        self.assertEqual(self.run_examples(marked("test", "js", "throw new Error()")), [])

    def test_files_are_there_for_later_examples_only(self):
        text = marked("file: own.yaml", "yaml", "a: 1") + marked("test", "sh", "cat own.yaml")
        self.assertEqual(self.run_examples(text + marked("output", "", "a: 1")), [])
        self.assertFalse((self.root / "own.yaml").exists())

    def test_a_file_of_the_tree_is_shown_as_it_is(self):
        (self.root / "run").write_text("a: 1\n")
        self.assertEqual(self.run_examples(marked("file: run", "yaml", "a: 1")), [])
        self.assertIn("different in the tree", self.run_examples(marked("file: run", "yaml", "a: 2"))[0])


if __name__ == "__main__":
    unittest.main()
