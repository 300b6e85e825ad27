// A second map with another result of the slide: both show the same place, each its own nuclei.

import type MapBrowserEvent from "ol/MapBrowserEvent";
import Overlay from "ol/Overlay";
import { addressOf, ask, type Slide } from "./api";
import { byId, make } from "./dom";
import { SlideMap, STUDENT, TEACHER, type Shown } from "./slideMap";

export class Beside {
  private other: SlideMap | null = null;
  private readonly otherShown: Shown;
  private asking = "";
  private readonly mark = pointerMark();
  private otherMark: Overlay | null = null;

  constructor(
    private readonly map: SlideMap,
    private readonly shown: Shown,
    private readonly onClick: (other: SlideMap, at: { pixel: number[]; coordinate: number[] }) => void,
  ) {
    this.otherShown = { ...shown };
    map.map.addOverlay(this.mark);
    follow(map, (at) => this.otherMark?.setPosition(at));
  }

  /** Brings the second map in line with what is wanted. */
  async update(): Promise<void> {
    const wanted = this.shown.beside ? this.shown.against : "";
    const isNew = wanted !== this.asking;
    this.asking = wanted;
    Object.assign(this.otherShown, this.shown, { against: this.map.slide.key, beside: true, column: "" });
    if (!isNew) {
      this.other?.update();
      return;
    }
    this.close();
    if (!wanted) return;
    const slide = await ask<Slide>(addressOf(wanted, ".json"));
    if (this.asking !== wanted) return; // another was chosen meanwhile
    this.open(slide);
  }

  private open(slide: Slide): void {
    byId("frame").classList.add("two");
    byId("beside").hidden = false;
    const other = new SlideMap(slide, this.otherShown, { target: "beside", first: this.map });
    this.other = other;
    byId("map").append(caption(this.map.slide.title, STUDENT));
    byId("beside").append(caption(slide.title, TEACHER));
    this.otherMark = pointerMark();
    other.map.addOverlay(this.otherMark);
    follow(other, (at) => this.mark.setPosition(at));
    other.map.on("singleclick", (event: MapBrowserEvent) => this.onClick(other, event));
    this.map.map.updateSize();
  }

  private close(): void {
    if (!this.other) return;
    this.other.map.setTarget(undefined);
    this.other = null;
    this.otherMark = null;
    this.mark.setPosition(undefined);
    for (const found of document.querySelectorAll(".whose")) found.remove();
    byId("frame").classList.remove("two");
    byId("beside").hidden = true;
    byId("beside").replaceChildren();
    this.map.map.updateSize();
  }
}

const caption = (text: string, colour: string): HTMLElement => {
  const made = make("div", { class: "whose" }, text);
  made.style.borderColor = colour;
  return made;
};

/** What shows on one map where the pointer is on the other. */
const pointerMark = (): Overlay => new Overlay({ element: make("div", { class: "pointer" }), stopEvent: false });

function follow(map: SlideMap, tell: (at: number[] | undefined) => void): void {
  map.map.on("pointermove", (event) => tell(event.dragging ? undefined : event.coordinate));
  map.map.getViewport()?.addEventListener("pointerleave", () => tell(undefined));
}
