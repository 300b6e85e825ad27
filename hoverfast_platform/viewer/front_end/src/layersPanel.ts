// The part of the side panel that says what is shown, with the legend of the colours.

import type { Slide } from "./api";
import { make, rounded, tick } from "./dom";
import { BOTH, BY_CLASS, STUDENT, TEACHER, type Shown, type SlideMap } from "./slideMap";

export function fillLayers(panel: HTMLElement, slide: Slide, shown: Shown, map: SlideMap): void {
  const change = (part: Partial<Shown>): void => {
    Object.assign(shown, part);
    map.update();
    fillLayers(panel, slide, shown, map);
  };
  const parts: Node[] = [
    make("h2", {}, "Shown"),
    tick("Slide", shown.slide, (slide) => change({ slide })),
  ];
  if (slide.result) {
    parts.push(
      tick("Outlines of nuclei (zoomed in)", shown.outlines, (outlines) => change({ outlines })),
      tick("Outlines filled", shown.filled, (filled) => change({ filled })),
      tick("Density of nuclei (zoomed out)", shown.density, (density) => change({ density })),
    );
  }
  if (slide.has_mask) {
    parts.push(tick("Tissue mask, and what was left out", shown.mask, (mask) => change({ mask })));
    if (shown.mask) parts.push(leftOut(slide));
  }
  if (slide.result?.tile_step_px.length) {
    parts.push(tick("Borders of tiles", shown.tiles, (tiles) => change({ tiles })));
  }
  if (slide.result) parts.push(...colours(slide, shown, change, map));
  if (shown.tiles && slide.result) parts.push(seamText(slide));
  panel.replaceChildren(...parts);
}

function colours(slide: Slide, shown: Shown, change: (part: Partial<Shown>) => void, map: SlideMap): Node[] {
  const result = slide.result;
  if (!result) return [];
  const parts: Node[] = [];
  if (slide.others.length) {
    const other = choose("Compare with", [["", "nothing"], ...slide.others.map((o): [string, string] => [o.key, o.title])], shown.against);
    other.addEventListener("change", () => change({ against: picked(other) }));
    parts.push(other);
  }
  if (shown.against) {
    parts.push(tick("Side by side", shown.beside, (beside) => change({ beside })));
    return [
      ...parts,
      key(BOTH, "in both (half or more of the area shared)"),
      key(STUDENT, `only in ${slide.title}`),
      key(TEACHER, `only in ${slide.others.find((o) => o.key === shown.against)?.title ?? "the other"}`),
    ];
  }
  const column = choose(
    "Colour by",
    [["", "one colour"], [BY_CLASS, "class that a person gave"], ...result.measurements.map((m): [string, string] => [m.column, m.name])],
    shown.column,
  );
  column.addEventListener("change", () => change({ column: picked(column) }));
  parts.push(column);
  if (shown.column === BY_CLASS) {
    const given = map.classColours();
    parts.push(...given.map(([name, colour]) => key(colour, name)), key("#8a93a0", given.length ? "no class yet" : "nobody gave a class yet"));
  }
  const measured = result.measurements.find((m) => m.column === shown.column);
  if (measured) {
    parts.push(
      ramp(slide.shades),
      make("div", { class: "ends" }, make("span", {}, rounded(measured.p5)), make("span", {}, rounded(measured.p95))),
      make("p", { class: "hint" }, `${measured.definition} Ends: 5th and 95th percentile of this slide.`),
    );
  }
  return parts;
}

/** The colours of the mask: glass, and each reason with its area. */
function leftOut(slide: Slide): HTMLElement {
  const box = make("div", { class: "legend" }, patch("#28303c", "no tissue"));
  for (const { why, colour, lost_mm2, kept_mm2 } of slide.left_out) {
    const areas = [lost_mm2 ? `${rounded(lost_mm2, 2)} mm² left out` : "", kept_mm2 ? `${rounded(kept_mm2, 2)} mm² kept` : ""];
    box.append(patch(colour, `${why}: ${areas.filter(Boolean).join(", ")}`));
  }
  if (!slide.left_out.length) box.append(make("p", { class: "hint" }, "No tissue was left out."));
  return box;
}

function patch(colour: string, text: string): HTMLElement {
  const label = key(colour, text);
  (label.firstElementChild as HTMLElement).style.backgroundColor = colour;
  return label;
}

function ramp(shades: [number, number, number][]): HTMLCanvasElement {
  const canvas = make("canvas", { class: "scale", width: String(shades.length), height: "1", role: "img", "aria-label": "Colours from low to high" });
  const context = canvas.getContext("2d");
  shades.forEach(([r, g, b], i) => {
    if (!context) return;
    context.fillStyle = `rgb(${r},${g},${b})`;
    context.fillRect(i, 0, 1, 1);
  });
  return canvas;
}

function choose(text: string, options: [string, string][], now: string): HTMLLabelElement {
  const list = make("select", { "aria-label": text });
  for (const [value, name] of options) list.append(new Option(name, value, false, value === now));
  const label = make("label", {}, make("span", {}, text), list);
  return label;
}

const picked = (label: HTMLLabelElement): string => label.querySelector("select")?.value ?? "";

function key(colour: string, text: string): HTMLElement {
  const box = make("span", { class: "key" });
  box.style.borderColor = colour;
  return make("label", {}, box, text);
}

function seamText(slide: Slide): HTMLElement {
  const seams = slide.result?.seams;
  const ratio = seams?.density_ratio;
  const density = ratio == null ? "cannot be told" : `${rounded(ratio)} times that inside`;
  return make(
    "p",
    { class: "hint" },
    `At the borders: ${seams?.n_near_seams ?? 0} nuclei, ${seams?.n_duplicates ?? 0} found twice; their density is ${density}.`,
  );
}
