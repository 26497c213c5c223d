// The browser's half of llmlab.viz.TrainingBoard.
//
// The kernel sends everything that is drawn, a few hundred points and some lines of text, at most
// five times a second; nothing goes back. Every element is made once and then only refilled, so
// nothing flickers. All that comes in between two frames of the screen is one drawing.

const LOSS_HEIGHT = 230;
const SCORE_HEIGHT = 84;
const TITLE_HEIGHT = 20; // above a score's panel
const X_HEIGHT = 34; // the steps, and the word below them
const USUAL_WIDTH = 640;
const NARROW = 420; // below, the names of baselines stand above the curves, else beside their lines
const MOST_MARGIN = 150; // for these names
const LINE_HEIGHT = 14;
const DASH = [6, 4];
const END_PX = 4; // px from the end of a scrolled table that still count as its end

// --- pure functions ---------------------------------------------------------------------------

/** Series of {steps, values} from their bytes: a count, the steps (uint32), the values (float32). */
export function series(view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  const result = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const count = new Uint32Array(bytes, at, 1)[0];
    result.push({
      steps: new Uint32Array(bytes, at + 4, count),
      values: new Float32Array(bytes, at + 4 + 4 * count, count),
    });
    at += 4 + 8 * count;
  }
  return result;
}

/** Lowest and highest finite number of several lists; null without one. */
export function extent(...lists) {
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) {
    for (const value of list) {
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return low <= high ? [low, high] : null;
}

/** The largest of 1, 2 and 5 times a power of ten that is not above a positive number. */
export function roundDown(number) {
  const power = 10 ** Math.floor(Math.log10(number) + 1e-9);
  const digit = number / power + 1e-9;
  return (digit >= 5 ? 5 : digit >= 2 ? 2 : 1) * power;
}

/** The smallest of 1, 2 and 5 times a power of ten that is not below a positive number. */
export function roundUp(number) {
  const down = roundDown(number);
  if (down >= number * (1 - 1e-9)) return down;
  return roundDown(down * 2.6);
}

function written(number, step) {
  const size = Math.max(Math.abs(number), step);
  if (number !== 0 && (size >= 1e7 || size < 1e-4)) return `${Number(number.toPrecision(3))}`;
  if (step < 1e-4) return "0";
  const digits = Math.min(20, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return number.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/**
 * Multiples of a round step in [low, high], about `count` of them, as {value, text}; they are
 * `least` apart at least, a power of ten.
 */
export function ticks(low, high, count, least = 0) {
  const step = Math.max(least, roundUp((high - low) / Math.max(1, count)));
  const result = [];
  for (let k = Math.ceil(low / step - 1e-6); k <= high / step + 1e-6; k++) {
    const value = k === 0 ? 0 : k * step;
    result.push({ value, text: written(value, step) });
  }
  return result;
}

/**
 * An axis around numbers from `low` to `high`, ending on round numbers: it changes in few steps
 * while a run brings lower and higher ones.
 */
export function axis(low, high, log) {
  if (log) {
    const bottom = roundDown(low);
    const top = Math.max(roundUp(high), bottom * 2);
    const tens = Math.log10(top / bottom);
    const result = [];
    for (let power = Math.floor(Math.log10(bottom) + 1e-9); 10 ** power <= top * 1.001; power++) {
      for (const digit of tens > 2.5 ? [1] : [1, 2, 5]) {
        const value = digit * 10 ** power;
        if (value < bottom * 0.999 || value > top * 1.001) continue;
        result.push({ value, text: written(value, Math.min(1, 10 ** power)) });
      }
    }
    return { low: bottom, high: top, ticks: result, log };
  }
  // Zero in sight says how much is left, and keeps the axis still while the numbers fall.
  [low, high] = [Math.min(low, 0), Math.max(high, 0)];
  if (low === high) high = 1;
  const step = roundUp((high - low) / 5);
  const [bottom, top] = [Math.floor(low / step + 1e-6), Math.ceil(high / step - 1e-6)];
  return { low: bottom * step, high: top * step, ticks: ticks(bottom * step, top * step, 5), log };
}

/** The share of the axis (0 at its low end) at which a number lies. */
export function share(axis, value) {
  if (axis.log) return Math.log(value / axis.low) / Math.log(axis.high / axis.low);
  return (value - axis.low) / (axis.high - axis.low);
}

/** Where the axis of steps ends: at the planned end, else a round number beyond the latest step. */
export function lastStep(first, latest, planned) {
  if (planned && planned >= latest && planned > first) return planned;
  const length = Math.max(10, latest - first);
  const power = 10 ** Math.floor(Math.log10(length) + 1e-9);
  const digit = [1, 1.5, 2, 3, 5, 7.5, 10].find((digit) => digit * power >= length * (1 - 1e-9));
  return first + digit * power;
}

/** Middles for labels of these heights, near the wanted ones, apart, and inside [low, high]. */
export function spread(wanted, heights, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b] || a - b);
  const middles = [...wanted];
  let floor = low;
  for (const i of order) {
    middles[i] = Math.max(wanted[i], floor + heights[i] / 2);
    floor = middles[i] + heights[i] / 2;
  }
  let ceiling = high;
  for (const i of order.reverse()) {
    middles[i] = Math.min(middles[i], ceiling - heights[i] / 2);
    ceiling = middles[i] - heights[i] / 2;
  }
  return middles;
}

/** A text in at most two lines no wider than `room`, by words where that can be. */
export function wrapped(text, room, measure) {
  const fits = (line) => measure(line) <= room;
  const cut = (line) => {
    if (fits(line)) return line;
    let kept = [...line];
    while (kept.length && !fits(`${kept.join("")}…`)) kept.pop();
    return `${kept.join("")}…`;
  };
  const words = text.split(/\s+/u).filter(Boolean);
  let first = words.shift() ?? "";
  while (words.length && fits(`${first} ${words[0]}`)) first += ` ${words.shift()}`;
  const rest = words.join(" ");
  return rest ? [cut(first), cut(rest)] : [cut(first)];
}

/** Three digits, and no power of ten where it can be helped. */
export function short(number) {
  if (!Number.isFinite(number)) return "no number";
  const rounded = Number(number.toPrecision(3));
  return Math.abs(rounded) >= 1e9 || (rounded !== 0 && Math.abs(rounded) < 1e-5)
    ? rounded.toExponential()
    : rounded.toLocaleString("en", { maximumSignificantDigits: 3 });
}

/** The place in a rising list that is nearest to a number; -1 in an empty one. */
export function nearest(list, number) {
  let [low, high] = [0, list.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < number) low = middle + 1;
    else high = middle;
  }
  return low > 0 && number - list[low - 1] <= list[low] - number ? low - 1 : high;
}

// --- the view ---------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const SYSTEM = ["(forced-colors: active)", "(prefers-color-scheme: dark)"].map(
  (query) => globalThis.matchMedia?.(query),
);

// JupyterLab takes arrow keys for itself unless the focused element says so.
const FOCUSABLE = { tabindex: 0, "data-lm-suppress-shortcuts": "true" };

class View {
  constructor(model, el) {
    this.model = model;
    this.cursor = null; // the step under the pointer, or chosen with the arrow keys
    this.shownSamples = null;
    this.follow = true;
    this.title = element("p", { class: "lm-title", dir: "auto" });
    this.fill = element("span", { class: "lm-fill" });
    this.bar = element("div", { class: "lm-bar", role: "progressbar", "aria-valuemin": 0 }, this.fill);
    this.bar.setAttribute("aria-valuemax", 100);
    this.status = element("p", { class: "lm-status" });
    this.numbers = element("p", { class: "lm-numbers" });
    this.label = element("span", { class: "lm-label", dir: "auto" });
    this.meanName = element("span", {});
    this.canvas = element("canvas", { role: "slider", ...FOCUSABLE });
    this.pen = this.canvas.getContext("2d");
    this.sheet = element("div", { class: "lm-sheet" }, this.canvas);
    this.reading = element("p", { class: "lm-reading" });
    this.table = element("table", {});
    this.list = element("p", { class: "lm-legend lm-baselines" });
    this.note = element("p", { class: "lm-note" });
    this.samples = element(
      "div",
      { class: "lm-samples", role: "region", "aria-label": "Samples", ...FOCUSABLE },
      this.table,
    );
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
    this.root = element(
      "div",
      { class: "llmlab-training-board", role: "group" },
      element("style", {}, STYLE),
      this.title,
      this.bar,
      this.status,
      this.numbers,
      this.note,
      element(
        "p",
        { class: "lm-legend" },
        this.label,
        element("span", { class: "lm-key" }, element("i", { class: "lm-pale" }), "each step"),
        element("span", { class: "lm-key" }, element("i", { class: "lm-bold" }), this.meanName),
      ),
      this.list,
      this.sheet,
      this.reading,
      this.samples,
      this.live,
    );
    el.append(this.root);
    this.listen();
    this.read();
    this.draw(); // at once: a view made anew must not show an empty frame
  }

  listen() {
    const { canvas, model } = this;
    this.onChange = () => {
      this.stale = true;
      this.later();
    };
    for (const name of ["run", "curves", "samples"]) model.on(`change:${name}`, this.onChange);
    this.onLook = () => this.later();
    this.sizes = new ResizeObserver(this.onLook);
    this.sizes.observe(this.sheet);
    this.themes = new MutationObserver(this.onLook);
    const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light"];
    this.themes.observe(document.body, { attributeFilter });
    for (const query of SYSTEM) query?.addEventListener("change", this.onLook);
    this.samples.addEventListener("scroll", () => {
      const { scrollLeft, clientWidth, scrollWidth } = this.samples;
      this.follow = scrollLeft + clientWidth >= scrollWidth - END_PX;
    });
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.moveTo(null));
    canvas.addEventListener("blur", () => this.moveTo(null));
    canvas.addEventListener("keydown", (event) => this.walk(event));
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  read() {
    this.stale = false;
    this.run = this.model.get("run");
    const [losses, means, ...scores] = series(this.model.get("curves"));
    Object.assign(this, { losses, means, scores });
  }

  draw() {
    if (this.stale) this.read();
    this.write();
    this.writeSamples();
    // The newest moment is in sight unless the person looks at older ones.
    if (this.follow) this.samples.scrollLeft = this.samples.scrollWidth;
    this.paint();
    // For those who watch from outside.
    const { state, status } = this.run;
    const latest = this.losses.steps.at(-1) ?? 0;
    this.root.dataset.state = state;
    this.root.dataset.latest = latest;
    const detail = { state, status, latest };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  write() {
    const { run } = this;
    setText(this.title, run.title);
    setText(this.status, run.status);
    this.writeNumbers();
    setText(this.note, run.note);
    this.note.hidden = run.note === "";
    setText(this.label, run.log ? `${run.label}, log scale` : run.label);
    setText(this.meanName, run.mean);
    const names = run.baselines.map(([name, value]) => `${name}: ${short(value)}`);
    if (names.join("\n") !== this.shownBaselines) {
      this.shownBaselines = names.join("\n");
      this.list.replaceChildren(
        ...names.map((name) =>
          element("span", { class: "lm-key" }, element("i", { class: "lm-dashed" }), name),
        ),
      );
    }
    this.root.setAttribute("aria-label", `Training: ${run.title}`);
    this.root.classList.toggle("lm-stopped", run.state === "stopped");
    const percent = Math.floor(100 * (run.progress ?? 0));
    this.bar.hidden = run.progress === null;
    this.bar.setAttribute("aria-label", `Progress of ${run.title}`);
    this.bar.setAttribute("aria-valuenow", percent);
    this.bar.setAttribute("aria-valuetext", `${percent} percent, ${run.status}`);
    this.fill.style.transform = `scaleX(${run.progress ?? 0})`;
    // A screen reader hears of quarters and of the end, not five times a second.
    const milestone = `${run.state} ${Math.floor(percent / 25)}`;
    if (this.milestone !== undefined && this.milestone !== milestone) {
      setText(this.live, `${run.title}: ${run.status}. ${this.numbers.textContent}`);
    }
    this.milestone = milestone;
  }

  /** Every number keeps its place, so lines do not break differently from one moment to the next. */
  writeNumbers() {
    const { numbers } = this.run;
    while (this.numbers.childElementCount > numbers.length) this.numbers.lastChild.remove();
    numbers.forEach(([name, value], i) => {
      const pair = this.numbers.children[i] ?? element("span", {}, "", element("b"), " ");
      if (!pair.parentNode) this.numbers.append(pair);
      pair.firstChild.data = `${name} `;
      setText(pair.children[0], value);
    });
  }

  writeSamples() {
    const bytes = this.model.get("samples");
    if (bytes === this.shownSamples) return;
    this.shownSamples = bytes;
    const moments = JSON.parse(new TextDecoder().decode(bytes));
    this.samples.hidden = moments.length === 0;
    const sentences = [...new Set(moments.flatMap(([, texts]) => Object.keys(texts)))];
    this.table.replaceChildren(
      element(
        "tr",
        {},
        element("th", { scope: "col" }, "sentence"),
        ...moments.map(([step]) =>
          element("th", { scope: "col" }, `step ${step.toLocaleString("en")}`),
        ),
      ),
      ...sentences.map((sentence) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", dir: "auto" }, sentence),
          ...moments.map(([, texts]) =>
            element("td", { dir: "auto" }, Object.hasOwn(texts, sentence) ? texts[sentence] : ""),
          ),
        ),
      ),
    );
  }

  // --- the curves -----------------------------------------------------------------------------

  resize(width, height) {
    const scale = globalThis.devicePixelRatio || 1;
    const { canvas, pen } = this;
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    // Setting a size, even the same one, empties a canvas.
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
  }

  /** Fonts and colours are the page's; they change with its theme. */
  look() {
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(`--lm-${name}`).trim();
    const names = ["ink", "muted", "line", "shade", "curve", "pale", "error"];
    this.colours = Object.fromEntries(names.map((name) => [name, colour(name)]));
    this.pen.font = `11px ${style.fontFamily}`;
    this.pen.textBaseline = "middle";
  }

  paint() {
    const { run, losses, means, scores, pen } = this;
    // A view that is not in the page yet has no width; it is drawn again once it has one.
    const width = Math.max(120, this.sheet.clientWidth || USUAL_WIDTH);
    const height = 8 + LOSS_HEIGHT + scores.length * (TITLE_HEIGHT + SCORE_HEIGHT) + X_HEIGHT;
    this.resize(width, height);
    this.look();
    const baselines = run.baselines.map(([name, value]) => ({ name, value }));
    const found = extent(losses.values, means.values, baselines.map(({ value }) => value));
    const panels = [
      { axis: axis(...(found ?? [0, 1]), run.log && found !== null), top: 8, height: LOSS_HEIGHT },
    ];
    scores.forEach((points, i) => {
      const last = panels.at(-1);
      const [low, high] = extent(points.values) ?? [0, 1];
      panels.push({
        axis: axis(low, high, false),
        top: last.top + last.height + TITLE_HEIGHT,
        height: SCORE_HEIGHT,
        points,
        name: run.scores[i],
      });
    });
    for (const panel of panels.slice(1)) {
      panel.axis.ticks = panel.axis.ticks.filter((_, i) => i % 2 === 0);
    }
    const measure = (text) => pen.measureText(text).width;
    const texts = panels.flatMap((panel) => panel.axis.ticks.map(({ text }) => measure(text)));
    const narrow = width < NARROW;
    this.list.hidden = !narrow || !baselines.length;
    for (const baseline of baselines) {
      const text = `${baseline.name}: ${short(baseline.value)}`;
      baseline.lines = narrow ? [] : wrapped(text, MOST_MARGIN, measure);
    }
    const names = baselines.flatMap(({ lines }) => lines.map(measure));
    const latest = Math.max(run.first, ...[losses, ...scores].map((s) => s.steps.at(-1) ?? 0));
    this.frameBox = {
      left: Math.ceil(Math.max(24, ...texts)) + 8,
      right: width - (names.length ? Math.ceil(Math.max(...names)) + 10 : 12),
      first: run.first,
      last: lastStep(run.first, latest, run.steps),
    };
    for (const panel of panels) this.paintAxis(panel);
    this.paintSteps(panels.at(-1));
    this.paintBaselines(panels[0], baselines);
    this.clipped(panels[0], () => {
      this.paintLine(panels[0], losses, this.colours.pale, 1);
      this.paintLine(panels[0], means, this.colours.curve, 2.2);
    });
    this.paintGaps(panels[0]);
    for (const panel of panels.slice(1)) this.paintScore(panel);
    this.paintCursor(panels);
  }

  x(step) {
    const { left, right, first, last } = this.frameBox;
    return left + ((step - first) / (last - first)) * (right - left);
  }

  y(panel, value) {
    return panel.top + panel.height * (1 - share(panel.axis, value));
  }

  paintAxis(panel) {
    const { pen, colours } = this;
    const { left, right } = this.frameBox;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    for (const { value, text } of panel.axis.ticks) {
      const y = Math.round(this.y(panel, value)) + 0.5;
      pen.strokeStyle = colours.shade;
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(right, y);
      pen.stroke();
      pen.fillStyle = colours.muted;
      pen.fillText(text, left - 6, y);
    }
    pen.strokeStyle = colours.line;
    pen.strokeRect(left + 0.5, panel.top + 0.5, right - left - 1, panel.height);
  }

  paintSteps(panel) {
    const { pen, colours } = this;
    const { left, right, first, last } = this.frameBox;
    const bottom = panel.top + panel.height;
    pen.fillStyle = colours.muted;
    pen.strokeStyle = colours.line;
    const wide = pen.measureText(last.toLocaleString("en")).width + 28;
    for (const { value, text } of ticks(first, last, (right - left) / wide, 1)) {
      const x = Math.round(this.x(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(x, bottom);
      pen.lineTo(x, bottom + 4);
      pen.stroke();
      pen.textAlign = "center";
      pen.fillText(text, x, bottom + 12);
    }
    pen.textAlign = "center";
    pen.fillText("step", (left + right) / 2, bottom + 27);
  }

  /** Dashed lines, named in the margin, where no data is. */
  paintBaselines(panel, baselines) {
    const { pen, colours } = this;
    const { left, right } = this.frameBox;
    const heights = baselines.map(({ lines }) => lines.length * LINE_HEIGHT);
    const wanted = baselines.map(({ value }) => this.y(panel, value));
    const middles = spread(wanted, heights, 0, panel.top + panel.height + 6);
    baselines.forEach(({ lines }, i) => {
      pen.strokeStyle = colours.muted;
      pen.lineWidth = 1.2;
      pen.setLineDash(DASH);
      pen.beginPath();
      pen.moveTo(left, wanted[i]);
      pen.lineTo(right, wanted[i]);
      pen.stroke();
      pen.setLineDash([]);
      pen.fillStyle = colours.ink;
      pen.textAlign = "left";
      lines.forEach((line, row) => {
        const y = middles[i] + (row - (lines.length - 1) / 2) * LINE_HEIGHT;
        pen.fillText(line, right + 7, y);
      });
    });
  }

  clipped(panel, paint) {
    const { pen } = this;
    const { left, right } = this.frameBox;
    pen.save();
    pen.beginPath();
    pen.rect(left, panel.top - 2, right - left, panel.height + 4);
    pen.clip();
    paint();
    pen.restore();
  }

  paintLine(panel, { steps, values }, colour, width) {
    const { pen } = this;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.lineJoin = "round";
    pen.beginPath();
    let drawing = false;
    for (let i = 0; i < steps.length; i++) {
      const seen = Number.isFinite(values[i]) && (!panel.axis.log || values[i] > 0);
      if (!seen) {
        drawing = false;
        continue;
      }
      const [x, y] = [this.x(steps[i]), this.y(panel, values[i])];
      if (drawing) pen.lineTo(x, y);
      else pen.moveTo(x, y);
      // One point alone has no length; a dot shows it.
      if (!drawing && !Number.isFinite(values[i + 1])) pen.lineTo(x + 1.5, y);
      drawing = true;
    }
    pen.stroke();
  }

  /** A cross at the bottom wherever the loss was no number. */
  paintGaps(panel) {
    const { pen, colours, losses } = this;
    pen.strokeStyle = colours.error;
    pen.lineWidth = 1.5;
    pen.beginPath();
    losses.values.forEach((value, i) => {
      if (Number.isFinite(value)) return;
      const [x, y] = [this.x(losses.steps[i]), panel.top + panel.height - 6];
      pen.moveTo(x - 3, y - 3);
      pen.lineTo(x + 3, y + 3);
      pen.moveTo(x - 3, y + 3);
      pen.lineTo(x + 3, y - 3);
    });
    pen.stroke();
  }

  paintScore(panel) {
    const { pen, colours } = this;
    const { points, name } = panel;
    const { left, right } = this.frameBox;
    this.paintLine(panel, points, colours.curve, 1.5);
    pen.fillStyle = colours.curve;
    points.values.forEach((value, i) => {
      if (!Number.isFinite(value)) return;
      pen.beginPath();
      pen.arc(this.x(points.steps[i]), this.y(panel, value), 3, 0, 2 * Math.PI);
      pen.fill();
    });
    pen.fillStyle = colours.ink;
    pen.textAlign = "left";
    const value = `: ${short(points.values.at(-1))}`;
    const measure = (text) => pen.measureText(text).width;
    const [first] = wrapped(name.replaceAll(/\s+/gu, "\u00a0"), right - left - measure(value), measure);
    pen.fillText(first + value, left, panel.top - 9);
  }

  // --- reading single values --------------------------------------------------------------------

  point(x) {
    const { left, right, first, last } = this.frameBox;
    this.moveTo(first + ((x - left) / (right - left)) * (last - first));
  }

  /** To the point of the smooth curve that is nearest to a step; null: to none. */
  moveTo(step) {
    const at = step === null ? -1 : nearest(this.means.steps, step);
    const cursor = at < 0 ? null : this.means.steps[at];
    if (cursor === this.cursor) return;
    this.cursor = cursor;
    this.later();
  }

  walk(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { steps } = this.means;
    const at = this.cursor === null ? steps.length : nearest(steps, this.cursor);
    const moves = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1 };
    Object.assign(moves, { PageUp: at + 20, PageDown: at - 20, Home: 0, End: steps.length - 1 });
    if (event.key === "Escape") this.moveTo(null);
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    if (steps.length) this.moveTo(steps[Math.max(0, Math.min(steps.length - 1, moves[event.key]))]);
  }

  paintCursor(panels) {
    const { pen, colours, canvas, means, run } = this;
    const at = this.cursor === null ? -1 : nearest(means.steps, this.cursor);
    const step = at < 0 ? (means.steps.at(-1) ?? 0) : means.steps[at];
    const value = at < 0 ? means.values.at(-1) : means.values[at];
    const words =
      value === undefined
        ? "no step yet"
        : `step ${step.toLocaleString("en")}: mean loss ${short(value)}`;
    canvas.setAttribute("aria-label", `${run.label} by step; arrow keys read the curve`);
    canvas.setAttribute("aria-valuemin", run.first);
    canvas.setAttribute("aria-valuemax", Math.max(step, this.frameBox.last));
    canvas.setAttribute("aria-valuenow", step);
    canvas.setAttribute("aria-valuetext", words);
    setText(this.reading, at < 0 ? "" : words);
    if (at < 0) return;
    const x = Math.round(this.x(step)) + 0.5;
    pen.strokeStyle = colours.muted;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const { top, height } of panels) {
      pen.moveTo(x, top);
      pen.lineTo(x, top + height);
    }
    pen.stroke();
    if (!Number.isFinite(value)) return;
    pen.fillStyle = colours.ink;
    pen.beginPath();
    pen.arc(x, this.y(panels[0], value), 4, 0, 2 * Math.PI);
    pen.fill();
  }

  close() {
    cancelAnimationFrame(this.frame);
    for (const name of ["run", "curves", "samples"]) this.model.off(`change:${name}`, this.onChange);
    this.sizes.disconnect();
    this.themes.disconnect();
    for (const query of SYSTEM) query?.removeEventListener("change", this.onLook);
    this.root.remove(); // its listeners go with it
  }
}

const STYLE = `
.llmlab-training-board {
  --lm-ink: var(--jp-ui-font-color1, #212121);
  --lm-muted: var(--jp-ui-font-color2, #616161);
  --lm-paper: var(--jp-layout-color0, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-shade: var(--jp-layout-color2, #eeeeee);
  --lm-curve: var(--jp-brand-color1, #1976d2);
  --lm-pale: color-mix(in srgb, var(--lm-curve) 48%, var(--lm-paper));
  --lm-error: var(--jp-error-color1, #d32f2f);
  box-sizing: border-box; max-width: 60em; padding: 4px;
  color: var(--lm-ink); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
  font-variant-numeric: tabular-nums;
}
@media (prefers-color-scheme: dark) {
  .llmlab-training-board {
    --lm-ink: var(--jp-ui-font-color1, #eeeeee);
    --lm-muted: var(--jp-ui-font-color2, #bdbdbd);
    --lm-paper: var(--jp-layout-color0, #1e1e1e);
    --lm-line: var(--jp-border-color1, #616161);
    --lm-shade: var(--jp-layout-color2, #333333);
    --lm-curve: var(--jp-brand-color1, #64b5f6);
    --lm-error: var(--jp-error-color1, #ef9a9a);
  }
}
.llmlab-training-board [hidden] { display: none !important; }
.llmlab-training-board p { margin: 0; overflow-wrap: anywhere; }
.llmlab-training-board .lm-title { margin-bottom: 4px; font-weight: 600; font-size: 14px; }
.llmlab-training-board .lm-bar { height: 8px; margin: 4px 0; background: var(--lm-shade); overflow: hidden; }
.llmlab-training-board .lm-fill {
  display: block; height: 100%; background: var(--lm-curve); transform-origin: left;
}
.llmlab-training-board :is(.lm-status, .lm-numbers, .lm-reading) { min-height: 1.4em; }
.llmlab-training-board .lm-numbers { display: flex; flex-wrap: wrap; gap: 0 10px; color: var(--lm-muted); }
.llmlab-training-board .lm-numbers b { display: inline-block; min-width: 3.4em; font-weight: 400; color: var(--lm-ink); }
.llmlab-training-board.lm-stopped .lm-status { color: var(--lm-error); }
.llmlab-training-board .lm-note { color: var(--lm-error); }
.llmlab-training-board .lm-legend {
  display: flex; flex-wrap: wrap; gap: 0 18px; margin: 8px 0 2px; font-size: 12px;
}
.llmlab-training-board .lm-label { font-weight: 600; }
.llmlab-training-board .lm-key { display: inline-flex; align-items: center; gap: 6px; }
.llmlab-training-board .lm-key i { display: inline-block; width: 20px; }
.llmlab-training-board .lm-pale { border-top: 1px solid var(--lm-pale); }
.llmlab-training-board .lm-bold { border-top: 3px solid var(--lm-curve); }
.llmlab-training-board .lm-dashed { border-top: 2px dashed var(--lm-muted); }
.llmlab-training-board .lm-sheet { overflow: hidden; }
.llmlab-training-board canvas { display: block; }
.llmlab-training-board :is(canvas, .lm-samples):focus-visible {
  outline: 2px solid var(--lm-curve); outline-offset: -2px;
}
.llmlab-training-board .lm-samples { overflow-x: auto; margin-top: 4px; }
.llmlab-training-board table { border-collapse: separate; border-spacing: 0; font-size: 12px; }
.llmlab-training-board :is(th, td) {
  min-width: 7em; max-width: 18em; padding: 3px 8px; vertical-align: top; text-align: start;
  border-bottom: 1px solid var(--lm-line); overflow-wrap: anywhere; white-space: normal;
}
.llmlab-training-board th { font-weight: 600; }
.llmlab-training-board th:first-child {
  position: sticky; left: 0; background: var(--lm-paper); border-right: 1px solid var(--lm-line);
}
.llmlab-training-board .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
}
@media (forced-colors: active) {
  .llmlab-training-board {
    --lm-ink: CanvasText; --lm-muted: CanvasText; --lm-line: CanvasText; --lm-shade: GrayText;
    --lm-curve: Highlight; --lm-pale: GrayText; --lm-error: CanvasText; --lm-paper: Canvas;
  }
  .llmlab-training-board .lm-bar { box-sizing: border-box; border: 1px solid ButtonText; }
  .llmlab-training-board .lm-fill { forced-color-adjust: none; background: Highlight; }
}
`;

export default () => ({
  // Views share nothing but the model: each draws what the kernel sent last.
  initialize: () => () => {},
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.close();
  },
});
