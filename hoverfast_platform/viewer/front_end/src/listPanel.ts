// The list of all slides: thumbnail, figures, what is wrong; below it what failed.

import { addressOf, type Entry, type Listing } from "./api";
import { make, rounded } from "./dom";

export function fillList(panel: HTMLElement, listing: Listing, now: string, open: (key: string) => void): void {
  const search = make("input", { type: "text", placeholder: "Search by name", "aria-label": "Search by name" });
  const list = make("ul");
  const fill = (): void => {
    const wanted = search.value.toLowerCase();
    const found = listing.slides.filter((s) => `${s.name} ${s.title}`.toLowerCase().includes(wanted));
    list.replaceChildren(...found.slice(0, 500).map((entry) => item(entry, entry.key === now, open)));
    if (found.length > 500) list.append(make("li", { class: "hint" }, `and ${found.length - 500} more: search by name`));
  };
  search.addEventListener("input", fill);
  fill();
  panel.replaceChildren(make("h2", {}, `${listing.slides.length} to see`), make("div", { class: "row" }, search), list);
  if (listing.failures.length) {
    panel.append(make("h2", {}, "Failed"));
    for (const failure of listing.failures) {
      panel.append(make("p", { class: "bad" }, `${failure.name}: ${failure.message} ${failure.remedy}`));
    }
  }
}

function item(entry: Entry, isNow: boolean, open: (key: string) => void): HTMLLIElement {
  const picture = entry.has_slide
    ? make("img", { src: addressOf(entry.key, "/thumbnail.jpg"), alt: "", loading: "lazy" })
    : make("span", { class: "blank" });
  const text = make("span", {}, make("span", { class: "name" }, entry.name), make("br"), make("span", { class: "hint" }, figures(entry)));
  if (!entry.has_slide && !entry.problem) text.append(make("br"), make("span", { class: "bad" }, "The slide's file is not where it was."));
  for (const failure of entry.failures) text.append(make("br"), make("span", { class: "bad" }, `Failed: ${failure}`));
  for (const odd of entry.checks ?? []) text.append(make("br"), make("span", { class: "odd" }, `Check of ${odd}`));
  if (entry.problem) text.append(make("br"), make("span", { class: "bad" }, entry.problem));
  const row = make("button", {}, picture, text);
  row.addEventListener("click", () => open(entry.key));
  return make("li", isNow ? { class: "now" } : {}, row);
}

export function figures(entry: Entry): string {
  if (entry.problem) return entry.title || "its result cannot be shown";
  if (entry.n_nuclei === null) return "not segmented yet";
  const density = entry.nuclei_per_mm2 == null ? "" : `, ${rounded(entry.nuclei_per_mm2)} per mm²`;
  return `${entry.n_nuclei.toLocaleString("en")} nuclei${density}${entry.title ? ` · ${entry.title}` : ""}`;
}
