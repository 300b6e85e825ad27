// Opens a slide, keeps the address in step with the place, and joins map and panels.

import "ol/ol.css";
import "./style.css";
import { addressOf, ask, type Listing, type Nucleus, type Slide } from "./api";
import { byId, make, rounded, say } from "./dom";
import { Beside } from "./beside";
import { fillLayers } from "./layersPanel";
import { figures, fillList } from "./listPanel";
import { ReviewPanel } from "./reviewPanel";
import { SlideMap, type Shown } from "./slideMap";

const asked = new URLSearchParams(location.search);
const NEAR_PX = 60; // Enter chooses the nucleus nearest to the middle of the screen

async function start(): Promise<void> {
  const listing = await ask<Listing>("api/slides.json");
  const whole = listing.slides.filter((s) => !s.problem);
  const first = whole.find((s) => s.n_nuclei !== null && s.has_slide) ?? whole[0] ?? listing.slides[0];
  const key = asked.get("slide") ?? first?.key;
  if (!key) {
    say("There is nothing to see yet. Reload the page when the first slide is done.", true);
    return;
  }
  const list = byId("list");
  const toggle = byId("open-list");
  toggle.addEventListener("click", () => {
    if (list.hidden) fillList(list, listing, key, openSlide);
    list.hidden = !list.hidden;
    toggle.setAttribute("aria-expanded", String(!list.hidden));
    if (!list.hidden) list.querySelector("input")?.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.hidden = true;
  });
  await show(await ask<Slide>(addressOf(key, ".json")));
}

function openSlide(key: string): void {
  location.search = new URLSearchParams({ slide: key }).toString();
}

async function show(slide: Slide): Promise<void> {
  byId("name").textContent = slide.name;
  byId("name").title = "Where this result came from";
  byId("figures").textContent = figures(slide);
  document.title = `${slide.name} · HoverFast viewer`;
  if (slide.problem) say(slide.problem, true);
  const shown: Shown = {
    slide: !slide.problem,
    outlines: true,
    filled: false,
    density: true,
    mask: asked.get("mask") === "1",
    tiles: false,
    column: asked.get("column") ?? "",
    against: asked.get("against") ?? "",
    beside: asked.get("beside") === "1",
  };
  const map = new SlideMap(slide, shown);
  const beside = new Beside(map, shown, (other, at) => {
    void choose(other.slide, other, null, other.nucleusAt(at.pixel), false, at.coordinate);
  });
  map.onUpdate = () => void beside.update().catch((error: unknown) => say(`The other result cannot be shown: ${String(error)}`));
  map.onUpdate();
  placeView(map, slide);
  fillLayers(byId("layers"), slide, shown, map);
  fillLineage(slide);
  const review =
    slide.result || slide.may_write ? new ReviewPanel(slide, map, () => fillLayers(byId("layers"), slide, shown, map)) : null;
  await review?.load();
  map.map.once("rendercomplete", () => {
    performance.mark("view-drawn"); // what `make viewer-speed` measures
    if (slide.result) void tellTorn(slide);
    if (slide.result) review?.loadQueue().catch((error: unknown) => say(`Where to look first cannot be told: ${String(error)}`));
  });
  map.map.render(); // had everything been drawn already, it would not be told again
  map.map.on("singleclick", (event) => {
    if (review?.isDrawing) return;
    const row = map.nucleusAt(event.pixel);
    void choose(slide, map, review, row, (event.originalEvent as MouseEvent).shiftKey, event.coordinate);
  });
  byId("frame").addEventListener("keydown", (event) => {
    const size = map.map.getSize();
    if (event.key !== "Enter" || review?.isDrawing || !size) return;
    const centre = [size[0] / 2, size[1] / 2];
    const row = map.nucleusAt(centre, NEAR_PX);
    void choose(slide, map, review, row, event.shiftKey, map.view.getCenter() ?? [0, 0]);
  });
  keepAddress(map, slide, shown);
}

/** Says where the file of the nuclei is not the one that was published. */
async function tellTorn(slide: Slide): Promise<void> {
  const { problem } = await ask<{ problem: string }>(addressOf(slide.key, "/torn.json"));
  if (problem) say(problem, true);
}

async function choose(
  slide: Slide,
  map: SlideMap,
  review: ReviewPanel | null,
  row: number | null,
  isMore: boolean,
  at: number[],
): Promise<void> {
  if (!isMore) map.chosen.clear();
  let nucleus: Nucleus | null = null;
  if (row !== null) {
    map.chosen.add(row);
    nucleus = await ask<Nucleus>(addressOf(slide.key, `/nucleus/${row}.json`));
  }
  map.redraw();
  const box = byId("nucleus");
  box.replaceChildren(make("h2", {}, "Nucleus"));
  if (nucleus) {
    const rows = nucleus.measurements.map((m) =>
      make("tr", {}, make("td", {}, m.name), make("td", {}, m.value === null ? "–" : rounded(m.value))),
    );
    box.append(make("table", {}, ...rows), make("p", { class: "hint" }, `x ${rounded(nucleus.centroid[0])}, y ${rounded(nucleus.centroid[1])} px; tile ${nucleus.tile}; ${nucleus.id}`));
  } else {
    box.append(make("p", { class: "hint" }, "Click one, or press Enter for the one in the middle."));
  }
  review?.choose(nucleus, isMore, at);
}

function placeView(map: SlideMap, slide: Slide): void {
  const place = ["x", "y", "r"].map((name) => Number(asked.get(name)));
  if (asked.has("x") && place.every(Number.isFinite) && place[2] > 0) map.go(place[0], place[1], place[2]);
  else map.fit();
  const text = byId("zoom-text");
  const tell = (): void => {
    const mpp = (map.view.getResolution() ?? 1) * slide.mpp[0];
    text.textContent = `${rounded(mpp, 2)} µm per screen pixel, about ${rounded(10 / mpp, 2)}×`;
  };
  map.view.on("change:resolution", tell);
  tell();
}

function keepAddress(map: SlideMap, slide: Slide, shown: Shown): void {
  const address = (): string => {
    const [x, y] = map.view.getCenter() ?? [0, 0];
    const now = new URLSearchParams({ slide: slide.key, x: x.toFixed(0), y: (-y).toFixed(0), r: (map.view.getResolution() ?? 1).toPrecision(4) });
    if (shown.column) now.set("column", shown.column);
    if (shown.against) now.set("against", shown.against);
    if (shown.against && shown.beside) now.set("beside", "1");
    return `${location.pathname}?${now}`;
  };
  map.map.on("moveend", () => history.replaceState(null, "", address()));
  byId("copy").addEventListener("click", async () => {
    const link = new URL(address(), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      say("The link to this place is copied.");
    } catch {
      say(link, true);
    }
  });
}

function fillLineage(slide: Slide): void {
  const box = byId("lineage");
  if (!slide.result) {
    box.hidden = true;
    return;
  }
  const rows = slide.result.lineage.map(([name, text]) => make("tr", {}, make("th", {}, name), make("td", {}, text)));
  const graph = addressOf(slide.key, "/lineage.svg");
  const drawing = make("img", { src: graph, loading: "lazy", alt: "What this result was made from, as a graph" });
  box.append(make("a", { href: graph, target: "_blank", title: "Open the graph in a tab of its own" }, drawing));
  box.append(make("table", {}, ...rows), ...slide.result.warnings.map((w) => make("p", { class: "hint" }, w)));
  byId("name").addEventListener("click", () => {
    (box as HTMLDetailsElement).open = true;
    box.scrollIntoView({ behavior: "smooth" });
  });
}

start().catch((error: unknown) => say(error instanceof Error ? error.message : String(error), true));
