// Judging and correcting: every action is saved at once, and the server refuses what another
// person has changed meanwhile.

import Feature from "ol/Feature";
import { LineString, Polygon } from "ol/geom";
import Draw from "ol/interaction/Draw";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { Fill, Stroke, Style } from "ol/style";
import { addressOf, ask, Refused, send, type Drawn, type Field, type Nucleus, type Review, type Slide } from "./api";
import { button, byId, make, say } from "./dom";
import type { SlideMap } from "./slideMap";
import { split } from "./split";

type Ring = [number, number][];
interface Target {
  id: string;
  row: number;
  ring: Ring;
}

const line = (color: string, lineDash?: number[], width = 2.2): Style =>
  new Style({ stroke: new Stroke({ color, width, lineDash }), fill: new Fill({ color: "#ffffff01" }) });
const STYLES: Record<string, Style> = {
  drawn: line("#e66100"),
  region: line("#1a5fb4", [9, 6]),
  wrong: new Style({ stroke: new Stroke({ color: "#c64600", width: 2 }), fill: new Fill({ color: "#e6610033" }) }),
  field: line("#000c", [4, 4], 1.5),
  chosen: line("#ffd60a", undefined, 3.2),
};

export class ReviewPanel {
  isDrawing = false;
  private review: Review | null = null;
  private queue: Field[] = [];
  private inQueue = -1;
  private targets: Target[] = [];
  private draw: Draw | null = null;
  private readonly source = new VectorSource();
  private readonly fields = new VectorSource();
  private readonly panel = byId("review");

  constructor(
    private readonly slide: Slide,
    private readonly map: SlideMap,
  ) {
    const style = (feature: { get: (name: string) => unknown }): Style => {
      const isChosen = this.targets.some((target) => target.id === feature.get("id"));
      return STYLES[isChosen ? "chosen" : (feature.get("kind") as string)];
    };
    map.map.addLayer(new VectorLayer({ source: this.source, style, zIndex: 5 }));
    map.map.addLayer(new VectorLayer({ source: this.fields, style: STYLES.field, zIndex: 4 }));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  async load(): Promise<void> {
    this.take(await ask<Review>(addressOf(this.slide.key, "/review")));
    if (this.slide.result) this.queue = await ask<Field[]>(addressOf(this.slide.key, "/queue"));
    this.fill();
    window.setInterval(() => void this.refresh(), 5000);
  }

  /** Takes over a nucleus of the result that was clicked, or an outline that a person drew there. */
  choose(nucleus: Nucleus | null, isMore: boolean, at: number[]): void {
    if (!isMore) this.targets = [];
    const drawn = this.source.getFeaturesAtCoordinate(at).find((one) => one.get("kind") === "drawn");
    if (drawn) {
      this.targets.push({ id: drawn.get("id") as string, row: -1, ring: drawn.get("ring") as Ring });
    } else if (nucleus) {
      this.targets.push({ id: nucleus.id, row: nucleus.row, ring: nucleus.ring });
    }
    this.source.changed();
    this.fill();
  }

  private get author(): string {
    return localStorage.getItem("hoverfast-author") ?? "";
  }

  private take(review: Review): void {
    this.review = review;
    this.source.clear();
    const add = (those: Drawn[], kind: string): void => {
      for (const { id, ring } of those) {
        const closed = [...ring, ring[0]].map(([x, y]) => [x, -y]);
        this.source.addFeature(new Feature({ geometry: new Polygon([closed]), kind, id, ring }));
      }
    };
    add(review.drawn, "drawn");
    add(review.regions, "region");
    add(review.wrong_tiles, "wrong");
    this.map.hidden = new Set(review.removed_rows);
    this.map.redraw();
  }

  private async refresh(): Promise<void> {
    if (this.isDrawing || document.hidden) return;
    const review = await ask<Review>(addressOf(this.slide.key, "/review")).catch(() => null);
    if (review && review.last !== this.review?.last) {
      this.take(review);
      this.fill();
    }
  }

  private async save(kind: string, more: { targets?: Target[]; outlines?: Ring[]; class_name?: string; undoes?: number } = {}): Promise<void> {
    if (!this.author) {
      say("Enter your name first: every correction says whose it is.");
      this.panel.querySelector<HTMLInputElement>("input[name=author]")?.focus();
      return;
    }
    const { targets = [], ...rest } = more;
    const edit = { kind, by: this.author, seen: this.review?.last ?? 0, targets: targets.map((t) => t.id), rows: targets.map((t) => t.row), ...rest };
    try {
      this.take(await send<Review>(addressOf(this.slide.key, "/review"), edit));
      this.targets = [];
      this.map.chosen.clear();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(error.message);
      if (error.status === 409) await this.refresh();
    }
    this.map.redraw();
    this.fill();
  }

  private startDrawing(kind: "Polygon" | "LineString" | "Box", text: string, done: (ring: Ring) => void): void {
    this.stopDrawing();
    this.isDrawing = true;
    say(text, true);
    const freehand = kind === "Polygon";
    this.draw = new Draw({ type: kind === "Box" ? "Polygon" : kind, freehand, source: undefined });
    this.draw.on("drawend", (event) => {
      const geometry = event.feature.getGeometry() as Polygon | LineString;
      const simple = freehand ? (geometry.simplify(0.6) as Polygon) : geometry;
      const points = simple instanceof Polygon ? simple.getCoordinates()[0].slice(0, -1) : simple.getCoordinates();
      const ring = points.map(([x, y]): [number, number] => [x, -y]);
      window.setTimeout(() => {
        this.stopDrawing();
        say("");
        done(ring);
      });
    });
    this.map.map.addInteraction(this.draw);
  }

  private stopDrawing(): void {
    if (this.draw) this.map.map.removeInteraction(this.draw);
    this.draw = null;
    this.isDrawing = false;
  }

  private reject = (): void => void this.save("reject", { targets: this.targets.slice(0, 1) });
  private accept = (): void => void this.save("accept", { targets: this.targets.slice(0, 1) });
  private add = (): void =>
    this.startDrawing("Polygon", "Draw around the nucleus with the mouse button held down.", (ring) => void this.save("add", { outlines: [ring] }));
  private redraw = (): void => {
    const targets = this.targets.slice(0, 1);
    this.startDrawing("Polygon", "Draw its right outline with the mouse button held down.", (ring) => void this.save("redraw", { targets, outlines: [ring] }));
  };
  private cut = (): void => {
    const targets = this.targets.slice(0, 1);
    this.startDrawing("LineString", "Draw a line across the nucleus; a double click ends it.", (path) => {
      const parts = split(targets[0].ring, path);
      if (parts) void this.save("split", { targets, outlines: parts });
      else say("The line must begin and end outside the nucleus and cross its outline twice.");
    });
  };
  private merge = (): void => {
    const targets = this.targets;
    this.startDrawing("Polygon", "Draw around the one nucleus that they are.", (ring) => void this.save("merge", { targets, outlines: [ring] }));
  };
  private region = (): void =>
    this.startDrawing("Box", "Click the corners of what you looked at; a double click ends it.", (ring) => void this.save("region", { outlines: [ring] }));
  private classify = (): void => {
    const name = this.panel.querySelector<HTMLInputElement>("input[name=class]")?.value.trim() ?? "";
    if (name) void this.save("set_class", { targets: this.targets.slice(0, 1), class_name: name });
    else say("Enter the name of the class first.");
  };
  private undo = (): void => {
    const undone = new Set(this.review?.edits.filter((e) => e.kind === "undo").map((e) => e.undoes));
    const mine = this.review?.edits.filter((e) => e.by === this.author && e.kind !== "undo" && !undone.has(e.number)).at(-1);
    if (mine) void this.save("undo", { undoes: mine.number });
    else say("There is nothing of yours to take back.");
  };

  private fieldRing(): Ring | null {
    const field = this.queue[this.inQueue];
    if (!field) return null;
    const { x0, y0, side } = field;
    const x1 = Math.min(x0 + side, this.slide.width);
    const y1 = Math.min(y0 + side, this.slide.height);
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  }

  private next(step = 1): void {
    if (!this.queue.length) return;
    this.inQueue = (this.inQueue + step + this.queue.length) % this.queue.length;
    const field = this.queue[this.inQueue];
    const ring = this.fieldRing();
    if (!ring) return;
    this.fields.clear();
    this.fields.addFeature(new Feature(new Polygon([[...ring, ring[0]].map(([x, y]) => [x, -y])])));
    this.map.go(field.x0 + field.side / 2, field.y0 + field.side / 2, (field.side * 1.5) / (this.map.map.getSize()?.[1] ?? 700));
    this.fill();
  }

  private judgeField(kind: "region" | "wrong_tile"): void {
    const ring = this.fieldRing();
    if (ring) void this.save(kind, { outlines: [ring] }).then(() => this.next());
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      this.stopDrawing();
      say("");
    }
    const isTyping = event.target instanceof HTMLElement && ["INPUT", "SELECT"].includes(event.target.tagName);
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "n") this.next();
    if (event.key === "p") this.next(-1);
    if (!this.slide.may_write || this.isDrawing) return;
    if (event.key === "r") this.judgeField("region");
    if (event.key === "w") this.judgeField("wrong_tile");
    if (event.key === "u") this.undo();
    if (event.key === "d") this.add();
    if (!this.targets.length) return;
    if (event.key === "a") this.accept();
    if (event.key === "x" || event.key === "Delete") this.reject();
  }

  private fill(): void {
    const parts: Node[] = [make("h2", {}, "Look here first")];
    parts.push(this.queueList());
    if (this.slide.may_write) parts.push(...this.tools());
    this.panel.hidden = !this.queue.length && !this.slide.may_write;
    this.panel.replaceChildren(...parts);
  }

  private queueList(): HTMLElement {
    const list = make("ol", { class: "queue" });
    this.queue.forEach((field, i) => {
      const row = button(`${i + 1}. ${field.reason} (${field.n_nuclei} nuclei)`, () => {
        this.inQueue = i - 1;
        this.next();
      });
      if (i === this.inQueue) row.className = "on";
      list.append(make("li", {}, row));
    });
    return list;
  }

  private tools(): Node[] {
    const author = make("input", { type: "text", name: "author", placeholder: "Your name", "aria-label": "Your name", value: this.author });
    author.addEventListener("change", () => localStorage.setItem("hoverfast-author", author.value.trim()));
    const n = this.targets.length;
    const one = (text: string, onClick: () => void, isOn: boolean): HTMLButtonElement => {
      const made = button(text, onClick);
      made.disabled = !isOn;
      return made;
    };
    const kind = make("input", { type: "text", name: "class", placeholder: "Class", "aria-label": "Class", list: "classes" });
    const known = make("datalist", { id: "classes" }, ...[...new Set(Object.values(this.review?.classes ?? {}))].map((c) => make("option", { value: c })));
    const judged = this.inQueue >= 0;
    return [
      make("h2", {}, "Correct"),
      make("div", { class: "row" }, author),
      make("div", { class: "row" }, one("Right (a)", this.accept, n === 1), one("Wrong (x)", this.reject, n === 1), one("Redraw", this.redraw, n === 1), one("Split", this.cut, n === 1), one("Merge", this.merge, n > 1)),
      make("div", { class: "row" }, button("Draw a new one (d)", this.add), button("Draw a region", this.region)),
      make("div", { class: "row" }, kind, known, one("Set class", this.classify, n === 1)),
      make("div", { class: "row" }, one("Field is right now (r)", () => this.judgeField("region"), judged), one("Field is wrong (w)", () => this.judgeField("wrong_tile"), judged)),
      make("div", { class: "row" }, button("Undo mine (u)", this.undo)),
      make("p", { class: "hint" }, this.summary()),
    ];
  }

  private summary(): string {
    const review = this.review;
    if (!review?.last) return "Nothing corrected yet. Shift-click chooses several nuclei; n and p go through the fields.";
    const saved = review.file ? ` Saved in ${review.file}.` : "";
    return `${review.n_removed} removed, ${review.drawn.length} drawn, ${review.accepted.length} found right, ${review.regions.length} regions looked at, ${review.wrong_tiles.length} fields wrong.${saved}`;
  }
}
