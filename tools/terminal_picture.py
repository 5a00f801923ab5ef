#!/usr/bin/python3
"""Draws plain text as a terminal window, as SVG: tools/terminal_picture.py TITLE <text >picture.svg

Lines that begin with "$ " are drawn as typed. Used for docs/terminal.svg, from the real output of
the commands that the README shows.
"""
import html
import sys

COLUMN, LINE, MARGIN, BAR = 8.4, 19, 16, 34


def main():
    title = sys.argv[1] if len(sys.argv) > 1 else "terminal"
    lines = sys.stdin.read().rstrip("\n").split("\n")
    width = int(2 * MARGIN + COLUMN * max(len(line) for line in lines))
    height = BAR + MARGIN + LINE * len(lines)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
          f'viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">')
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#1d2129"/>')
    for i, colour in enumerate(("#ec6a5e", "#f4bf4f", "#61c554")):
        print(f'<circle cx="{20 + 20 * i}" cy="17" r="6" fill="{colour}"/>')
    print(f'<text x="{width / 2}" y="22" fill="#9aa3b2" text-anchor="middle" '
          f'font-family="sans-serif" font-size="13">{html.escape(title)}</text>')
    print('<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" '
          'xml:space="preserve">')
    for i, line in enumerate(lines):
        colour = "#8fd4ff" if line.startswith("$ ") else "#d7dce5"
        print(f'<text x="{MARGIN}" y="{BAR + 14 + LINE * i}" fill="{colour}">'
              f'{html.escape(line)}</text>')
    print("</g>\n</svg>")


if __name__ == "__main__":
    main()
