// The leaderboard: a click on a row, or Enter on its method, opens the samples that are kept of this cell, beside the data.
const place = document.querySelector("[data-samples]"); // where the page says in which file the samples are
const [DATA, MADE] = ["#0072b2", "#d55e00"]; // as in the other pictures
function unpack(note) { // numbers, stored as 65,536 steps from low to high
  const bytes = Uint8Array.from(atob(note.data), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 2 }, (_, i) => note.low + (view.getUint16(2 * i, true) / 65535) * (note.high - note.low));
}
function drawPictures(context, values, [n, channels, height, width], size) { // a sheet, four in a row
  const side = Math.ceil(Math.sqrt(n));
  const one = Object.assign(document.createElement("canvas"), { width, height });
  context.imageSmoothingEnabled = false;
  for (let k = 0; k < n; k++) {
    const pixels = new ImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * at + c] = 127.5 * (1 + values[(k * channels + (channels < 3 ? 0 : c)) * width * height + at]);
      pixels.data[4 * at + 3] = 255;
    }
    one.getContext("2d").putImageData(pixels, 0, 0);
    const cell = size / side;
    context.drawImage(one, (k % side) * cell + 2, Math.floor(k / side) * cell + 2, cell - 4, cell - 4);
  }
}
function drawLine(context, values, note, circles, color, size) { // points on a line: a histogram, and a line for each mode
  const counts = new Array(100).fill(0);
  const at = (x) => ((x - note.low) / (note.high - note.low)) * size;
  for (const x of values) counts[Math.min(99, Math.floor(at(x) / size * 100))] += 1;
  context.strokeStyle = DATA;
  for (const [center] of circles) context.strokeRect(at(center), 0, 0, size);
  context.fillStyle = color;
  counts.forEach((count, i) => context.fillRect((i * size) / 100, size * (1 - count / Math.max(...counts)), size / 100, size));
}
function drawPlane(context, values, note, circles, color, size) { // points in the plane, and a circle of three standard deviations for each mode
  const scale = size / (note.high - note.low);
  const at = (x, y) => [(x - note.low) * scale, (note.high - y) * scale];
  context.fillStyle = color;
  for (let i = 0; i < values.length; i += note.shape[1]) {
    context.beginPath();
    context.arc(...at(values[i], values[i + 1]), size / 250, 0, 7);
    context.fill();
  }
  context.strokeStyle = DATA;
  for (const [x, y, radius] of circles) {
    context.beginPath();
    context.arc(...at(x, y), radius * scale, 0, 7);
    context.stroke();
  }
}
function panel(words, note, circles, color) {
  const [size, figure] = [560, document.createElement("figure")];
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", words);
  const [context, values] = [canvas.getContext("2d"), unpack(note)];
  context.lineWidth = 2;
  context.fillStyle = "white";
  context.fillRect(0, 0, size, size);
  if (note.shape.length > 2) drawPictures(context, values, note.shape, size);
  else if (note.shape[1] === 1) drawLine(context, values, note, circles, color, size);
  else drawPlane(context, values, note, circles, color, size);
  figure.append(canvas, Object.assign(document.createElement("figcaption"), { textContent: words }));
  return figure;
}
function load() { // once, when somebody asks for it; a script, as a page from a disk may not fetch files
  load.done ??= new Promise((ready, failed) => {
    document.head.append(Object.assign(document.createElement("script"), { src: place.dataset.samples, onload: ready, onerror: failed }));
  });
  return load.done;
}
async function open(set, row, dialog) {
  await load();
  const [method, found] = [row.cells[0].textContent.trim(), window.boardSamples[set]];
  const [kind, n] = [found.data.shape.length > 2 ? "pictures" : "points", found.data.shape[0]];
  const heads = [...row.closest("table").tHead.rows[0].cells].map((head) => head.textContent.trim());
  const told = heads.slice(1, 6).map((head, i) => `${head}: ${row.cells[i + 1].textContent.trim()}`).join("; ");
  const marks = kind === "pictures" ? "" : ` The modes of the data are blue ${found.data.shape[1] === 1 ? "lines" : "circles of three standard deviations"}.`;
  const close = Object.assign(document.createElement("button"), { type: "button", className: "closes", textContent: "Close" });
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(
    Object.assign(document.createElement("h2"), { id: "samples-title", textContent: `${method} on ${set}` }),
    panel(`${n} ${kind} of ${method}, first seed`, found.cells[method], found.circles, MADE),
    panel(`${n} ${kind} of the data`, found.data, found.circles, DATA),
    Object.assign(document.createElement("p"), { textContent: `All seeds: ${told}.${marks}` }),
    close,
  );
  dialog.showModal();
}
if (place) {
  const names = JSON.parse(place.dataset.cells); // of each set, its methods with samples
  const dialog = Object.assign(document.createElement("dialog"), { className: "samples" });
  dialog.setAttribute("aria-labelledby", "samples-title");
  document.body.append(dialog);
  const hint = "A click on a row of a set, or Enter on its method, shows samples beside the data.";
  document.querySelector("article h1").after(Object.assign(document.createElement("p"), { textContent: hint }));
  for (const row of document.querySelectorAll("article section section tbody tr")) {
    const set = row.closest("section").querySelector("h2").textContent.replace(/#$/, "").split(":")[0].trim();
    if (!names[set]?.includes(row.cells[0].textContent.trim())) continue;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "opens", title: "show its samples" });
    button.setAttribute("aria-haspopup", "dialog");
    button.append(...row.cells[0].childNodes);
    row.cells[0].append(button);
    row.classList.add("opens");
    row.addEventListener("click", () => { if (getSelection().isCollapsed) open(set, row, dialog); });
  }
}
