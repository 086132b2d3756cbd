"""What table.py measured, as a Markdown table and as an SVG plot."""
from xml.sax.saxutils import escape

ROW, BAR, LEFT, RIGHT, WIDTH, TOP = 26, 15, 400, 70, 860, 44  # pixels
COLOURS = {"f32": "#3b6ea5", "bf16": "#c46a2b", "": "#5b8a4a"}
FONT = 'font-family="Helvetica, Arial, sans-serif"'


def amount(value, unit):
    return f"{value:.3f} s" if unit == "s" else f"{value:.0f} {unit}"


def wanted(value):
    return "" if value is None else value if isinstance(value, str) else f"{value:g} times"


def table(parts):
    """parts: {name: {"rows", "machine", "versions", ...}}."""
    lines = ["| figure | measured | at least | aim | Impasto | beside |", "|---|---|---|---|---|---|"]
    for part in parts.values():
        for row in part["rows"]:
            measured = f"{row['ratio']:.2f} times" if "ratio" in row else row.get("text") or f"absent: {row['absent']}"
            cells = [row["figure"], measured, wanted(row["least"]), wanted(row["aim"]), row.get("ours", ""), row.get("theirs", "")]
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    lines.append("")
    for name, part in parts.items():
        lines.append(f"- `bench/table.py --only {name} --rounds {part['rounds']} --repeats {part['repeats']} --threads "
                     f"{part['threads']}` on {part['machine']}; {', '.join(part['versions']) or 'the same Impasto'}")
    return "\n".join(lines)


def text(x, y, words, anchor="start", size=13, colour="#222"):
    return f'<text x="{x:.0f}" y="{y:.0f}" {FONT} font-size="{size}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'


def plot(parts):
    """A bar for every ratio; a line where both would be equal."""
    rows = [row for part in parts.values() for row in part["rows"] if row.get("plot") and "ratio" in row]
    largest = max([row["ratio"] for row in rows], default=1)
    scale, height = (WIDTH - LEFT - RIGHT) / largest, TOP + ROW * len(rows) + 16
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             text(16, 24, "How many times faster Impasto is, or how many times less memory it takes", size=15)]
    for i, row in enumerate(rows):
        y = TOP + ROW * i
        precision = next((p for p in ("bf16", "f32") if f", {p}," in row["figure"]), "")
        drawn.append(text(LEFT - 8, y + BAR - 3, row["figure"], "end", 12))
        drawn.append(f'<rect x="{LEFT}" y="{y}" width="{scale * row["ratio"]:.1f}" height="{BAR}" fill="{COLOURS[precision]}"/>')
        drawn.append(text(LEFT + scale * row["ratio"] + 6, y + BAR - 3, f"{row['ratio']:.1f}", size=12))
    one = LEFT + scale
    drawn.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{TOP - 6}" y2="{height - 10}" stroke="#222" stroke-dasharray="3 3"/>')
    return "\n".join(drawn + ["</svg>\n"])
