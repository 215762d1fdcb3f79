#!/usr/bin/env python3
"""The pages and drawings that Pannier writes, opened in headless Chromium by day and by night, wide and narrow.

Run by `make interop`; PANNIER in the environment names another binary, CHROMIUM another browser, and PAGES a folder that
screenshots are kept in, for people to look at.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from common import ROOT, SAMPLE, check, run

CHROMIUM = os.environ.get("CHROMIUM", "chromium")
STEPS = ROOT / "Samples/Steps/run.pannier"
WIDE, NARROW = 1200, 480

# What the browser sees of a page: runs in it, behind everything else.
LOOK = """
<pre id="seen" hidden=""></pre>
<script>
function luminance(color) {
  const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map(x => x / 255)
    .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const paper = luminance(getComputedStyle(document.body).backgroundColor);
function contrast(color) {
  const ink = luminance(color);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}
const faults = [], texts = [...document.querySelectorAll("svg text")];
const drawn = [...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect());
for (const svg of document.querySelectorAll("svg")) {
  const frame = svg.getBoundingClientRect(), within = [...svg.querySelectorAll("text")];
  const scale = frame.width / svg.viewBox.baseVal.width;
  const boxes = within.map(text => text.getBoundingClientRect());
  within.forEach((text, i) => {
    const box = boxes[i], style = getComputedStyle(text), size = parseFloat(style.fontSize) * scale;
    const said = JSON.stringify(text.textContent);
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      faults.push(said + " leaves its drawing");
    if (size < 9) faults.push(said + " is set in " + size.toFixed(1) + " pixels");
    if (contrast(style.fill) < 4.5) faults.push(said + " has a contrast of " + contrast(style.fill).toFixed(1));
    for (let j = 0; j < i; j++) {
      const across = Math.min(box.right, boxes[j].right) - Math.max(box.left, boxes[j].left);
      const down = Math.min(box.bottom, boxes[j].bottom) - Math.max(box.top, boxes[j].top);
      // Boxes are as high as a line, letters are not.
      if (across > 1 && down > 4) faults.push(said + " is over " + JSON.stringify(within[j].textContent));
    }
  });
}
for (const element of document.querySelectorAll("main *:not(svg *)")) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  const color = getComputedStyle(element).color;
  if (own && contrast(color) < 4.5) faults.push(element.tagName + " has a contrast of " + contrast(color).toFixed(1));
}
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth)
  faults.push("the page is " + root.scrollWidth + " pixels wide where " + root.clientWidth + " are");
if (drawn.some(frame => frame.width < 50 || frame.height < 50)) faults.push("a drawing has no size");
document.getElementById("seen").textContent = JSON.stringify({
  paper, faults, drawings: drawn.length, texts: texts.length,
  fetched: performance.getEntriesByType("resource").map(entry => entry.name)});
</script>
"""

# How colours look to people who lack one kind of cone, on linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.
BLINDNESS = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def browser(page, night, width, *options):
    """What Chromium prints with a page open."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if night else ["--blink-settings=preferredColorScheme=1"]
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             # What is asked for elsewhere is not there.
             "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", f"--window-size={width},1600",
             *scheme, *options, page.as_uri()],
            capture_output=True, text=True, timeout=120)
    if done.returncode:
        sys.exit(f"FAILED: {CHROMIUM} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


def look(name, page, widths=(WIDE, NARROW)):
    """Opens a page each way, and checks what the browser says of it."""
    source = page.read_text()
    check(f"{name}: no script, nothing from elsewhere", not re.search(r"<script|<link|<img|<iframe|@import|url\(|\ssrc=", source))
    ElementTree.fromstring(source.removeprefix("<!DOCTYPE html>"))
    looked = page.with_name("looked-" + page.name)
    looked.write_text(source.replace("</main>", "</main>" + LOOK))
    for night in False, True:
        for width in widths:
            how = f"{name}, {'by night' if night else 'by day'}, {width} wide"
            found = re.search(r'<pre id="seen"[^>]*>(.*?)</pre>', browser(looked, night, width, "--dump-dom"), re.S)
            seen = json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
            for fault in seen["faults"][:10]:
                print(f"  {how}: {fault}")
            check(f"{how}: {seen['drawings']} drawings, {seen['texts']} texts in them, all in place and legible",
                  not seen["faults"] and not seen["fetched"] and seen["drawings"] > 0 and seen["texts"] > 0
                  and (seen["paper"] < 0.1 if night else seen["paper"] > 0.9))
            if "PAGES" in os.environ:
                kept = pathlib.Path(os.environ["PAGES"]).resolve()
                kept.mkdir(parents=True, exist_ok=True)
                picture = kept / f"{name.replace(' ', '-')}-{'night' if night else 'day'}-{width}.png"
                browser(page, night, width, f"--screenshot={picture}")


def lightness(color, matrix=None):
    """L* of `#rrggbb`, between 0 and 100."""
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
              for x in (int(color[i:i + 2], 16) / 255 for i in (1, 3, 5))]
    if matrix:
        linear = [min(1, max(0, sum(a * b for a, b in zip(row, linear)))) for row in matrix]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 216 / 24389 else y * 24389 / 27


def colors(name, drawing):
    """The legend's colours rise in lightness, whoever looks at them."""
    boxes = [(float(box.get("y")), float(box.get("x")), box.get("fill"))
             for box in ElementTree.fromstring(drawing.read_text()).iter("{http://www.w3.org/2000/svg}rect")
             if re.fullmatch("#[0-9a-f]{6}", box.get("fill") or "") and box.get("height") == "12"]
    legend = [fill for _, _, fill in sorted(boxes)]
    check(f"{name}: a legend of {len(legend)} colours", len(legend) >= 8)
    for whose, matrix in [("everybody", None), *BLINDNESS.items()]:
        lights = [lightness(fill, matrix) for fill in legend]
        check(f"{name}: its colours rise in lightness for {whose}, from {lights[0]:.0f} to {lights[-1]:.0f}",
              all(a < b for a, b in zip(lights, lights[1:])) and lights[-1] - lights[0] > 50)


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        wanted = {
            "differences": ["diff", f"{STEPS}:300", f"{STEPS}:900"],
            "a run": ["diff", STEPS],
            "parity": ["parity", SAMPLE, SAMPLE.with_name(SAMPLE.name + "-Q4_K_M.gguf"), "--layers", "--chunks", "1",
                       "--text", ROOT / "Samples/heldout.txt"],
            "an archive": ["archive", "list", STEPS],
        }
        for name, command in wanted.items():
            page, drawing = folder / f"{name.replace(' ', '-')}.html", folder / f"{name.replace(' ', '-')}.svg"
            done = run(*command, "--html", page, "--svg", drawing)
            check(f"{name}: page and drawing are written", done.returncode in (0, 1) and page.exists() and drawing.exists())
            look(name, page)
            # A drawing that stands alone, as a browser takes it, and what is in it.
            around = folder / "around.html"
            around.write_text(
                f'<!DOCTYPE html><img src="{drawing.name}" onload="document.title = this.naturalWidth" '
                'onerror="document.title = 0">')
            width = re.search(r"<title>(\d+)</title>", browser(around, False, WIDE, "--dump-dom"))
            check(f"{name}: the drawing stands alone", width and int(width.group(1)) > 100)
            element = drawing.read_text().split("?>", 1)[1]
            around.write_text(
                f'<html><body style="background: var(--paper)"><main>{element}</main></body></html>')
            look(f"{name}, the drawing", around, [WIDE])
            if name == "differences":
                colors(name, drawing)


main()
