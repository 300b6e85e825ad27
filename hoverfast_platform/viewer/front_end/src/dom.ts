// Elements with text in them. Text is never taken for HTML, whatever a slide is called.

type Child = Node | string;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element ${id}.`);
  return found;
}

export function button(text: string, onClick: () => void, title = ""): HTMLButtonElement {
  const made = make("button", title ? { title } : {}, text);
  made.addEventListener("click", onClick);
  return made;
}

export function tick(text: string, isOn: boolean, onChange: (isOn: boolean) => void): HTMLElement {
  const box = make("input", { type: "checkbox" });
  box.checked = isOn;
  box.addEventListener("change", () => onChange(box.checked));
  return make("label", {}, box, text);
}

let timer = 0;

export function say(text: string, isLasting = false): void {
  const message = byId("message");
  message.textContent = text;
  message.hidden = !text;
  window.clearTimeout(timer);
  if (text && !isLasting) timer = window.setTimeout(() => (message.hidden = true), 6000);
}

export const rounded = (value: number, digits = 4): string =>
  value.toLocaleString("en", { maximumSignificantDigits: digits });
