// The lab's picture: one module, no build, no network. The same code draws in JupyterLab and in a saved page.
// Python sends a `scene` (what stays), a `frame` (what moves) and `curves`; the page sends back what was asked for.

const LIGHT = { real: "#0072B2", fake: "#D55E00", mesh: "#009E73" }, DARK = { real: "#56B4E9", fake: "#FF9A52", mesh: "#2FC79A" };
const LAYERS = { real: "● real", fake: "× generated", push: "arrows: where G's loss pushes", mesh: "latent grid", surface: "surface of D" };
const TYPES = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };

/** What `modelab.view.pack` wrote: `[arrays, note]`. */
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
const say = (value, digits = 3) => (value == null ? "–" : String(Number(Number(value).toPrecision(digits))));

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

function drawSurface(g, cells, size, dark) {
  const [rows, columns] = cells.shape, picture = new ImageData(columns, rows);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
    const value = cells[(rows - 1 - row) * columns + column], at = 4 * (row * columns + column);
    const grey = dark ? 30 + value * 0.42 : 255 - value * 0.42;
    picture.data.set([grey, grey, grey, 255], at);
  }
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(picture, 0, 0);
  g.imageSmoothingEnabled = true;
  g.drawImage(small, 0, 0, size, size);
}

function drawMesh(g, mesh, size, colour) {
  const [rows, columns] = mesh.shape;
  g.strokeStyle = colour;
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) for (const [dr, dc] of [[0, 1], [1, 0]]) {
    if (row + dr >= rows || column + dc >= columns) continue;
    const a = place(mesh, row * columns + column, size), b = place(mesh, (row + dr) * columns + column + dc, size);
    const length = Math.hypot(a[0] - b[0], a[1] - b[1]);
    g.globalAlpha = Math.min(0.9, Math.max(0.12, 8 / (length + 1))); // dense where much of the noise goes
    g.beginPath(), g.moveTo(...a), g.lineTo(...b), g.stroke();
  }
}

function discs(g, points, size, radius, colour) {
  g.fillStyle = colour;
  g.beginPath();
  for (let i = 0; i < points.length / 2; i++) {
    const [x, y] = place(points, i, size);
    g.moveTo(x + radius, y), g.arc(x, y, radius, 0, 7);
  }
  g.fill();
}

function crosses(g, points, size, arm, colour) {
  g.strokeStyle = colour;
  g.lineWidth = 1.2;
  g.beginPath();
  for (let i = 0; i < points.length / 2; i++) {
    const [x, y] = place(points, i, size);
    g.moveTo(x - arm, y - arm), g.lineTo(x + arm, y + arm), g.moveTo(x - arm, y + arm), g.lineTo(x + arm, y - arm);
  }
  g.stroke();
}

function arrows(g, from, push, size, ink) {
  g.strokeStyle = ink;
  g.lineWidth = 1;
  g.beginPath();
  for (let i = 0; i < from.length / 2; i++) {
    const [x, y] = place(from, i, size), dx = (push[2 * i] / 127) * size / 9, dy = (-push[2 * i + 1] / 127) * size / 9;
    const length = Math.hypot(dx, dy);
    if (length < 1) continue;
    g.moveTo(x, y), g.lineTo(x + dx, y + dy);
    const ux = (dx / length) * 3.5, uy = (dy / length) * 3.5;
    g.moveTo(x + dx - ux - uy, y + dy - uy + ux), g.lineTo(x + dx, y + dy), g.lineTo(x + dx - ux + uy, y + dy - uy - ux);
  }
  g.stroke();
}

function drawTiles(g, tiles, verdict, left, top, width, ink) {
  const [n, height, wide, channels] = tiles.shape, columns = Math.max(1, Math.round(Math.sqrt(n)));
  const room = width / columns, side = room * 0.74;
  const small = new OffscreenCanvas(wide, height), brush = small.getContext("2d");
  g.imageSmoothingEnabled = false;
  g.font = `${Math.max(8, room * 0.2)}px sans-serif`;
  g.textAlign = "center";
  for (let i = 0; i < n; i++) {
    const picture = new ImageData(wide, height);
    for (let p = 0; p < wide * height; p++) for (let c = 0; c < 4; c++)
      picture.data[4 * p + c] = c === 3 ? 255 : tiles[(i * wide * height + p) * channels + (channels === 3 ? c : 0)];
    brush.putImageData(picture, 0, 0);
    const x = left + (i % columns) * room, y = top + Math.floor(i / columns) * room;
    g.drawImage(small, x + (room - side) / 2, y, side, side);
    if (verdict) {
      const sure = verdict[i] >> 15;
      g.fillStyle = ink;
      g.globalAlpha = sure ? 1 : 0.5;
      g.fillText((verdict[i] & 32767) + (sure ? "" : "?"), x + room / 2, y + side + room * 0.2);
      g.globalAlpha = 1;
    }
  }
}

/** One side: its picture and its lamps. */
class Stage {
  constructor(lab, name) {
    Object.assign(this, { lab, name, points: [], cursor: [0.5, 0.5] });
    this.canvas = make("canvas", { role: "img", tabindex: "0", class: "lab-picture", "data-side": name });
    this.caption = make("figcaption");
    this.lamps = make("div", { class: "lab-lamps", role: "toolbar", "aria-label": `Modes of side ${name}: choose one to ask what G hears of it` });
    this.node = make("figure", { class: "lab-stage" }, this.caption, this.canvas, this.lamps);
    this.lampKeys();
    this.pointer();
  }

  lampKeys() {
    this.lamps.addEventListener("click", (e) => e.target.dataset.mode && this.lab.send({ do: "lamp", mode: Number(e.target.dataset.mode), side: this.name }));
    this.lamps.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key], all = [...this.lamps.children];
      if (!step) return;
      e.preventDefault();
      const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
      all.forEach((lamp) => lamp.setAttribute("tabindex", "-1"));
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  }

  light(lamps) {
    if (this.lamps.children.length !== lamps.length)
      this.lamps.replaceChildren(...Array.from(lamps, (_, i) => make("button", { type: "button", "data-mode": i, tabindex: i ? -1 : 0 }, lamps.length > 64 ? "" : String(i))));
    this.lamps.classList.toggle("many", lamps.length > 64);
    const key = lamps.join();
    if (key === this.shown) return;
    this.shown = key;
    Array.from(lamps, (value, i) => {
      const lit = value >> 15, lamp = this.lamps.children[i], label = `mode ${i}: ${lit ? "lit" : "dark"}, ${value & 32767} samples`;
      if (lamp.title === label) return;
      lamp.title = label;
      lamp.setAttribute("aria-label", label);
      lamp.setAttribute("aria-pressed", String(Boolean(lit)));
      lamp.className = lit ? "lit" : "dark";
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
    const { scene, real, shown } = this.lab, tiles = scene.kind === "tiles";
    const canvas = sheet(this.canvas, tiles ? 0.55 : 1);
    if (!canvas) return;
    const [g, width] = canvas, { ink, dark, ...paint } = colours(this.canvas);
    if (tiles) {
      g.fillStyle = ink, g.font = "12px sans-serif", g.textAlign = "left";
      g.fillText("real", 4, 12), g.fillText("generated, and the mode its judge sees", width / 2 + 4, 12);
      const fit = (t) => (width * 0.55 - 18) / Math.ceil(t.shape[0] / Math.round(Math.sqrt(t.shape[0]))) * Math.round(Math.sqrt(t.shape[0]));
      drawTiles(g, real.tiles, null, 4, 18, Math.min(width / 2 - 10, fit(real.tiles)), ink);
      drawTiles(g, arrays.tiles, arrays.verdict, width / 2 + 4, 18, Math.min(width / 2 - 10, fit(arrays.tiles)), ink);
    } else {
      const faint = (layer) => (g.globalAlpha = about.shows && about.shows !== layer ? 0.2 : layer === "real" ? 0.6 : 0.85);
      if (arrays.surface && shown.surface) faint("surface"), g.globalAlpha = Math.max(g.globalAlpha, .5), drawSurface(g, arrays.surface, width, dark);
      if (arrays.grid && shown.mesh) drawMesh(g, arrays.grid, width, paint.mesh);
      const truth = scene.line && arrays.codes ? arrays.codes : real.real;
      if (shown.real) faint("real"), discs(g, truth, width, 2.6, paint.real);
      if (shown.fake) faint("fake"), crosses(g, arrays.fake, width, 2.6, paint.fake);
      if (shown.push) faint("push"), arrows(g, arrays.from, arrays.push, width, ink);
      g.globalAlpha = 1;
      if (arrays.codes && !scene.line) this.inset(g, arrays.codes, width, ink);
      this.axes(g, width, ink, note);
      if (about.lamp?.side === this.name) this.line(g, about.lamp, width, ink);
      if (this.lab.drawing && this.name === "A") this.pencil(g, width, ink);
    }
    this.caption.textContent = `${this.lab.names.length > 1 ? this.name + ": " : ""}${scene.sides[this.name]}, step ${note.step}: ${say(note.captured)} of ${scene.modes} modes, high quality ${say(100 * note.high_quality)} %`;
    const losses = Object.entries(note.loss).map(([k, v]) => `loss of ${k} ${say(v)}`).join(", ");
    this.canvas.setAttribute("aria-label", `${this.caption.textContent}, total variation ${say(note.tv)}, ${losses}`);
    this.canvas.dataset.step = note.step;
    this.canvas.dataset.painted = Number(this.canvas.dataset.painted || 0) + 1;
  }

  axes(g, size, ink, note) {
    const [left, right, bottom, top] = this.lab.scene.box;
    g.fillStyle = ink, g.strokeStyle = ink, g.lineWidth = 1, g.font = "11px sans-serif";
    g.strokeRect(0.5, 0.5, size - 1, size - 1);
    g.textAlign = "left", g.fillText(`${say(left)}`, 4, size - 5);
    g.textAlign = "right", g.fillText(`${this.lab.scene.axes[0]} ${say(right)}`, size - 4, size - 5);
    g.textAlign = "left", g.fillText(`${this.lab.scene.axes[1]} ${say(top)}`, 4, 14);
    const [low, high] = colours(this.canvas).dark ? ["dark", "light"] : ["light", "dark"];
    if (note.low != null && this.lab.shown.surface)
      g.textAlign = "center", g.fillText(`${note.surface} of D: ${low} ${say(note.low, 2)}, ${high} ${say(note.high, 2)}`, size / 2, size - 5);
    if (note.outside) g.textAlign = "right", g.fillText(`${note.outside} outside`, size - 4, 14);
  }

  inset(g, codes, size, ink) {
    const side = size * 0.24;
    g.save();
    g.translate(size - side - 6, 20);
    g.globalAlpha = 0.85, g.fillStyle = colours(this.canvas).dark ? "#111" : "#fff", g.fillRect(0, 0, side, side);
    g.beginPath(), g.rect(0, 0, side, side), g.clip();
    g.globalAlpha = 0.7, discs(g, codes, side, 1.5, colours(this.canvas).real);
    g.globalAlpha = 1, g.strokeStyle = ink, g.strokeRect(0.5, 0.5, side - 1, side - 1);
    g.fillStyle = ink, g.textAlign = "left", g.font = "10px sans-serif", g.fillText("E(x)", 3, 11);
    g.restore();
  }

  line(g, lamp, size, ink) {
    const [left, right, bottom, top] = this.lab.scene.box;
    const at = ([x, y]) => [((x - left) / (right - left)) * size, ((top - y) / (top - bottom)) * size];
    g.strokeStyle = ink, g.lineWidth = 2, g.setLineDash([5, 4]);
    g.beginPath(), g.moveTo(...at(lamp.from)), g.lineTo(...at(lamp.to)), g.stroke(), g.setLineDash([]);
    g.beginPath(), g.arc(...at(lamp.to), 9, 0, 7), g.stroke();
  }

  pencil(g, size, ink) {
    g.fillStyle = colours(this.canvas).real;
    for (const [x, y] of this.points) g.beginPath(), g.arc(x * size, y * size, 5, 0, 7), g.fill();
    g.strokeStyle = ink, g.lineWidth = 2;
    g.beginPath(), g.arc(this.cursor[0] * size, this.cursor[1] * size, 8, 0, 7), g.stroke();
  }
}

const CURVES = ["captured", "high_quality", "tv", "kl"];
const TITLES = { captured: "modes captured", high_quality: "high quality", tv: "total variation", kl: "KL, nats", loss: "losses" };

/** Small curves along the timeline, each beside its floor (what a perfect generator scores) and null (noise). */
function drawCurves(lab, canvas) {
  const narrow = canvas.clientWidth < 520, columns = narrow ? 2 : 5, rows = narrow ? 3 : 1;
  const found = sheet(canvas, narrow ? 0.9 : 0.22);
  if (!found || !lab.curves) return;
  const [g, width, height] = found, { ink, real, fake } = colours(canvas), [arrays, { names }] = lab.curves;
  const last = Math.max(1, lab.about.last ?? arrays.steps.at(-1) ?? 1);
  [...CURVES, "loss"].forEach((title, place) => {
    const w = width / columns, h = (height - 14) / rows, x = (place % columns) * w + 4, y = Math.floor(place / columns) * h + 16;
    const box = [w - 12, h - 24], series = [];
    for (const side of lab.names) names[side].forEach((name, j) => {
      if (name === title || (title === "loss" && name.startsWith("loss")))
        series.push({ side, name, values: Array.from(arrays.steps, (_, i) => arrays[side][i * names[side].length + j]) });
    });
    const guides = title === "loss" ? [] : [lab.scene.floor[title], lab.scene.null[title]].filter((v) => v != null);
    const all = [...series.flatMap((s) => s.values), ...guides].filter(Number.isFinite);
    const low = Math.min(0, ...all), high = Math.max(low + 1e-9, ...all);
    const px = (step) => x + (step / last) * box[0], py = (v) => y + box[1] * (1 - (v - low) / (high - low));
    g.globalAlpha = 0.35, g.strokeStyle = ink, g.lineWidth = 1, g.strokeRect(x, y, ...box);
    guides.forEach((v, i) => (g.setLineDash(i ? [2, 3] : [6, 3]), g.beginPath(), g.moveTo(x, py(v)), g.lineTo(x + box[0], py(v)), g.stroke()));
    g.setLineDash([]), g.beginPath(), g.moveTo(px(lab.about.at), y), g.lineTo(px(lab.about.at), y + box[1]), g.stroke();
    g.globalAlpha = 1, g.lineWidth = 1.4;
    series.forEach(({ side, name, values }) => {
      g.strokeStyle = side === "A" ? fake : real;
      g.setLineDash(name.endsWith("G") || name.endsWith("GE") ? [4, 2] : []);
      g.beginPath();
      values.forEach((v, i) => Number.isFinite(v) && g.lineTo(px(arrays.steps[i]), py(v)));
      g.stroke();
    });
    g.setLineDash([]), g.fillStyle = ink, g.font = "11px sans-serif", g.textAlign = "left";
    g.fillText(`${TITLES[title]} ${say(low, 2)} to ${say(high, 2)}`, x, y - 4);
  });
  g.textAlign = "right", g.globalAlpha = 0.7;
  g.fillText(narrow ? "dashes: perfect, dots: noise" : "long dashes: a perfect generator, dots: noise", width - 4, height - 2);
  g.globalAlpha = 1;
  const now = lab.names.map((s) => lab.stages[s].caption.textContent).join("; ");
  canvas.setAttribute("aria-label", `Curves up to step ${last}. ${now}`);
}

class LabView {
  constructor(model, el) {
    Object.assign(this, { model, el, about: {}, drawing: false, stages: {}, names: [], shown: { real: 1, fake: 1, push: 1, mesh: 0, surface: 1 } });
    this.status = make("output", { class: "lab-status", role: "status" });
    this.row = make("div", { class: "lab-stages" });
    this.layers = make("fieldset", { class: "lab-layers" }, make("legend", {}, "show"), ...Object.entries(LAYERS).map(([key, text]) => {
      const box = make("input", { type: "checkbox", "data-layer": key });
      box.checked = Boolean(this.shown[key]);
      box.addEventListener("change", () => ((this.shown[key] = box.checked), this.draw()));
      return make("label", {}, box, text);
    }));
    this.slider = make("input", { type: "range", min: 0, max: 0, value: 0, class: "lab-slider", "aria-label": "timeline: step" });
    this.step = make("span", { class: "lab-step" });
    this.slider.addEventListener("input", () => this.send({ do: "scrub", step: Number(this.slider.value) }));
    this.time = make("div", { class: "lab-time" }, this.slider, this.step);
    this.pen = make("div", { class: "lab-pen" });
    this.chart = make("canvas", { class: "lab-curves", role: "img", "aria-label": "curves" });
    this.root = make("div", { class: "lab" }, this.row, this.status, this.time, this.chart, this.layers, this.pen);
    el.append(this.root);
    this.pens();
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
      this.status.textContent = "Draw with the pointer, or with arrow keys, Space and Backspace; Enter uses it.";
      this.stages.A.points = [];
      this.stages.A.canvas.focus();
    }
    this.draw();
  }

  applyDrawing() {
    const [left, right, bottom, top] = this.scene.box;
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
    this.real = unpack(decode(this.scene.real))[0];
    const names = Object.keys(this.scene.sides);
    if (names.join() !== this.names.join()) {
      this.stages = Object.fromEntries(names.map((name) => [name, new Stage(this, name)]));
      this.names = names;
      this.row.replaceChildren(...names.map((name) => this.stages[name].node));
      names.forEach((name) => this.watch?.observe(this.stages[name].canvas));
    }
    this.pen.hidden = !this.scene.drawable || this.scene.player;
    this.layers.hidden = this.scene.kind === "tiles";
  }

  newFrame() {
    const data = this.model.get("frame");
    if (!data?.byteLength || !this.scene) return;
    const [parts, about] = unpack(data);
    this.about = about;
    this.frames = Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, unpack(bytes)]));
    if (!this.asked) this.asked = requestAnimationFrame(() => ((this.asked = 0), this.draw(), this.send({ do: "ack" })));
  }

  newCurves() {
    const data = this.model.get("curves");
    if (data?.byteLength) (this.curves = unpack(data)), drawCurves(this, this.chart);
  }

  draw() {
    if (!this.frames || !this.scene) return;
    for (const name of this.names) {
      if (!this.frames[name]) continue;
      this.stages[name].draw(...this.frames[name], this.about);
      this.stages[name].light(this.frames[name][0].lamps);
    }
    const { at, last, said, error } = this.about;
    if (document.activeElement !== this.slider || !this.slider.matches(":active")) (this.slider.max = last), (this.slider.value = at);
    this.slider.setAttribute("aria-valuetext", `step ${at} of ${last}`);
    this.step.textContent = `step ${at} of ${last}`;
    if (!this.drawing && this.status.textContent !== (error || said)) this.status.textContent = error || said;
    this.status.classList.toggle("error", Boolean(error));
    if (performance.now() - (this.plotted ?? 0) > 250 || !this.about.playing) (this.plotted = performance.now()), drawCurves(this, this.chart);
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
export function play(el, film) {
  const hooks = {}, state = { scene: { ...film.scene, player: true }, frame: null, curves: decode(film.curves) };
  let here = 0, timer = 0;
  const nearest = (step) => film.steps.reduce((best, s, i) => (Math.abs(s - step) < Math.abs(film.steps[best] - step) ? i : best), 0);
  const turn = (i) => {
    here = Math.min(film.steps.length - 1, Math.max(0, i));
    state.frame = decode(film.frames[here]);
    hooks["change:frame"]?.();
  };
  const hear = (m) => {
    if (m.do === "scrub") turn(nearest(m.step));
    if (m.do === "lamp") root.querySelector(".lab-status").textContent = "A recording cannot be asked; run the notebook to ask the lamp.";
  };
  const model = { get: (k) => state[k], on: (k, f) => (hooks[k] = f), off() {}, send: hear, save_changes() {} };
  el.replaceChildren(); // the still picture makes room
  view.render({ model, el });
  const root = el.querySelector(".lab");
  const button = (label, act) => {
    const b = make("button", { type: "button" }, label);
    b.addEventListener("click", act);
    return b;
  };
  const toggle = button("Play", () => {
    clearInterval(timer);
    timer = toggle.textContent === "Play" ? setInterval(() => (here + 1 < film.steps.length ? turn(here + 1) : toggle.click()), 120) : 0;
    toggle.textContent = timer ? "Pause" : "Play";
    if (timer && here + 1 >= film.steps.length) turn(0);
  });
  const slider = root.querySelector(".lab-slider");
  slider.addEventListener("keydown", (e) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -1e9, End: 1e9 }[e.key];
    if (by) e.preventDefault(), turn(here + by);
    if (e.key === " ") e.preventDefault(), toggle.click();
  });
  root.querySelector(".lab-time").prepend(toggle, button("Back", () => turn(here - 1)), button("On", () => turn(here + 1)));
  turn(0);
}
