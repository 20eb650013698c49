// The tables of the ledger and of the leaderboard: a click on a heading sorts, a box above filters the rows of all tables.
const numberIn = (text) => (text.trim() === "" || text.trim() === "–" ? NaN : parseFloat(text.replace(/[^\d.eE+-].*$/s, "")));
function compare(a, b) {
  const [x, y] = [numberIn(a), numberIn(b)];
  if (isNaN(x) && isNaN(y)) return a.localeCompare(b);
  return isNaN(x) ? 1 : isNaN(y) ? -1 : x - y; // what has no number comes last
}
function sortable(table) {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    const words = head.textContent.trim();
    if (!words) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sorts";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column]?.textContent ?? "";
      const last = (row) => ["", "–"].includes(text(row).trim());
      const yardstick = (row) => row.cells[0].querySelector("em") !== null; // a perfect generator and noise stay on top
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => yardstick(b) - yardstick(a) || (yardstick(a) ? 0 : last(a) - last(b) || (down ? -1 : 1) * compare(text(a), text(b))));
      table.tBodies[0].append(...rows);
    });
  });
}
function filterable(tables) {
  const label = document.createElement("label");
  label.className = "filters";
  const box = Object.assign(document.createElement("input"), { type: "search", placeholder: "R1, grid, 3.2, …" });
  const count = Object.assign(document.createElement("output"), { textContent: "" });
  count.setAttribute("aria-live", "polite");
  label.append("Show only rows with ", box, " ", count);
  document.querySelector("article h1").after(label);
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
    for (const row of rows) {
      const text = `${row.closest("section").querySelector("h2")?.textContent ?? ""} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    for (const table of tables) {
      const section = table.closest("section");
      if (section.querySelector(":scope > h2")) section.hidden = [...table.tBodies[0].rows].every((row) => row.hidden);
    }
    count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
}
if (/\/(LEDGER|benchmarks\/leaderboard)\.html$/.test(location.pathname)) {
  const tables = [...document.querySelectorAll("article table")].filter((table) => table.tBodies[0]?.rows.length > 3);
  tables.forEach(sortable);
  if (tables.length) filterable(tables);
}
