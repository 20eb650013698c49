// The lab's picture: one module, no build, no network. The same code draws in JupyterLab and in a saved page.
// Python sends a `scene` (what stays), a `frame` (what moves) and `curves`; the page sends back what was asked for.

// Okabe and Ito's colours. Real is blue and round, generated is orange and crossed, a captured mode is amber; side B is purple.
const LIGHT = { real: "#0072B2", fake: "#D55E00", mesh: "#009E73", b: "#A6447F", paper: "#ffffff", warm: [250, 201, 158], cool: [150, 200, 236] };
const DARK = { real: "#56B4E9", fake: "#FF9A52", mesh: "#2FC79A", b: "#E7A0CC", paper: "#16181b", warm: [112, 62, 24], cool: [22, 78, 118] };
const CAPTURED = "#E69F00";
const LAYERS = { real: ["●", "real"], fake: ["×", "generated"], gradients: ["→", "minus the gradient of G's loss"], mesh: ["▦", "latent grid"], codes: ["◱", "codes E(x)"] };
const SURFACES = { score: "score", probability: "probability", gradient: "gradient norm", none: "none" };
const TYPES = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };

/** What `modelab.lab.view.pack_frame` wrote: `[arrays, note]`. */
export function unpack(data) {
  const view = data instanceof DataView ? data : new DataView(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const start = 4 + view.getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, start)));
  const arrays = {};
  for (const [name, [type, shape, at]] of Object.entries(head.arrays)) {
    const size = shape.reduce((a, b) => a * b, 1) * TYPES[type].BYTES_PER_ELEMENT;
    const own = bytes.slice(start + at, start + at + size); // a copy: the offset need not suit the type
    arrays[name] = Object.assign(new TYPES[type](own.buffer), { shape });
  }
  return [arrays, head.note];
}

const decode = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const number = (value, digits = 3) => (value == null ? "–" : String(Number(Number(value).toPrecision(digits))));

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (["BUTTON", "INPUT", "SELECT", "CANVAS"].includes(node.tagName)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children);
  return node;
}

/** A canvas as sharp as the screen, `[context, width, height]` in page pixels; null while it is not shown. */
function sheet(canvas, aspect) {
  const width = canvas.clientWidth, height = Math.round(width * aspect), scale = window.devicePixelRatio || 1;
  if (!width) return null;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const g = canvas.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0);
  g.clearRect(0, 0, width, height);
  return [g, width, height];
}

function colours(el) {
  const ink = getComputedStyle(el).color;
  const [r, g, b] = (ink.match(/[\d.]+/g) || [0, 0, 0]).map(Number);
  const dark = 0.3 * r + 0.59 * g + 0.11 * b > 128; // light ink: a dark page
  return { ink, dark, ...(dark ? DARK : LIGHT) };
}

/** Points stored over twice the box, as page pixels. */
const place = (array, i, size) => [(array[2 * i] / 65535) * 2 * size - size / 2, size * 1.5 - (array[2 * i + 1] / 65535) * 2 * size];

/** D on the plane: blue where it takes a point for real, orange where for generated; a gradient norm goes from pale to dark. */
function drawSurface(g, cells, size, { low, high, middle }, paint, dark) {
  const [rows, columns] = cells.shape, picture = new ImageData(columns, rows), pixels = new Uint32Array(picture.data.buffer);
  const paper = dark ? [27, 30, 34] : [255, 255, 255], far = dark ? [190, 190, 190] : [90, 90, 90], table = new Uint32Array(256);
  for (let k = 0; k < 256; k++) {
    const value = low + ((high - low) * k) / 255;
    const t = middle == null ? k / 255 : (value - middle) / Math.max(high - middle, middle - low, 1e-9);
    const to = middle == null ? far : t > 0 ? paint.cool : paint.warm, [r, b, c] = paper.map((v, i) => v + (to[i] - v) * Math.min(1, Math.abs(t)));
    table[k] = (255 << 24) | (c << 16) | (b << 8) | r;
  }
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++)
    pixels[row * columns + column] = table[cells[(rows - 1 - row) * columns + column]];
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(picture, 0, 0);
  g.imageSmoothingEnabled = true;
  g.imageSmoothingQuality = "low"; // "high" looks the same and takes four times as long
  g.drawImage(small, 0, 0, size, size);
}

function drawMesh(g, mesh, size, colour) {
  const [rows, columns] = mesh.shape;
  g.strokeStyle = colour, g.lineWidth = 1.3;
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) for (const [dr, dc] of [[0, 1], [1, 0]]) {
    if (row + dr >= rows || column + dc >= columns) continue;
    const a = place(mesh, row * columns + column, size), b = place(mesh, (row + dr) * columns + column + dc, size);
    const length = Math.hypot(a[0] - b[0], a[1] - b[1]);
    g.globalAlpha = Math.min(0.9, Math.max(0.12, 8 / (length + 1))); // dense where much of the noise goes
    g.beginPath(), g.moveTo(...a), g.lineTo(...b), g.stroke();
  }
}

function discs(g, points, size, radius, colour, rim) {
  for (const [grow, fill] of rim ? [[1, rim], [0, colour]] : [[0, colour]]) {
    g.fillStyle = fill;
    g.beginPath();
    for (let i = 0; i < points.length / 2; i++) {
      const [x, y] = place(points, i, size);
      g.moveTo(x + radius + grow, y), g.arc(x, y, radius + grow, 0, 7);
    }
    g.fill();
  }
}

function crosses(g, points, size, arm, colour, rim) {
  g.beginPath();
  for (let i = 0; i < points.length / 2; i++) {
    const [x, y] = place(points, i, size);
    g.moveTo(x - arm, y - arm), g.lineTo(x + arm, y + arm), g.moveTo(x - arm, y + arm), g.lineTo(x + arm, y - arm);
  }
  g.lineWidth = 3, g.strokeStyle = rim, g.stroke();
  g.lineWidth = 1.5, g.strokeStyle = colour, g.stroke();
}

/** Text that can be read on any ground. */
function write(g, text, x, y, ink, paper, align = "left") {
  g.textAlign = align, g.lineJoin = "round", g.lineWidth = 3, g.strokeStyle = paper, g.strokeText(text, x, y);
  g.fillStyle = ink, g.fillText(text, x, y);
}

/** Where the modes are, by number: ringed in amber if captured, dashed if missing, crossed out if left out of the data. */
function rings(g, centers, modes, without, size, line, ink, paper) {
  const n = centers.length / 2;
  if (n > 64) return;
  g.font = "11px sans-serif";
  for (let i = 0; i < n; i++) {
    let [x, y] = place(centers, i, size);
    if (line) y = size - 26;
    const captured = modes[i] >> 15, radius = n > 12 ? 8 : 12;
    g.lineWidth = captured ? 2.5 : 1.2, g.strokeStyle = captured ? CAPTURED : ink, g.setLineDash(captured ? [] : [3, 3]);
    g.beginPath(), g.arc(x, y, radius, 0, 7), g.stroke(), g.setLineDash([]);
    if (without.includes(i)) g.beginPath(), g.moveTo(x - radius, y + radius), g.lineTo(x + radius, y - radius), g.stroke();
    const out = Math.hypot(x - size / 2, y - size / 2) || 1, far = radius + 9; // the number stands outwards
    if (n <= 30) write(g, i, line ? x : x + ((x - size / 2) / out) * far, line ? y + 4 : y + ((y - size / 2) / out) * far + 4, ink, paper, "center");
  }
}

function arrows(g, from, gradient, size, ink) {
  g.strokeStyle = ink;
  g.lineWidth = 1;
  g.beginPath();
  for (let i = 0; i < from.length / 2; i++) {
    const [x, y] = place(from, i, size), dx = (gradient[2 * i] / 127) * size / 9, dy = (-gradient[2 * i + 1] / 127) * size / 9;
    const length = Math.hypot(dx, dy);
    if (length < 1) continue;
    g.moveTo(x, y), g.lineTo(x + dx, y + dy);
    const ux = (dx / length) * 3.5, uy = (dy / length) * 3.5;
    g.moveTo(x + dx - ux - uy, y + dy - uy + ux), g.lineTo(x + dx, y + dy), g.lineTo(x + dx - ux + uy, y + dy - uy - ux);
  }
  g.stroke();
}

/** Rows of pictures, `columns` to a row; under each the mode it is assigned to. Returns where the next row would start. */
function drawTiles(g, tiles, top, columns, width, ink, assigned, names) {
  const [n, height, wide, channels] = tiles.shape, room = width / columns, side = room - 6, text = assigned ? 15 : 6;
  const small = new OffscreenCanvas(wide, height), brush = small.getContext("2d");
  g.imageSmoothingEnabled = false;
  for (let i = 0; i < n; i++) {
    const picture = new ImageData(wide, height);
    for (let p = 0; p < wide * height; p++) for (let c = 0; c < 4; c++)
      picture.data[4 * p + c] = c === 3 ? 255 : tiles[(i * wide * height + p) * channels + (channels === 3 ? c : 0)];
    brush.putImageData(picture, 0, 0);
    const x = (i % columns) * room, y = top + Math.floor(i / columns) * (side + text);
    g.drawImage(small, x + 3, y, side, side);
    if (!assigned) continue;
    const good = assigned[i] >> 15, mode = assigned[i] & 32767;
    g.fillStyle = good ? CAPTURED : ink, g.globalAlpha = good ? 1 : 0.35;
    g.fillRect(x + 3, y + side, side, 2); // amber: a good sample of its mode
    g.fillStyle = ink, g.globalAlpha = good ? 1 : 0.6, g.textAlign = "center", g.font = `${good ? "bold " : ""}11px sans-serif`;
    g.fillText(good ? names[mode] ?? mode : "?", x + room / 2, y + side + 12, side + 4);
    g.globalAlpha = 1;
  }
  return top + Math.ceil(n / columns) * (side + text);
}

/** One side: its picture and a button for each mode. */
class Stage {
  constructor(lab, name) {
    Object.assign(this, { lab, name, points: [], cursor: [0.5, 0.5] });
    this.canvas = make("canvas", { role: "img", tabindex: "0", class: "lab-picture", "data-side": name });
    this.caption = make("figcaption");
    this.modes = make("div", { class: "lab-modes", role: "toolbar", "aria-label": `Modes of side ${name}: choose one to see which gradient G gets near it` });
    this.node = make("figure", { class: "lab-stage" }, this.caption, this.canvas, this.modes);
    this.modeKeys();
    this.pointer();
  }

  modeKeys() {
    this.modes.addEventListener("click", (e) => e.target.dataset.mode && this.lab.send({ do: e.shiftKey ? "leave_out" : "mode_status", mode: Number(e.target.dataset.mode), side: this.name }));
    this.modes.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key], all = [...this.modes.children];
      if (!step) return;
      e.preventDefault();
      const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
      all.forEach((button) => button.setAttribute("tabindex", "-1"));
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  }

  showModes(modes, without) {
    const { names, weights, samples } = this.lab.scene, clock = performance.now();
    if (modes.length > 64 && this.lab.about.playing && clock - (this.modesShown ?? 0) < 500) return; // a thousand buttons take time
    this.modesShown = clock;
    if (this.modes.children.length !== modes.length)
      this.modes.replaceChildren(...Array.from(modes, (_, i) => make("button", { type: "button", "data-mode": i, tabindex: i ? -1 : 0 }, modes.length > 64 ? "" : String(i))));
    this.modes.classList.toggle("many", modes.length > 64);
    const key = `${modes.join()} ${without}`;
    if (key === this.shown) return;
    this.shown = key;
    Array.from(modes, (value, i) => {
      const state = value >> 15 ? "captured" : "missing", button = this.modes.children[i], count = value & 32767;
      const name = names[i] === String(i) ? "" : ` (${names[i]})`, out = without.includes(i);
      const label = `mode ${i}${name}: ${state}, ${count} samples${out ? "; left out of the data" : ""}`;
      if (button.title === label) return;
      button.title = label;
      button.setAttribute("aria-label", label);
      button.setAttribute("aria-pressed", String(state === "captured"));
      button.className = state + (out ? " out" : "");
      if (weights[i] && modes.length <= 64) button.style.setProperty("--share", Math.min(1, Math.round((5 * count) / weights[i] / samples) / 5));
    });
  }

  pointer() {
    const at = (e) => {
      const box = this.canvas.getBoundingClientRect();
      return [(e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height];
    };
    this.canvas.addEventListener("pointerdown", (e) => {
      if (!this.lab.drawing) return;
      e.preventDefault();
      this.canvas.setPointerCapture(e.pointerId);
      this.points = [...this.points, at(e)];
      this.lab.draw();
    });
    this.canvas.addEventListener("pointermove", (e) => {
      if (!this.lab.drawing || !e.buttons) return;
      const [x, y] = at(e), [u, v] = this.points.at(-1) ?? [9, 9];
      if (Math.hypot(x - u, y - v) > 0.02) this.points = [...this.points, [x, y]];
      this.lab.draw();
    });
    this.canvas.addEventListener("keydown", (e) => {
      if (!this.lab.drawing) return;
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
      if (move) this.cursor = this.cursor.map((v, i) => Math.min(0.98, Math.max(0.02, v + move[i] * 0.04)));
      else if (e.key === " ") this.points = [...this.points, this.cursor];
      else if (e.key === "Backspace") this.points = this.points.slice(0, -1);
      else if (e.key === "Enter") return this.lab.applyDrawing();
      else if (e.key === "Escape") return this.lab.setDrawing(false);
      else return;
      e.preventDefault();
      this.lab.draw();
    });
  }

  draw(arrays, note, about) {
    const { scene, shown } = this.lab, real = this.lab.real[this.name], tiles = scene.kind === "tiles";
    const columns = this.canvas.clientWidth < 420 ? 6 : 8;
    const canvas = sheet(this.canvas, tiles ? this.tall(arrays.tiles.shape[0], columns) : 1);
    if (!canvas) return;
    const [g, width] = canvas, { ink, dark, ...paint } = colours(this.canvas);
    g.fillStyle = paint.paper, g.fillRect(0, 0, width, canvas[2]);
    if (tiles) {
      g.fillStyle = ink, g.font = "12px sans-serif", g.textAlign = "left";
      g.fillText("real", 3, 13);
      const below = drawTiles(g, { ...real.tiles, shape: [Math.min(columns, real.tiles.shape[0]), ...real.tiles.shape.slice(1)] }, 19, columns, width, ink);
      g.fillStyle = ink, g.font = "12px sans-serif", g.textAlign = "left";
      g.fillText("generated; below each its mode, or ? if it is no good sample of any", 3, below + 12, width - 6);
      drawTiles(g, arrays.tiles, below + 19, columns, width, ink, arrays.assigned, scene.names);
    } else {
      const bright = (layer, usual) => (g.globalAlpha = about.shows && about.shows !== layer ? 0.15 : usual);
      if (arrays.surface && shown.surface !== "none") bright("surface", 1), drawSurface(g, arrays.surface, width, note, paint, dark);
      g.globalAlpha = 1;
      if (arrays.grid && shown.mesh) drawMesh(g, arrays.grid, width, paint.mesh);
      const truth = scene.line && arrays.codes ? arrays.codes : this.kept(real, note.without);
      if (shown.real) bright("real", 0.85), g.drawImage(this.still(truth, width, paint), 0, 0, width, width);
      if (shown.gradients) bright("gradients", 0.8), arrows(g, arrays.from, arrays.gradient, width, ink);
      if (shown.fake) bright("fake", 0.9), crosses(g, arrays.fake, width, 2.7, paint.fake, paint.paper);
      g.globalAlpha = 1;
      if (real.centers && shown.real) rings(g, real.centers, arrays.modes, note.without, width, scene.line, ink, paint.paper);
      if (arrays.codes && !scene.line && shown.codes) this.inset(g, arrays.codes, real.latents, width, ink, paint);
      this.axes(g, width, ink, note, paint.paper);
      if (about.status?.side === this.name) this.line(g, about.status, width, ink, paint.paper);
      if (this.lab.drawing && this.name === "A") this.pencil(g, width, ink, paint);
    }
    this.words(note);
    this.canvas.dataset.step = note.step;
    this.canvas.dataset.painted = Number(this.canvas.dataset.painted || 0) + 1;
  }

  /** The real points of the modes that are not left out; the same array as long as the same ones are. */
  kept({ real, mode }, without) {
    if (!without.length) return real;
    if (this.few?.real !== real || this.few.without !== without.join()) {
      const points = real.filter((_, i) => !without.includes(mode[i >> 1]));
      this.few = { real, without: without.join(), points };
    }
    return this.few.points;
  }

  /** The real points as a picture of their own: they stay where they are while the rest moves. */
  still(points, size, paint) {
    const { width, height } = this.canvas, key = [width, height, paint.real, paint.paper].join();
    if (this.layer?.points !== points || this.layer.key !== key) {
      const picture = new OffscreenCanvas(width, height), g = picture.getContext("2d");
      g.scale(width / size, width / size);
      discs(g, points, size, 2.4, paint.real, paint.paper);
      this.layer = { points, key, picture };
    }
    return this.layer.picture;
  }

  /** Height over width of a sheet of `n` generated pictures under a row of real ones. */
  tall(n, columns) {
    const width = this.canvas.clientWidth || 1, side = width / columns - 6;
    return (side + 48 + Math.ceil(n / columns) * (side + 15)) / width;
  }

  words(note) {
    const { scene, names } = this.lab, good = ({ high_quality }) => `${number(100 * high_quality)} % good`, whole = note.untruncated;
    const hidden = whole ? `, total variation ${number(note.tv)}. Without truncation: ${number(whole.captured)} modes, ${good(whole)}, total variation ${number(whole.tv)}` : "";
    this.caption.replaceChildren(...(names.length > 1 ? [make("b", { class: `lab-name-${this.name}` }, this.name), " "] : []),
      make("span", {}, `${scene.sides[this.name]}, step ${note.step}${whole ? `, truncated with ψ = ${number(note.truncation)}` : ""}: `), make("b", {}, `${number(note.captured)} of ${scene.modes} modes`), `, ${good(note)}${hidden}`);
    const losses = Object.entries(note.loss).map(([k, v]) => `loss of ${k} ${number(v)}`).join(", ");
    this.canvas.setAttribute("aria-label", `${this.caption.textContent}, total variation ${number(note.tv)}, ${losses}`);
  }

  axes(g, size, ink, note, paper) {
    const [left, right, bottom, top] = this.lab.scene.box[this.name], [across, up] = this.lab.scene.axes;
    g.strokeStyle = ink, g.lineWidth = 1, g.font = "11px sans-serif";
    g.strokeRect(0.5, 0.5, size - 1, size - 1);
    write(g, number(left), 5, size - 6, ink, paper);
    write(g, `${across} = ${number(right)}`, size - 5, size - 6, ink, paper, "right");
    write(g, `${up} = ${number(top)}`, 5, 15, ink, paper);
    if (note.low != null && this.lab.shown.surface !== "none") {
      const ends = note.middle == null ? `${number(note.low, 2)} (pale) to ${number(note.high, 2)}` : `${number(note.low, 2)} (orange) to ${number(note.high, 2)} (blue)`;
      write(g, `${SURFACES[note.surface]} of D: ${ends}`, size / 2, size - 6, ink, paper, "center");
    }
    if (note.outside) write(g, `${note.outside} outside`, size - 5, 15, ink, paper, "right");
  }

  /** Where the encoder puts the data, beside the law that its codes should have. */
  inset(g, codes, latents, size, ink, paint) {
    const side = size * 0.26;
    g.save();
    g.translate(size - side - 6, 22);
    g.globalAlpha = 0.9, g.fillStyle = paint.paper, g.fillRect(0, 0, side, side);
    g.beginPath(), g.rect(0, 0, side, side), g.clip();
    g.globalAlpha = 0.35, discs(g, latents, side, 1, paint.fake);
    g.globalAlpha = 0.9, discs(g, codes, side, 1.5, paint.real);
    g.globalAlpha = 1, g.strokeStyle = ink, g.lineWidth = 1, g.strokeRect(0.5, 0.5, side - 1, side - 1);
    g.font = "10px sans-serif", write(g, "E(x) on the law of z", 4, 12, ink, paint.paper);
    g.restore();
  }

  /** From the nearest sample to the mode that was asked about. */
  line(g, status, size, ink, paper) {
    const [left, right, bottom, top] = this.lab.scene.box[this.name];
    const at = ([x, y]) => [((x - left) / (right - left)) * size, ((top - y) / (top - bottom)) * size];
    for (const [width, colour] of [[5, paper], [2, ink]]) {
      g.strokeStyle = colour, g.lineWidth = width, g.setLineDash([5, 4]);
      g.beginPath(), g.moveTo(...at(status.from)), g.lineTo(...at(status.to)), g.stroke(), g.setLineDash([]);
      g.beginPath(), g.arc(...at(status.to), 15, 0, 7), g.stroke();
    }
  }

  pencil(g, size, ink, paint) {
    g.globalAlpha = 0.75, g.fillStyle = paint.paper, g.fillRect(0, 0, size, size), g.globalAlpha = 1;
    g.fillStyle = paint.real;
    for (const [x, y] of this.points) g.beginPath(), g.arc(x * size, y * size, 6, 0, 7), g.fill();
    const [x, y] = this.cursor.map((v) => v * size);
    g.strokeStyle = ink, g.lineWidth = 2;
    g.beginPath(), g.arc(x, y, 9, 0, 7), g.moveTo(x - 14, y), g.lineTo(x + 14, y), g.moveTo(x, y - 14), g.lineTo(x, y + 14), g.stroke();
  }
}

const CURVES = ["captured", "high_quality", "tv", "kl"];
const TITLES = { captured: "modes captured", high_quality: "high quality", tv: "total variation", kl: "KL, nats", loss: "losses" };

/** A measure of a side along the recorded steps; what is shown now is its last point, unless that is truncated and the curve is not. */
function series(lab, side, wanted) {
  const [arrays, { names }] = lab.curves, keys = names[side], found = [];
  if (!keys) return [];
  keys.forEach((name, j) => {
    if (name !== wanted && !(wanted === "loss" && name.startsWith("loss"))) return;
    const points = Array.from(arrays.steps, (step, i) => [step, arrays[side][i * keys.length + j]]);
    const note = lab.frames?.[side]?.[1], now = name.startsWith("loss") ? note?.loss[name.slice(5)] : note?.[name];
    const apart = note?.untruncated && !name.startsWith("loss");
    if (note && !apart && now != null && note.step >= (points.at(-1)?.[0] ?? 0)) points.push([note.step, now]);
    found.push({ side, name, points, now });
  });
  return found;
}

/** Small curves along the timeline, each beside its floor (what a perfect generator scores) and null (noise). */
function drawCurves(lab, canvas) {
  const wide = canvas.clientWidth > 640, columns = wide ? 5 : 2, rows = wide ? 1 : 3, beside = canvas.clientWidth < 0.6 * lab.root.clientWidth;
  const found = sheet(canvas, wide ? 0.19 : beside ? 1.42 : 0.95);
  if (!found || !lab.curves) return;
  const [g, width, height] = found, { ink, real, fake, b } = colours(canvas);
  const last = Math.max(1, lab.about.last ?? lab.curves[0].steps.at(-1) ?? 1), foot = wide ? 16 : 0;
  [...CURVES, "loss"].forEach((title, place) => {
    const w = width / columns, h = (height - foot) / rows, x = (place % columns) * w + 4, y = Math.floor(place / columns) * h + 34;
    const box = [w - 14, h - 46], lines = lab.names.flatMap((side) => series(lab, side, title));
    const guides = title === "loss" ? [] : [lab.scene.floor[title], lab.scene.null[title]];
    const all = [...lines.flatMap((s) => [s.now, ...s.points.map((p) => p[1])]), ...guides].filter((v) => v != null && Number.isFinite(v));
    const low = Math.min(0, ...all), high = Math.max(low + 1e-9, ...all, title === "captured" ? lab.scene.modes : 0);
    const px = (step) => x + (step / last) * box[0], py = (v) => y + box[1] * (1 - (v - low) / (high - low));
    g.globalAlpha = 0.3, g.strokeStyle = ink, g.lineWidth = 1, g.beginPath(), g.moveTo(x, y), g.lineTo(x, y + box[1]), g.lineTo(x + box[0], y + box[1]), g.stroke();
    g.globalAlpha = 0.55;
    guides.forEach((v, i) => v != null && (g.setLineDash(i ? [2, 3] : [7, 3]), g.beginPath(), g.moveTo(x, py(v)), g.lineTo(x + box[0], py(v)), g.stroke()));
    g.setLineDash([]), g.globalAlpha = 0.3, g.beginPath(), g.moveTo(px(lab.about.at), y), g.lineTo(px(lab.about.at), y + box[1]), g.stroke();
    g.globalAlpha = 1, g.lineWidth = 1.6;
    lines.forEach(({ side, name, points, now }) => {
      g.strokeStyle = g.fillStyle = side === "B" ? b : ink;
      g.setLineDash(/G/.test(name.slice(5)) && title === "loss" ? [5, 3] : []);
      g.beginPath();
      points.forEach(([step, v]) => Number.isFinite(v) && g.lineTo(px(step), py(v)));
      g.stroke(), g.setLineDash([]);
      if (now != null) g.beginPath(), g.arc(px(lab.about.at), py(now), 3, 0, 7), g.fill();
    });
    g.fillStyle = ink, g.textAlign = "left", g.font = "12px sans-serif", g.fillText(TITLES[title], x, y - 22, box[0]);
    g.font = "11px sans-serif";
    let at = x;
    lines.forEach(({ side, name, now }) => {
      const text = `${title === "loss" ? `${name.slice(5)} ` : ""}${number(now)}  `;
      g.fillStyle = side === "B" ? b : ink, g.fillText(text, at, y - 8), (at += g.measureText(text).width);
    });
    g.fillStyle = ink, g.globalAlpha = 0.6, g.fillText(number(low, 2), x, y + box[1] + 11), g.textAlign = "right";
    if (at < x + box[0] - 34) g.fillText(`↑ ${number(high, 2)}`, x + box[0], y - 8);
    g.globalAlpha = 1;
  });
  const apart = lab.names.some((side) => lab.frames?.[side]?.[1].untruncated) ? ["dot: truncated, curve: not"] : [];
  const legend = [...apart, "long dashes: a perfect generator", "dots: uniform noise", "loss of G: dashed", ...(lab.names.length > 1 ? ["black: A, purple: B".replace("black", colours(canvas).dark ? "white" : "black")] : [])];
  g.globalAlpha = 0.75, g.fillStyle = ink, g.font = "11px sans-serif";
  if (wide) g.textAlign = "right", g.fillText(legend.join("; "), width - 8, height - 3, width - 12);
  else legend.forEach((text, i) => (g.textAlign = "left", g.fillText(text, width / 2 + 4, (2 * height) / 3 + 40 + 16 * i, width / 2 - 8)));
  g.globalAlpha = 1;
  canvas.setAttribute("aria-label", `Curves up to step ${last}. ${lab.names.map((s) => lab.stages[s].caption.textContent).join("; ")}`);
}

/** Which modes were captured when: a row for every mode, under the timeline; a notch where a setting changed. */
function drawPast(lab, canvas) {
  const strips = lab.curves ? lab.names.filter((side) => lab.curves[0][`captured ${side}`]) : [];
  canvas.hidden = !strips.length;
  if (!strips.length) return;
  const modes = lab.scene.modes, cell = Math.max(2, Math.min(9, 110 / modes / strips.length)), strip = cell * modes, gap = 8;
  const found = sheet(canvas, (strips.length * (strip + gap) + 14) / Math.max(1, canvas.clientWidth));
  if (!found) return;
  const [g, width] = found, { ink, b } = colours(canvas), [arrays, { events }] = lab.curves, last = Math.max(1, lab.about.last);
  const px = (step) => 8 + (step / last) * (width - 16); // the slider's thumb is sixteen wide
  strips.forEach((side, place) => {
    const captured = arrays[`captured ${side}`], top = 12 + place * (strip + gap), steps = arrays.steps;
    g.globalAlpha = 0.25, g.fillStyle = ink, g.fillRect(8, top, width - 16, strip);
    g.globalAlpha = 1, g.fillStyle = CAPTURED;
    for (let i = 0; i < steps.length; i++) {
      const from = Math.round(px(i ? (steps[i - 1] + steps[i]) / 2 : steps[i])); // each measure stands for the steps around it
      const to = Math.round(px(i + 1 < steps.length ? (steps[i] + steps[i + 1]) / 2 : last));
      for (let m = 0; m < modes; m++) if (captured[i * modes + m]) g.fillRect(from, top + m * cell, Math.max(1, to - from), cell - (cell > 4 ? 1 : 0));
    }
    if (strips.length > 1) g.fillStyle = side === "B" ? b : ink, g.font = "bold 10px sans-serif", g.textAlign = "left", g.fillText(side, 0, top + 9);
  });
  g.fillStyle = g.strokeStyle = ink;
  for (const step of events) g.beginPath(), g.moveTo(px(step), 11), g.lineTo(px(step) - 4, 2), g.lineTo(px(step) + 4, 2), g.fill();
  g.lineWidth = 1.5, g.beginPath(), g.moveTo(px(lab.about.at), 2), g.lineTo(px(lab.about.at), 12 + strips.length * (strip + gap)), g.stroke();
  const now = strips.map((side) => lab.stages[side].caption.textContent).join("; ");
  canvas.setAttribute("aria-label", `Which of ${modes} modes were captured up to step ${last}; changes at step ${events.join(", ") || "none"}. Now: ${now}`);
}

const HINT = "Choose a mode to see which gradient G gets near it. With Shift: leave the mode out of the data, or put it back.";

class LabView {
  constructor(model, el) {
    Object.assign(this, { model, el, about: {}, drawing: false, stages: {}, names: [], real: {}, shown: { real: 1, fake: 1, gradients: 1, mesh: 0, codes: 1, surface: "" } });
    this.status = make("output", { class: "lab-status", role: "status" });
    this.row = make("div", { class: "lab-stages" });
    this.missions = make("ol", { class: "lab-missions", "aria-label": "missions", hidden: "" });
    this.layers = this.layerBox();
    this.slider = make("input", { type: "range", min: 0, max: 0, value: 0, class: "lab-slider", "aria-label": "timeline: step" });
    this.step = make("span", { class: "lab-step" });
    this.past = make("canvas", { class: "lab-past", role: "img", "aria-label": "captured modes along the timeline" });
    this.slider.addEventListener("input", () => this.send({ do: "scrub", step: Number(this.slider.value) }));
    this.past.addEventListener("pointerdown", (e) => {
      const box = this.past.getBoundingClientRect(), share = (e.clientX - box.left - 8) / (box.width - 16);
      this.send({ do: "scrub", step: Math.round(Math.min(1, Math.max(0, share)) * (this.about.last || 0)) });
    });
    this.transport = make("div", { class: "lab-transport" }, this.step);
    this.time = make("div", { class: "lab-time" }, this.transport, this.slider, this.past);
    this.pen = make("div", { class: "lab-pen" });
    this.chart = make("canvas", { class: "lab-curves", role: "img", "aria-label": "curves" });
    this.grid = make("div", { class: "lab-grid" }, this.missions, this.row, this.chart, this.status, this.time, this.layers, this.pen);
    this.root = make("div", { class: "lab" }, this.grid);
    el.append(this.root);
    this.pens();
  }

  layerBox() {
    const boxes = Object.entries(LAYERS).map(([key, [sign, text]]) => {
      const box = make("input", { type: "checkbox", "data-layer": key });
      box.checked = Boolean(this.shown[key]);
      box.addEventListener("change", () => ((this.shown[key] = box.checked), this.draw()));
      return make("label", { class: `lab-layer-${key}` }, box, make("span", { "aria-hidden": "true" }, sign), text);
    });
    this.surface = make("select", { "aria-label": "surface of D" });
    this.surface.addEventListener("change", () => {
      this.shown.surface = this.surface.value;
      this.send({ do: "set_surface", surface: this.surface.value });
      this.draw();
    });
    return make("fieldset", { class: "lab-layers" }, make("legend", {}, "show"), ...boxes, make("label", { class: "lab-layer-surface" }, "surface of D", this.surface));
  }

  pens() {
    this.toggle = make("button", { type: "button", "aria-pressed": "false" }, "Draw your own data");
    this.apply = make("button", { type: "button" }, "Use it");
    this.undo = make("button", { type: "button" }, "Undo");
    this.toggle.addEventListener("click", () => this.setDrawing(!this.drawing));
    this.apply.addEventListener("click", () => this.applyDrawing());
    this.undo.addEventListener("click", () => ((this.stages.A.points = this.stages.A.points.slice(0, -1)), this.draw()));
    this.pen.append(this.toggle, this.apply, this.undo);
    this.setDrawing(false);
  }

  setDrawing(on) {
    this.drawing = on;
    this.toggle.setAttribute("aria-pressed", String(on));
    this.apply.hidden = this.undo.hidden = !on;
    this.root.classList.toggle("drawing", on);
    if (on) {
      this.status.textContent = this.shownText = "Draw with the pointer, or with arrow keys, Space and Backspace; Enter uses it.";
      this.stages.A.points = [];
      this.stages.A.canvas.focus();
    }
    this.draw();
  }

  applyDrawing() {
    const [left, right, bottom, top] = this.scene.box.A;
    const points = this.stages.A.points.map(([x, y]) => [left + x * (right - left), top - y * (top - bottom)]);
    this.setDrawing(false);
    if (points.length) this.send({ do: "draw", points });
  }

  send(message) {
    this.model.send(message);
  }

  newScene() {
    this.scene = this.model.get("scene");
    if (!this.scene?.sides) return;
    this.real = Object.fromEntries(Object.entries(this.scene.real).map(([name, text]) => [name, unpack(decode(text))[0]]));
    const names = Object.keys(this.scene.sides);
    if (names.join() !== this.names.join()) {
      this.stages = Object.fromEntries(names.map((name) => [name, new Stage(this, name)]));
      this.names = names;
      this.row.replaceChildren(...names.map((name) => this.stages[name].node));
      names.forEach((name) => this.watch?.observe(this.stages[name].canvas));
    }
    this.curves = this.frames = null; // they belonged to another scene
    this.root.classList.toggle("duel", names.length > 1);
    const { surfaces, surface } = this.scene;
    this.surface.replaceChildren(...(this.scene.player ? [...new Set([surface, "none"])] : surfaces).map((name) => make("option", { value: name }, SURFACES[name])));
    this.surface.value = this.shown.surface = surface;
    this.surface.parentNode.hidden = !surfaces.length;
    this.layers.querySelector(".lab-layer-codes").hidden = !Object.values(this.real).some((arrays) => arrays.latents);
    this.pen.hidden = !this.scene.drawable || this.scene.player;
    this.layers.hidden = this.scene.kind === "tiles";
  }

  newFrame() {
    const data = this.model.get("frame");
    if (!data?.byteLength || !this.scene?.sides) return;
    const [parts, about] = unpack(data);
    this.about = about;
    this.frames = Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, unpack(bytes)]));
    if (!this.pending) this.pending = requestAnimationFrame(() => ((this.pending = 0), this.draw(), this.acknowledge()));
  }

  /** Tell the kernel how far the page is: now and then, for every answer makes JupyterLab redraw its busy signs. */
  acknowledge() {
    const { frame, playing } = this.about;
    if (playing && frame - this.acknowledged < 4) return;
    this.acknowledged = frame;
    this.send({ do: "ack", frame });
  }

  newCurves() {
    const data = this.model.get("curves");
    if (!data?.byteLength) return;
    this.curves = unpack(data);
    this.showMissions(this.curves[1].missions ?? []);
    if (this.frames) drawCurves(this, this.chart), drawPast(this, this.past);
  }

  /** Missions with their stages, ticked off as the record shows them. */
  showMissions(missions) {
    const key = JSON.stringify(missions);
    if (key === this.missionsShown) return;
    this.missionsShown = key;
    this.missions.hidden = !missions.length;
    this.missions.replaceChildren(...missions.map(([text, stages]) => {
      const done = stages.every(([, reached]) => reached);
      const list = stages.map(([stage, reached]) => make("li", { class: reached ? "reached" : "" }, `${reached ? "☑" : "☐"} ${stage}`));
      return make("li", { class: done ? "done" : "" }, make("span", {}, text + (done ? " Done." : "")), make("ul", {}, ...list));
    }));
  }

  /** The status line: an error, the stages of slow motion up to now, a message, or a hint. */
  showStatus({ message, error, stages, stage }) {
    if (this.drawing) return;
    const text = error || (stages?.length ? `${stage} ${stages.flat().join()}` : message) || (this.scene.player ? "" : HINT);
    if (text === this.shownText) return;
    this.shownText = text;
    this.status.classList.toggle("error", Boolean(error));
    if (error || !stages?.length) return void (this.status.textContent = text);
    this.status.replaceChildren(make("ol", {}, ...stages.slice(0, stage + 1).map(([turn, number, text], i) =>
      make("li", { class: i === stage ? "now" : "" }, make("b", {}, `${turn} ${number}`), ` ${text}`))));
  }

  draw() {
    if (!this.frames || !this.scene) return;
    for (const name of this.names) {
      if (!this.frames[name]) continue;
      this.stages[name].draw(...this.frames[name], this.about);
      this.stages[name].showModes(this.frames[name][0].modes, this.frames[name][1].without);
    }
    const { at, last } = this.about;
    if (document.activeElement !== this.slider || !this.slider.matches(":active")) (this.slider.max = last), (this.slider.value = at);
    this.slider.setAttribute("aria-valuetext", `step ${at} of ${last}`);
    this.step.textContent = `step ${at} of ${last}`;
    this.showStatus(this.about);
    if (performance.now() - (this.plotted ?? 0) > 250 || !this.about.playing) (this.plotted = performance.now()), drawCurves(this, this.chart), drawPast(this, this.past);
  }
}

const view = {
  render({ model, el }) {
    const lab = new LabView(model, el);
    const hooks = { "change:scene": () => lab.newScene(), "change:frame": () => lab.newFrame(), "change:curves": () => lab.newCurves() };
    lab.watch = new ResizeObserver(() => lab.draw());
    lab.watch.observe(lab.chart);
    const theme = new MutationObserver(() => lab.draw());
    theme.observe(document.body, { attributes: true });
    for (const [name, hook] of Object.entries(hooks)) model.on(name, hook);
    lab.newScene(), lab.newFrame(), lab.newCurves();
    model.send({ do: "view", change: 1 });
    return () => {
      for (const [name, hook] of Object.entries(hooks)) model.off(name, hook);
      lab.watch.disconnect(), theme.disconnect();
      model.send({ do: "view", change: -1 });
    };
  },
};
export default view;

/** A recording in a page of its own: the same view, driven by a list of frames instead of a kernel. */
export function play(el, recording) {
  const hooks = {}, state = { scene: { ...recording.scene, player: true }, frame: null, curves: decode(recording.curves) };
  let here = 0, timer = 0;
  const nearest = (step) => recording.steps.reduce((best, s, i) => (Math.abs(s - step) < Math.abs(recording.steps[best] - step) ? i : best), 0);
  const turn = (i) => {
    here = Math.min(recording.steps.length - 1, Math.max(0, i));
    state.frame = decode(recording.frames[here]);
    hooks["change:frame"]?.();
  };
  const receive = (m) => {
    if (m.do === "scrub") stop(), turn(nearest(m.step));
    if (m.do === "mode_status" || m.do === "leave_out") root.querySelector(".lab-status").textContent = "A recording has no kernel; run the notebook to see which gradient G gets.";
  };
  const model = { get: (k) => state[k], on: (k, f) => (hooks[k] = f), off() {}, send: receive, save_changes() {} };
  el.replaceChildren(); // the still picture makes room
  view.render({ model, el });
  const root = el.querySelector(".lab");
  const button = (label, act) => {
    const b = make("button", { type: "button" }, label);
    b.addEventListener("click", act);
    return b;
  };
  const toggle = button("Play", () => {
    if (timer) return stop();
    if (here + 1 >= recording.steps.length) turn(0);
    timer = setInterval(() => (turn(here + 1), here + 1 >= recording.steps.length && stop()), 120);
    toggle.textContent = "Pause";
  });
  const stop = () => (clearInterval(timer), (timer = 0), (toggle.textContent = "Play"));
  const slider = root.querySelector(".lab-slider");
  slider.addEventListener("keydown", (e) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -1e9, End: 1e9 }[e.key];
    if (by) e.preventDefault(), stop(), turn(here + by);
    if (e.key === " ") e.preventDefault(), toggle.click();
  });
  root.querySelector(".lab-transport").prepend(toggle, button("Back", () => (stop(), turn(here - 1))), button("Forward", () => (stop(), turn(here + 1))));
  turn(0);
}
