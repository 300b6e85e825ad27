// What the server is asked, and what it answers. Addresses are relative to the page.

export interface Entry {
  key: string;
  name: string;
  title: string;
  has_slide: boolean;
  n_nuclei: number | null;
  nuclei_per_mm2?: number | null;
  problem: string;
  warnings?: string[];
  checks: string[];
  failures: string[];
}

/** Why pixels are not used, or used with a remark. */
export interface LeftOut {
  why: string;
  colour: string;
  lost_mm2: number;
  kept_mm2: number;
}

export interface Failure {
  name: string;
  kind: string;
  message: string;
  remedy: string;
}

export interface Listing {
  folder: string;
  slides: Entry[];
  failures: Failure[];
}

export interface Measurement {
  column: string;
  name: string;
  definition: string;
  p5: number;
  p50: number;
  p95: number;
}

export interface Result {
  id: string;
  measurements: Measurement[];
  tissue_area_mm2: number;
  seams: { n_near_seams: number; n_duplicates: number; density_ratio: number | null };
  tile_step_px: number[];
  warnings: string[];
  lineage: [string, string][];
}

export interface Slide extends Entry {
  width: number;
  height: number;
  mpp: [number, number];
  tile_px: number;
  n_zooms: number;
  outline_zooms: number;
  shades: [number, number, number][];
  has_mask: boolean;
  left_out: LeftOut[];
  may_write: boolean;
  others: { key: string; title: string }[];
  result: Result | null;
}

export interface Nucleus {
  id: string;
  row: number;
  centroid: [number, number];
  tile: number;
  ring: [number, number][];
  measurements: { column: string; name: string; value: number | null }[];
}

export interface Drawn {
  id: string;
  ring: [number, number][];
  by: string;
  at: string;
  class_name: string;
}

export interface Review {
  last: number;
  removed_rows: number[];
  n_removed: number;
  accepted: string[];
  accepted_rows: number[];
  class_rows: [number, string][];
  drawn: Drawn[];
  regions: Drawn[];
  wrong_tiles: Drawn[];
  edits: { number: number; kind: string; by: string; at: string; undoes: number }[];
  n_nuclei?: number;
  file?: string;
}

export interface Field {
  x0: number;
  y0: number;
  side: number;
  score: number;
  reason: string;
  n_nuclei: number;
}

export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

async function answer<T>(response: Response): Promise<T> {
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  let message = text;
  try {
    message = (JSON.parse(text) as { error: string }).error;
  } catch {
    // a plain text, which is the message itself
  }
  throw new Refused(message, response.status);
}

export async function ask<T>(address: string): Promise<T> {
  return answer<T>(await fetch(address));
}

export async function send<T>(address: string, value: unknown): Promise<T> {
  return answer<T>(
    await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Hoverfast-Write": "1" },
      body: JSON.stringify(value),
    }),
  );
}

export const addressOf = (key: string, rest = ""): string =>
  `api/slides/${encodeURIComponent(key)}${rest}`;
