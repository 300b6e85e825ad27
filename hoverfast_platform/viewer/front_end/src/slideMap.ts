// The map: slide, nuclei, density, mask, tile borders. Its coordinates are level-0 pixels, y upwards.

import OlMap from "ol/Map";
import View from "ol/View";
import { ScaleLine, Zoom, OverviewMap } from "ol/control";
import type { Extent } from "ol/extent";
import Feature from "ol/Feature";
import type { FeatureLike } from "ol/Feature";
import MVT from "ol/format/MVT";
import { LineString, MultiLineString } from "ol/geom";
import ImageLayer from "ol/layer/Image";
import TileLayer from "ol/layer/Tile";
import VectorLayer from "ol/layer/Vector";
import VectorTileLayer from "ol/layer/VectorTile";
import Projection from "ol/proj/Projection";
import Static from "ol/source/ImageStatic";
import TileImage from "ol/source/TileImage";
import VectorSource from "ol/source/Vector";
import VectorTileSource from "ol/source/VectorTile";
import { Stroke, Style, Fill } from "ol/style";
import TileGrid from "ol/tilegrid/TileGrid";
import { addressOf, type Slide } from "./api";

export const STUDENT = "#0a8a3a"; // only in the first result
export const TEACHER = "#c01c9c"; // only in the second
export const BOTH = "#00a6d6";

/** In the place of a measurement: colours by the class that a person gave. */
export const BY_CLASS = "class";
const CLASS_COLOURS = ["#d81b60", "#1e88e5", "#8d6e00", "#004d40", "#7b1fa2", "#c65102", "#37474f", "#00838f"];

export interface Shown {
  slide: boolean;
  outlines: boolean;
  filled: boolean;
  density: boolean;
  mask: boolean;
  tiles: boolean;
  column: string;
  against: string;
  beside: boolean;
}

/** Where a map is drawn; of two beside each other the second takes view and pixels of the first. */
export interface Place {
  target: string;
  first?: SlideMap;
}

export class SlideMap {
  readonly map: OlMap;
  readonly view: View;
  readonly extent: Extent;
  private readonly projection: Projection;
  private readonly grid: TileGrid;
  private readonly outlineGrid: TileGrid;
  private readonly image: TileLayer<TileImage>;
  private readonly outlines: VectorTileLayer;
  private readonly otherOutlines: VectorTileLayer;
  private readonly density: TileLayer<TileImage>;
  private readonly mask: ImageLayer<Static> | null = null;
  private readonly tiles: VectorLayer;
  private styles: Style[] = [];
  private classStyles = new Map<string, Style>();
  hidden = new Set<number>();
  accepted = new Set<number>();
  chosen = new Set<number>();
  classes = new Map<number, string>();
  /** Told after every change of what is shown. */
  onUpdate: () => void = () => undefined;

  constructor(
    readonly slide: Slide,
    private readonly shown: Shown,
    private readonly place: Place = { target: "map" },
  ) {
    const { width, height, mpp } = slide;
    this.extent = [0, -height, width, 0];
    this.projection = new Projection({
      code: "slide",
      units: "pixels",
      extent: this.extent,
      metersPerUnit: mpp[0] * 1e-6,
      // Without it a place on the slide would be taken for one on the earth.
      getPointResolution: (resolution) => resolution,
    });
    const resolutions = Array.from({ length: slide.n_zooms }, (_, i) => 2 ** (slide.n_zooms - 1 - i));
    const grid = { extent: this.extent, origin: [0, 0], tileSize: slide.tile_px };
    this.grid = new TileGrid({ ...grid, resolutions });
    this.outlineGrid = new TileGrid({
      ...grid,
      resolutions: resolutions.filter((r) => r <= 2 ** slide.outline_zooms),
    });
    this.image = new TileLayer({ source: this.tileImage("image", "jpg"), preload: 1 });
    const farthest = 2 ** slide.outline_zooms * 0.75;
    this.outlines = this.outlineLayer(farthest);
    this.otherOutlines = this.outlineLayer(farthest);
    this.density = new TileLayer({ minResolution: farthest, visible: false });
    if (slide.has_mask) this.mask = this.maskLayer();
    this.tiles = this.tileBorders();
    this.view = place.first?.view ?? new View({
      projection: this.projection,
      extent: [-width * 0.6, -height * 1.6, width * 1.6, height * 0.6],
      constrainOnlyCenter: true,
      minResolution: 1 / 8,
      maxResolution: 2 ** slide.n_zooms,
      constrainResolution: false,
      enableRotation: false,
    });
    const layers = [this.image, this.density, ...(this.mask ? [this.mask] : [])];
    this.map = new OlMap({
      target: place.target,
      keyboardEventTarget: place.first ? undefined : (document.getElementById("frame") ?? undefined),
      view: this.view,
      layers: [...layers, this.tiles, this.otherOutlines, this.outlines],
      controls: place.first ? [] : [new Zoom(), new ScaleLine({ units: "metric", minWidth: 90 }), this.overview()],
      pixelRatio: Math.min(window.devicePixelRatio, 2),
    });
    this.update();
  }

  private overview(): OverviewMap {
    const { width, height } = this.slide;
    const resolution = Math.max(width / 165, height / 125);
    return new OverviewMap({
      collapsed: false,
      tipLabel: "Overview",
      layers: [new TileLayer({ source: this.tileImage("image", "jpg") })],
      view: new View({
        projection: this.projection,
        center: [width / 2, -height / 2],
        resolution,
        minResolution: resolution,
        maxResolution: resolution,
      }),
    });
  }

  fit(): void {
    this.view.fit(this.extent, { padding: [20, 20, 20, 20] });
  }

  /** Brings what is drawn in line with what is wanted. */
  update(): void {
    const { slide, shown } = this;
    const hasNuclei = slide.result !== null;
    this.image.setVisible(shown.slide);
    this.outlines.setVisible(hasNuclei && shown.outlines);
    this.otherOutlines.setVisible(hasNuclei && shown.outlines && shown.against !== "" && !shown.beside);
    this.density.setVisible(hasNuclei && shown.density);
    this.mask?.setVisible(shown.mask);
    this.tiles.setVisible(shown.tiles);
    this.onUpdate();
    if (!hasNuclei) return;
    this.styles = this.makeStyles();
    this.setOutlineSource(this.outlines, slide.key, shown.against);
    if (shown.against && !shown.beside) this.setOutlineSource(this.otherOutlines, shown.against, slide.key);
    const address = this.tileAddress("density", "png", this.colouring());
    if (this.density.get("address") !== address) {
      this.density.set("address", address);
      this.density.setSource(this.tileImage("density", "png", this.colouring()));
    }
  }

  /** Draws the outlines again, after a nucleus was chosen, went away or got a class. */
  redraw(): void {
    this.classStyles = new Map(this.classColours().map(([name, colour]) => [name, line(colour, 0.35, 2.2)]));
    this.outlines.changed();
  }

  /** Names of the classes that were given, each with its colour. */
  classColours(): [string, string][] {
    const names = [...new Set(this.classes.values())].sort();
    return names.map((name, i) => [name, CLASS_COLOURS[i % CLASS_COLOURS.length]]);
  }

  /** The nucleus at a place of the screen, or the nearest one within so many pixels. */
  nucleusAt(pixel: number[], tolerance = 3): number | null {
    const found = this.map.getFeaturesAtPixel(pixel, {
      layerFilter: (layer) => layer === this.outlines,
      hitTolerance: tolerance,
    });
    const visible = found.find((one) => !this.hidden.has(one.getId() as number));
    return visible ? (visible.getId() as number) : null;
  }

  /** Jumps to a place: level-0 pixels, y downwards. */
  go(x: number, y: number, resolution: number): void {
    this.view.setCenter([x, -y]);
    this.view.setResolution(resolution);
  }

  private colouring(): string {
    const found = this.slide.result?.measurements.find((m) => m.column === this.shown.column);
    if (!found) return "";
    return `&column=${found.column}&low=${found.p5}&high=${found.p95}`;
  }

  private tileAddress(kind: string, ending: string, query: string): string {
    const slide = kind === "image" && this.place.first ? this.place.first.slide : this.slide;
    const version = slide.result?.id.slice(0, 10) ?? "slide";
    return `${addressOf(slide.key)}/${kind}/{z}/{x}/{y}.${ending}?v=${version}${query}`;
  }

  private tileImage(kind: string, ending: string, query = ""): TileImage {
    const address = this.tileAddress(kind, ending, query);
    return new TileImage({
      projection: this.projection,
      tileGrid: this.grid,
      tileUrlFunction: (place) => this.fill(address, place, this.slide.n_zooms - 1),
      transition: 120,
    });
  }

  private fill(address: string, place: number[], coarsest: number): string {
    const [z, x, y] = place;
    return address
      .replace("{z}", String(coarsest - z))
      .replace("{x}", String(x))
      .replace("{y}", String(y));
  }

  private outlineLayer(maxResolution: number): VectorTileLayer {
    return new VectorTileLayer({
      maxResolution,
      renderMode: "hybrid",
      renderBuffer: 4,
      declutter: false,
      updateWhileAnimating: false,
      updateWhileInteracting: false,
      style: (feature) => this.styleOf(feature),
    });
  }

  private setOutlineSource(layer: VectorTileLayer, key: string, against: string): void {
    const version = this.slide.result?.id.slice(0, 10) ?? "";
    const query = against ? `&against=${encodeURIComponent(against)}` : this.colouring();
    const address = `${addressOf(key)}/nuclei/{z}/{x}/{y}.mvt?v=${version}${query}`;
    const isOther = layer === this.otherOutlines;
    layer.setStyle(isOther ? (feature) => this.otherStyle(feature) : (feature) => this.styleOf(feature));
    if (layer.get("address") === address) return;
    layer.set("address", address);
    const coarsest = this.outlineGrid.getResolutions().length - 1;
    layer.setSource(
      new VectorTileSource({
        format: new MVT({ idProperty: undefined, featureClass: undefined }),
        projection: this.projection,
        tileGrid: this.outlineGrid,
        tileUrlFunction: (place) => this.fill(address, place, coarsest),
        transition: 0,
        overlaps: false,
      }),
    );
  }

  private makeStyles(): Style[] {
    const fill = this.shown.filled ? 0.45 : 0.0;
    if (this.shown.against) return [line(BOTH, fill), line(BOTH, fill), line(this.place.first ? TEACHER : STUDENT, fill)];
    const plain = line("rgb(0,150,60)", fill);
    return [plain, ...this.slide.shades.map(([r, g, b]) => line(`rgb(${r},${g},${b})`, fill))];
  }

  private styleOf(feature: FeatureLike): Style | undefined {
    const id = feature.getId() as number;
    if (this.hidden.has(id)) return undefined;
    if (this.chosen.has(id)) return CHOSEN;
    if (this.shown.column === BY_CLASS && !this.shown.against) return this.classStyles.get(this.classes.get(id) ?? "") ?? NO_CLASS;
    if (this.accepted.has(id)) return ACCEPTED;
    return this.styles[(feature.get("v") as number) ?? 0] ?? this.styles[0];
  }

  private otherStyle(feature: FeatureLike): Style | undefined {
    return feature.get("v") === 2 ? ONLY_OTHER : undefined;
  }

  private maskLayer(): ImageLayer<Static> {
    return new ImageLayer({
      visible: false,
      source: new Static({
        url: addressOf(this.slide.key, "/mask.png"),
        imageExtent: this.extent,
        projection: this.projection,
        interpolate: false,
      }),
    });
  }

  private tileBorders(): VectorLayer {
    const [stepX, stepY] = this.slide.result?.tile_step_px ?? [];
    const lines: LineString[] = [];
    const { width, height } = this.slide;
    for (let x = stepX; x < width; x += stepX) lines.push(new LineString([[x, 0], [x, -height]]));
    for (let y = stepY; y < height; y += stepY) lines.push(new LineString([[0, -y], [width, -y]]));
    return new VectorLayer({
      visible: false,
      source: new VectorSource({ features: [new Feature(new MultiLineString(lines))] }),
      style: new Style({ stroke: new Stroke({ color: "#000a", width: 1, lineDash: [6, 5] }) }),
    });
  }
}

function line(colour: string, fill = 0, width = 1.6): Style {
  return new Style({
    stroke: new Stroke({ color: colour, width }),
    fill: new Fill({ color: withAlpha(colour, fill) }),
  });
}

const NO_CLASS = line("#8a93a0", 0, 1.1);
const ACCEPTED = line("#0b3d91", 0.12, 2.4);
const CHOSEN = new Style({
  stroke: new Stroke({ color: "#ffd60a", width: 3 }),
  fill: new Fill({ color: "#ffd60a33" }),
  zIndex: 2,
});

const ONLY_OTHER = new Style({
  stroke: new Stroke({ color: TEACHER, width: 1.6 }),
  fill: new Fill({ color: "#c01c9c00" }),
});

function withAlpha(colour: string, alpha: number): string {
  if (colour.startsWith("rgb(")) return colour.replace("rgb(", "rgba(").replace(")", `,${alpha})`);
  return colour + Math.round(alpha * 255).toString(16).padStart(2, "0");
}
