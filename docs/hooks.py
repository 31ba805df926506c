"""Puts pages on the site that live beside what they describe: the format, security, model cards."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PUBLISHED = {
    "schemas/FORMAT.md": "format.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/miniature/README.md": "miniature/index.md",
    "data/miniature/cards/chain.md": "miniature/chain.md",
    "data/miniature/cards/generator.md": "miniature/generator.md",
    "data/miniature/cards/sam.md": "miniature/sam.md",
    "data/miniature/cards/features.md": "miniature/features.md",
    "data/miniature/cards/clip.md": "miniature/clip.md",
    "data/vocabularies/SOURCES.md": "vocabularies.md",
    "data/check/README.md": "check-photographs.md",
}
"""Pages of the site by the files of the repository that hold their text."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for every file of PUBLISHED."""
    repository = Path(config.config_file_path or "mkdocs.yml").parent
    for source, page in PUBLISHED.items():
        text = (repository / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, source, page)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Has links to files of the repository lead to their pages."""
    name = page.file.src_uri
    return markdown if name in PUBLISHED.values() else relinked(markdown, f"docs/{name}", name)


def relinked(text: str, source: str, page: str) -> str:
    """The text of a repository's file with its relative links as they are from a page.

    What is not on the site is named instead of linked.
    """

    def link(match: re.Match[str]) -> str:
        image, words, target, anchor = match.groups(default="")
        if ":" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path.startswith("docs/"):
            found = path.removeprefix("docs/")
        elif path in PUBLISHED:
            found = PUBLISHED[path]
        else:
            return f"{words} (`{path}`)"
        return f"{image}[{words}]({posixpath.relpath(found, posixpath.dirname(page))}{anchor})"

    return _LINK.sub(link, text)
