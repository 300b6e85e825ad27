// Judging and correcting: every action is saved at once, and the server refuses what another
// person has changed meanwhile.

import Feature from "ol/Feature";
import { LineString, Polygon } from "ol/geom";
import Draw, { createBox } from "ol/interaction/Draw";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { Fill, Stroke, Style } from "ol/style";
import { addressOf, ask, Refused, send, type Drawn, type Field, type Nucleus, type Review, type Slide } from "./api";
import { button, byId, make, say } from "./dom";
import { area, hull, split, type Ring } from "./outlines";
import type { SlideMap } from "./slideMap";

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
const SMALLEST_PX2 = 9; // level-0 pixels: less is a slip of the hand

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
  // These two live on when the panel is filled anew, so that nothing typed is lost.
  private readonly author = make("input", { type: "text", name: "author", placeholder: "Your name", "aria-label": "Your name" });
  private readonly className = make("input", { type: "text", name: "class", placeholder: "Class", "aria-label": "Class", list: "classes" });

  constructor(
    private readonly slide: Slide,
    private readonly map: SlideMap,
    private readonly onReview: (review: Review) => void,
  ) {
    const style = (feature: { get: (name: string) => unknown }): Style => {
      const isChosen = this.targets.some((target) => target.id === feature.get("id"));
      return STYLES[isChosen ? "chosen" : (feature.get("kind") as string)];
    };
    map.map.addLayer(new VectorLayer({ source: this.source, style, zIndex: 5 }));
    map.map.addLayer(new VectorLayer({ source: this.fields, style: STYLES.field, zIndex: 4 }));
    this.author.value = localStorage.getItem("hoverfast-author") ?? "";
    this.author.addEventListener("input", () => localStorage.setItem("hoverfast-author", this.author.value.trim()));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  async load(): Promise<void> {
    this.take(await ask<Review>(addressOf(this.slide.key, "/review.json")));
    this.fill();
    window.setInterval(() => void this.refresh(), 5000);
  }

  /** Asks where to look first; the server reads all nuclei for it, so the first view comes before. */
  async loadQueue(): Promise<void> {
    this.queue = await ask<Field[]>(addressOf(this.slide.key, "/queue.json"));
    this.fill();
  }

  /** Takes over a nucleus of the result that was clicked, or an outline that a person drew there. */
  choose(nucleus: Nucleus | null, isMore: boolean, at: number[]): void {
    if (!isMore) this.targets = [];
    const drawn = this.source.getFeaturesAtCoordinate(at).find((one) => one.get("kind") === "drawn");
    const found = drawn ? { id: drawn.get("id") as string, row: -1, ring: drawn.get("ring") as Ring } : nucleus;
    if (found && !this.targets.some((target) => target.id === found.id)) {
      this.targets.push({ id: found.id, row: found.row, ring: found.ring });
    }
    this.source.changed();
    this.fill();
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
    this.map.accepted = new Set(review.accepted_rows);
    this.map.classes = new Map(review.class_rows);
    this.map.redraw();
    this.onReview(review);
  }

  private async refresh(): Promise<void> {
    if (this.isDrawing || document.hidden) return;
    const review = await ask<Review>(addressOf(this.slide.key, "/review.json")).catch(() => null);
    if (review && review.last !== this.review?.last) {
      this.take(review);
      this.fill();
    }
  }

  private async save(kind: string, more: { targets?: Target[]; outlines?: Ring[]; class_name?: string; undoes?: number } = {}): Promise<boolean> {
    const by = this.author.value.trim();
    if (!by) {
      say("Enter your name first: every correction says whose it is.");
      this.author.focus();
      return false;
    }
    const { targets = [], ...rest } = more;
    const edit = { kind, by, seen: this.review?.last ?? 0, targets: targets.map((t) => t.id), rows: targets.map((t) => t.row), ...rest };
    let isSaved = false;
    try {
      this.take(await send<Review>(addressOf(this.slide.key, "/review"), edit));
      this.targets = [];
      this.map.chosen.clear();
      isSaved = true;
    } catch (error) {
      say(error instanceof Refused ? error.message : `This was not saved, the viewer does not answer: ${String(error)}`);
      if (error instanceof Refused && error.status === 409) await this.refresh();
    }
    this.map.redraw();
    this.source.changed();
    this.fill();
    return isSaved;
  }

  private startDrawing(kind: "Freehand" | "Line" | "Box", text: string, done: (ring: Ring) => void): void {
    this.stopDrawing();
    this.isDrawing = true;
    say(text, true);
    const kinds = {
      Freehand: { type: "Polygon" as const, freehand: true },
      Line: { type: "LineString" as const },
      Box: { type: "Circle" as const, geometryFunction: createBox() },
    };
    this.draw = new Draw(kinds[kind]);
    this.draw.on("drawend", (event) => {
      const drawn = event.feature.getGeometry() as Polygon | LineString;
      const simple = kind === "Freehand" ? (drawn.simplify(0.6) as Polygon) : drawn;
      const points = simple instanceof Polygon ? simple.getCoordinates()[0].slice(0, -1) : simple.getCoordinates();
      const ring = points.map(([x, y]): [number, number] => [x, -y]);
      window.setTimeout(() => {
        this.stopDrawing();
        if (kind !== "Line" && (ring.length < 3 || area(ring) < SMALLEST_PX2)) {
          say("That was too small to be anything. Hold the mouse button down while you draw.");
          return;
        }
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
    this.startDrawing("Freehand", "Draw around the nucleus with the mouse button held down.", (ring) => void this.save("add", { outlines: [ring] }));
  private redraw = (): void => {
    const targets = this.targets.slice(0, 1);
    this.startDrawing("Freehand", "Draw its right outline with the mouse button held down.", (ring) => void this.save("redraw", { targets, outlines: [ring] }));
  };
  private cut = (): void => {
    const targets = this.targets.slice(0, 1);
    this.startDrawing("Line", "Click on both sides of the nucleus to cut it; a double click ends the line.", (path) => {
      const parts = split(targets[0].ring, path);
      if (parts) void this.save("split", { targets, outlines: parts });
      else say("The line must begin and end outside the nucleus and cross its outline twice.");
    });
  };
  private merge = (): void => {
    const targets = this.targets;
    void this.save("merge", { targets, outlines: [hull(targets.flatMap((target) => target.ring))] });
  };
  private drawArea(kind: "region" | "wrong_tile", text: string): void {
    this.startDrawing("Box", `Click two opposite corners of ${text}.`, (ring) => void this.save(kind, { outlines: [ring] }));
  }
  private classify = (): void => {
    const class_name = this.className.value.trim();
    if (class_name) void this.save("set_class", { targets: this.targets.slice(0, 1), class_name });
    else {
      say("Enter the name of the class first.");
      this.className.focus();
    }
  };
  private undo = (): void => {
    const undone = new Set(this.review?.edits.filter((e) => e.kind === "undo").map((e) => e.undoes));
    const by = this.author.value.trim();
    const mine = this.review?.edits.filter((e) => e.by === by && e.kind !== "undo" && !undone.has(e.number)).at(-1);
    if (mine) void this.save("undo", { undoes: mine.number });
    else say("There is nothing of yours to take back.");
  };

  private ringOf(field: Field): Ring {
    const { x0, y0, side } = field;
    const x1 = Math.min(x0 + side, this.slide.width);
    const y1 = Math.min(y0 + side, this.slide.height);
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  }

  private isJudged(field: Field): boolean {
    const judged = [...(this.review?.regions ?? []), ...(this.review?.wrong_tiles ?? [])];
    const ring = JSON.stringify(this.ringOf(field));
    return judged.some((one) => JSON.stringify(one.ring) === ring);
  }

  private goTo(index: number): void {
    if (!this.queue.length) return;
    this.inQueue = (index + this.queue.length) % this.queue.length;
    const field = this.queue[this.inQueue];
    const ring = this.ringOf(field);
    this.fields.clear();
    this.fields.addFeature(new Feature(new Polygon([[...ring, ring[0]].map(([x, y]) => [x, -y])])));
    this.map.go(field.x0 + field.side / 2, field.y0 + field.side / 2, (field.side * 1.25) / (this.map.map.getSize()?.[1] ?? 700));
    this.fill();
  }

  private async judgeField(kind: "region" | "wrong_tile"): Promise<void> {
    const field = this.queue[this.inQueue];
    if (field && (await this.save(kind, { outlines: [this.ringOf(field)] }))) this.goTo(this.inQueue + 1);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.isDrawing) {
      this.stopDrawing();
      say("");
    }
    const isTyping = event.target instanceof HTMLElement && ["INPUT", "SELECT"].includes(event.target.tagName);
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "n") this.goTo(this.inQueue + 1);
    if (event.key === "p") this.goTo(this.inQueue - 1);
    if (!this.slide.may_write || this.isDrawing) return;
    if (event.key === "r") void this.judgeField("region");
    if (event.key === "w") void this.judgeField("wrong_tile");
    if (event.key === "u") this.undo();
    if (event.key === "d") this.add();
    if (this.targets.length !== 1) return;
    if (event.key === "a") this.accept();
    if (event.key === "x" || event.key === "Delete") this.reject();
  }

  private fill(): void {
    const parts: Node[] = this.slide.may_write ? this.tools() : [];
    if (this.queue.length) parts.push(make("h2", {}, "Look here first (n next, p back)"), this.queueList());
    this.panel.hidden = !parts.length;
    this.panel.replaceChildren(...parts);
    this.panel.querySelector("ol .on")?.scrollIntoView({ block: "nearest" });
  }

  private queueList(): HTMLElement {
    const list = make("ol", { class: "queue" });
    this.queue.forEach((field, i) => {
      const done = this.isJudged(field) ? " ✓" : "";
      const row = button(`${i + 1}. ${field.reason} (${field.n_nuclei})${done}`, () => this.goTo(i), `${field.n_nuclei} nuclei`);
      if (i === this.inQueue) row.className = "on";
      list.append(make("li", {}, row));
    });
    return list;
  }

  private tools(): Node[] {
    const n = this.targets.length;
    const one = (text: string, title: string, onClick: () => void, isOn = true): HTMLButtonElement => {
      const made = button(text, onClick, title);
      made.disabled = !isOn;
      return made;
    };
    const given = [...new Set((this.review?.class_rows ?? []).map(([, name]) => name))];
    const known = make("datalist", { id: "classes" }, ...given.map((name) => make("option", { value: name })));
    const judged = this.inQueue >= 0;
    return [
      make("h2", {}, "Correct"),
      make("div", { class: "row" }, this.author),
      make(
        "div",
        { class: "row" },
        one("Right (a)", "The nucleus is as it should be", this.accept, n === 1),
        one("Wrong (x)", "It is not a nucleus", this.reject, n === 1),
        one("Redraw", "Draw its right outline", this.redraw, n === 1),
        one("Split", "Cut it in two", this.cut, n === 1),
        one("Merge", "They are one nucleus; shift-click chooses several", this.merge, n > 1),
      ),
      make("div", { class: "row" }, this.className, known, one("Set class", "Give the nucleus a class", this.classify, n === 1)),
      make(
        "div",
        { class: "row" },
        one("Draw a new one (d)", "A nucleus that was not found", this.add),
        one("Undo mine (u)", "Take back your last correction", this.undo),
      ),
      make(
        "div",
        { class: "row" },
        one("Region done", "A rectangle in which every nucleus is right now", () => this.drawArea("region", "what you looked at")),
        one("Region wrong", "A rectangle that nobody should correct", () => this.drawArea("wrong_tile", "what is wrong")),
      ),
      make(
        "div",
        { class: "row" },
        one("Field done (r)", "Every nucleus of this field is right now", () => void this.judgeField("region"), judged),
        one("Field wrong (w)", "Too wrong to be corrected", () => void this.judgeField("wrong_tile"), judged),
      ),
      make("p", { class: "hint", id: "review-counts" }, this.summary()),
    ];
  }

  private summary(): string {
    const review = this.review;
    if (!review?.last) return "Nothing corrected yet.";
    const parts = [
      [review.n_removed, "removed"],
      [review.drawn.length, "drawn"],
      [review.accepted.length, "found right"],
      [review.class_rows.length, "given a class"],
      [review.regions.length, "regions done"],
      [review.wrong_tiles.length, "regions wrong"],
    ];
    const last = review.edits.at(-1);
    const told = parts.filter(([count]) => count).map(([count, what]) => `${count} ${what}`);
    return `${told.join(", ") || "Nothing"}. Last by ${last?.by ?? ""}, ${(last?.at ?? "").slice(0, 16).replace("T", " ")} UTC.`;
  }
}
