"""What table.py measured, as a Markdown table and as an SVG plot."""
import math
from xml.sax.saxutils import escape

ROW, BAR, LEFT, RIGHT, WIDTH, TOP, BOTTOM = 26, 16, 500, 60, 920, 62, 30  # pixels
MARKS = [1, 2, 5, 10, 20, 50, 100]
COLOURS = {"f32": "#3b6ea5", "bf16": "#c46a2b", "": "#5b8a4a"}
FONT = 'font-family="Helvetica, Arial, sans-serif"'


def amount(value, unit):
    return f"{value:.{ {'s': 3, 'ms': 2}.get(unit, 0)}f} {unit}"


def wanted(value):
    return "" if value is None else value if isinstance(value, str) else f"{value:g} times"


def table(parts):
    """parts: {name: {"rows", "machine", "versions", ...}}."""
    lines = ["| figure | measured | at least | aim | Impasto | beside |", "|---|---|---|---|---|---|"]
    for part in parts.values():
        for row in part["rows"]:
            measured = f"{row['ratio']:.2f} times" if "ratio" in row else row.get("text") or f"absent: {row['absent']}"
            cells = [row["figure"], measured, wanted(row["least"]), wanted(row["aim"]), row.get("ours", ""),
                     row.get("theirs", "")]
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    lines.append("")
    for name, part in parts.items():
        lines.append(f"- `bench/table.py --only {name} --rounds {part['rounds']} --repeats {part['repeats']} --threads "
                     f"{part['threads']}` on {part['machine']}; {', '.join(part['versions']) or 'Impasto alone'}")
    return "\n".join(lines)


def text(x, y, words, anchor="start", size=13, colour="#222"):
    place = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"'
    return f'<text {place} {FONT} font-size="{size}" fill="{colour}">{escape(words)}</text>'


def plot(parts):
    """A bar for every ratio, in a scale of logarithms that begins where both are equal."""
    rows = [row for part in parts.values() for row in part["rows"] if row.get("plot") and "ratio" in row]
    marks = MARKS[:2 + sum(mark < max([row["ratio"] for row in rows], default=1) for mark in MARKS[1:])]
    scale, end = (WIDTH - LEFT - RIGHT) / math.log(marks[-1]), TOP + ROW * len(rows)
    machines = sorted({f"{part['machine']}, {part['threads']} threads" for part in parts.values()})
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end + BOTTOM}">',
             f'<rect width="{WIDTH}" height="{end + BOTTOM}" fill="white"/>',
             text(16, 24, "How many times faster Impasto is, or how many times less memory it takes", size=15)]
    for mark in marks:
        x = LEFT + scale * math.log(mark)
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{end}" stroke="#ccc"/>')
        drawn.append(text(x, TOP - 10, f"{mark}x", "middle", 11, "#666"))
    for i, row in enumerate(rows):
        y, length = TOP + ROW * i, scale * math.log(max(row["ratio"], 1))
        precision = next((p for p in ("bf16", "f32") if f", {p}," in row["figure"]), "")
        drawn.append(text(LEFT - 8, y + BAR - 4, row["figure"], "end", 12))
        drawn.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{COLOURS[precision]}"/>')
        drawn.append(text(LEFT + length + 6, y + BAR - 4, f"{row['ratio']:.1f}", size=12))
    drawn.append(text(16, end + BOTTOM - 10, "; ".join(machines), size=11, colour="#666"))
    return "\n".join(drawn + ["</svg>\n"])
