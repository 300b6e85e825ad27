// Draws every <pre class="mermaid"> in the colours of the reader's theme.
window.addEventListener("DOMContentLoaded", () => {
  const chosen = document.body.dataset.theme;
  const asked = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = chosen === "dark" || (chosen !== "light" && asked);
  mermaid.initialize({ startOnLoad: false, theme: isDark ? "dark" : "neutral" });
  mermaid.run({ querySelector: "pre.mermaid" });
});
