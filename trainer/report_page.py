"""The HTML page of a report: one file, with everything in it, that opens without a network."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STYLE = """
:root { --ink: #1f2933; --soft: #616e7c; --line: #d9dee4; --accent: #b4531f; --paper: #fff; }
body { margin: 0 auto; max-width: 82rem; padding: 2rem 1.5rem 5rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .5rem; padding-top: .6rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
h4 { font-size: .9rem; margin: .8rem 0 .1rem; color: var(--soft); font-weight: 600; }
p { max-width: 60rem; margin: .4rem 0; }
.soft, caption, small { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; caption-side: top; }
th, td { padding: .35rem .8rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: .88rem; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; min-width: 14rem; max-width: 22rem; }
td small, th small { display: block; font-weight: 400; }
td + td small { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content auto; gap: .2rem 1.5rem; margin: 1rem 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
.best { color: var(--accent); font-weight: 700; }
figure { margin: .8rem 0; }
figure img, .pair img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .85rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 2rem;
  align-items: start; }
.query { display: flex; gap: 1rem; align-items: flex-end; margin-top: 2.5rem; }
details { margin: .8rem 0; }
summary { cursor: pointer; font-weight: 600; }
nav { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: 1.2rem; font-size: .9rem; }
a { color: #1f6f8b; }
@media print { details { display: block; } body { max-width: none; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Wrap parts of HTML into a page.

    Args:
        title: Plain text.
        parts: HTML.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(text: str, level: int, *, anchor: str = "") -> str:
    """A heading; the anchor is what links lead to."""
    place = f' id="{escape(anchor, quote=True)}"' if anchor else ""
    return f"<h{level}{place}>{escape(text)}</h{level}>"


def paragraph(text: str, *, soft: bool = False) -> str:
    """A paragraph of plain text."""
    kind = ' class="soft"' if soft else ""
    return f"<p{kind}>{escape(text)}</p>"


def links(places: Iterable[tuple[str, str]]) -> str:
    """Links to anchors on this page, of name and anchor."""
    items = (
        f'<a href="#{escape(anchor, quote=True)}">{escape(name)}</a>' for name, anchor in places
    )
    return f"<nav>{''.join(items)}</nav>"


def terms(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they stand for."""
    items = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{''.join(items)}</dl>"


def table(
    head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], *, caption: str = ""
) -> str:
    """A table that scrolls sideways where it is wide.

    Args:
        head: Of each column, its name and what is written small below it.
        rows: Cells as HTML: made by `cell`, or escaped.
        caption: Plain text.
    """
    above = "".join(
        f'<th scope="col">{escape(name)}{f"<small>{escape(below)}</small>" if below else ""}</th>'
        for name, below in head
    )
    body = "".join(f"<tr>{''.join(f'<td>{text}</td>' for text in row)}</tr>" for row in rows)
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{told}<thead><tr>{above}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def cell(text: str, below: str = "", *, best: bool = False) -> str:
    """Contents of a cell, of plain text."""
    shown = f'<span class="best">{escape(text)}</span>' if best else escape(text)
    return f"{shown}{f'<small>{escape(below)}</small>' if below else ''}"


def picture(content: bytes, kind: str, *, words: str) -> str:
    """A picture within the page.

    Args:
        content: The file's bytes.
        kind: ``png`` or ``webp``.
        words: What it shows, for those who can't see it.
    """
    data = base64.b64encode(content).decode("ascii")
    return f'<img src="data:image/{kind};base64,{data}" alt="{escape(words, quote=True)}">'


def figure(content: bytes, kind: str, *, words: str) -> str:
    """A picture with its words below it."""
    image = picture(content, kind, words=words)
    return f"<figure>{image}<figcaption>{escape(words)}</figcaption></figure>"


def folded(summary: str, content: str) -> str:
    """Something that is opened by a click."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def side_by_side(columns: Iterable[str]) -> str:
    """HTML in columns, or below each other where the window is narrow."""
    return f'<div class="pair">{"".join(f"<div>{column}</div>" for column in columns)}</div>'
