"""What the site has beside docs/: pages from the root of the tree; and what it must not have: anything fetched."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
#: The README is the first page, so that nothing is written twice.
PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from the root, with links as seen from docs/."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        for other, name in PAGES.items():
            text = text.replace(f"]({name}", f"]({other}")
        files.append(File.generated(config, page, content=text))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that a browser without a network would not show in full."""
    fetched = re.findall(r"""(?:src=|<link[^>]+href=)["']?(https?://[^"' >]+)""", output)
    if fetched:
        raise PluginError(f"{page.file.src_uri} loads {fetched[0]}; put what it needs into docs/")
    return output
