// What is larger than its box can be scrolled with the keyboard, too; details are open in print.
const name = (box) => (box.matches(".math") ? "formula" : box.matches("table") || box.querySelector("table") ? "table" : "code or output");
function reach() {
  for (const box of document.querySelectorAll("article pre, article div.math, article .output, article div.table-wrapper, article table")) {
    if ((box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1) && !box.hasAttribute("tabindex")) {
      box.tabIndex = 0;
      if (!box.matches("table")) box.setAttribute("role", "group");
      box.setAttribute("aria-label", `${name(box)} that can be scrolled`);
    }
  }
}
addEventListener("load", reach);
addEventListener("load", () => document.querySelectorAll("img[loading=lazy]").forEach((picture) => { picture.loading = "eager"; })); // for print
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true);
addEventListener("beforeprint", () => document.querySelectorAll("article details:not([open])").forEach((d) => { d.open = true; d.dataset.print = ""; }));
addEventListener("afterprint", () => document.querySelectorAll("details[data-print]").forEach((d) => { d.open = false; delete d.dataset.print; }));
document.querySelector("aside.sidebar-drawer")?.setAttribute("aria-label", "pages");
document.querySelector("aside.toc-drawer")?.setAttribute("aria-label", "on this page");
