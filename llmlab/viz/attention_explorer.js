// The browser's half of llmlab.viz.AttentionExplorer.
//
// The kernel sends a text's attention weights, a byte each and the largest of every row; colours, means, differences, lines and
// pictures are made here, so choosing another head needs no kernel. One Session per model holds
// what all its views share and speaks with the kernel; a View is one drawing of that session.
//
// A map has a row for every query, the token that looks, and a column for every key, the token
// that is looked at. Head -1 is the mean over a layer's heads, layer -1 the mean over all of them.

const PAUSE_MS = 150; // after the last keystroke; a reading of a large model takes longer than that
const ROW_PAUSE_MS = 60; // a pointer that only passes over a row does not ask for its exact numbers
const VIEW_PAUSE_MS = 200; // Python hears of a choice once the person stops choosing
const SLOW_MS = 300; // answers quicker than this are not worth a word
const DEAD_MS = 15_000;
const DEAD = "still no answer: the kernel is busy or stopped; if it stopped, run the cell again";
const SPOKEN_MS = 600; // a screen reader is told of the newest cell at most this often
const ROUNDING = 1e-6; // differences of this size are the model's rounding
const SHOWN_CHARACTERS = 60; // of one token
const KEPT_LAYERS = 12; // of a text too long to be sent whole
const KEPT_ROWS = 2000;
const LOOKED_LINES = 160; // of one token: more would be one patch of colour

// --- text -------------------------------------------------------------------------------------------

const MARKS = {
  " ": ["␣", "space"],
  "\n": ["⏎", "newline"],
  "\t": ["⇥", "tab"],
  "\r": ["\\r", "carriage return"],
};
// Whatever has no picture of its own or, like a bidirectional override, garbles its neighbours.
const UNSEEN = /[\p{C}\p{Z}]/u;

/** A token as pieces to draw: `text`, and `mark` true where the text stands for something unseen. */
export function pieces(token, longest = SHOWN_CHARACTERS) {
  if (token === "") return [{ text: "(empty)", mark: true, words: "empty token" }];
  const result = [];
  let count = 0;
  for (const character of token) {
    if (count++ === longest) {
      result.push({ text: "…", mark: true, words: "and so on" });
      break;
    }
    const last = result.at(-1);
    const code = character.codePointAt(0).toString(16);
    const escape = code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
    if (character in MARKS) {
      const [text, words] = MARKS[character];
      result.push({ text, mark: true, words });
    } else if (UNSEEN.test(character)) {
      result.push({ text: escape, mark: true, words: `character ${code.toUpperCase()}` });
    } else if (last && !last.mark) {
      last.text += character;
      last.words = last.text;
    } else {
      result.push({ text: character, mark: false, words: character });
    }
  }
  return result;
}

export function readable(token, longest = SHOWN_CHARACTERS) {
  return pieces(token, longest).map((piece) => piece.text).join("");
}

/** What a screen reader says of a token: "space Paris". */
export function spoken(token) {
  return pieces(token).map((piece) => piece.words).join(" ");
}

/** Half a surrogate pair cannot travel as utf-8; it becomes the replacement character. */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** Text for an SVG file: nothing in it can end a string or open a tag, and XML allows all of it. */
export function escaped(text) {
  const codes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return wellFormed(text)
    .replace(/[^\t\n\r\u0020-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (character) => codes[character]);
}

export function percent(probability) {
  const value = 100 * probability;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.05) return "<0.1 %";
  if (value >= 99.95) return ">99.9 %";
  return `${value.toFixed(1)} %`;
}

/** A weight or a difference of weights: two decimals of a byte, three digits of an exact number. */
export function written(value, { exact = true, signed = false } = {}) {
  const size = Math.abs(value);
  let text = size.toFixed(2);
  if (exact && size === 0) text = "0";
  else if (exact) text = size < 0.001 ? size.toExponential(2) : size.toPrecision(3);
  if (!signed) return text;
  return Number(text) === 0 ? text : `${value < 0 ? "−" : "+"}${text}`;
}

export function headName(layer, head, part) {
  if (layer < 0) return `Mean of all ${part.layers * part.heads} heads`;
  if (head < 0) return `Layer ${layer}, mean of ${part.heads} heads`;
  return `Layer ${layer}, head ${head}`;
}

/** Names the part after a head's name where there are several. */
function partName(parts, part) {
  return parts.length > 1 ? ` (${readable(part.name).replaceAll("␣", " ")})` : "";
}

/** A statistic's unit, and what it tells of a head. */
const STATISTICS = {
  entropy: [" bits", "how spread out the weights are: 0 bits is one token only"],
  "previous token": ["", "mean weight on the token before"],
  "first token": ["", "mean weight on the first token"],
  induction: ["", "how much it looks at what followed the last time"],
};

function unitOf(statistic) {
  return STATISTICS[statistic]?.[0] ?? "";
}

/** Where two lists of tokens differ, as far as both go. */
export function differingPositions(a, b) {
  const result = [];
  for (let t = 0; t < Math.min(a.length, b.length); t++) if (a[t] !== b[t]) result.push(t);
  return result;
}

// --- colours ----------------------------------------------------------------------------------------

// Corners of the ramps: lightness, chroma and hue in OKLCh. Lightness goes one way all the way, so
// order is seen with every kind of colour vision; each ramp starts near the colour of the page.
const RAMPS = {
  light: {
    weight: [[0.978, 0.008, 230], [0.84, 0.085, 220], [0.65, 0.125, 238], [0.46, 0.135, 262], [0.26, 0.115, 286]],
    below: [[0.978, 0, 255], [0.76, 0.105, 248], [0.55, 0.15, 256], [0.36, 0.14, 264]],
    above: [[0.978, 0, 60], [0.76, 0.125, 58], [0.55, 0.15, 45], [0.36, 0.115, 40]],
    tint: [[0.975, 0.01, 85], [0.9, 0.085, 82], [0.8, 0.14, 72]],
    ink: [0.27, 0.09, 275],
  },
  dark: {
    weight: [[0.25, 0.025, 275], [0.4, 0.12, 282], [0.58, 0.125, 240], [0.78, 0.115, 195], [0.96, 0.09, 110]],
    below: [[0.25, 0, 255], [0.45, 0.1, 256], [0.65, 0.13, 248], [0.85, 0.085, 230]],
    above: [[0.25, 0, 60], [0.45, 0.1, 45], [0.65, 0.14, 52], [0.85, 0.11, 75]],
    tint: [[0.27, 0.012, 75], [0.38, 0.06, 62], [0.5, 0.105, 55]],
    ink: [0.96, 0.03, 100],
  },
};

function fromOklch([lightness, chroma, hue]) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((x) => {
    const light = Math.min(1, Math.max(0, x));
    return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
  });
}

/** Red, green and blue as one pixel of ImageData, which every machine in use holds low byte first. */
function pixel([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

export function rgb(colour) {
  return [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
}

function css(colour, alpha = 1) {
  const [red, green, blue] = rgb(colour);
  return alpha === 1 ? `rgb(${red},${green},${blue})` : `rgba(${red},${green},${blue},${alpha})`;
}

function ramp(corners) {
  const last = corners.length - 1;
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * last;
    const k = Math.min(last - 1, Math.floor(at));
    const mixed = corners[k].map((from, c) => from + (at - k) * (corners[k + 1][c] - from));
    return pixel(fromOklch(mixed));
  });
}

/**
 * Tables of pixels for one theme: `weight` and `tint` have 256 entries, `difference` 511, with
 * nothing changed in the middle; `ink` is one pixel.
 */
export function colourTables(dark) {
  const corners = RAMPS[dark ? "dark" : "light"];
  const tables = { weight: ramp(corners.weight), tint: ramp(corners.tint) };
  tables.ink = pixel(fromOklch(corners.ink));
  tables.difference = new Uint32Array(511);
  tables.difference.set(ramp(corners.below).reverse(), 0);
  tables.difference.set(ramp(corners.above), 255);
  return tables;
}

// --- what the kernel sent ----------------------------------------------------------------------------

/** Bytes arrive as a view that may start anywhere in its buffer. */
export function bytesOf(view) {
  if (!view) return new Uint8Array(0);
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Floats need a place that is a multiple of four, so they are copied. */
export function floatsAt(bytes, at, count) {
  const start = bytes.byteOffset + at;
  return new Float32Array(bytes.buffer.slice(start, start + 4 * count));
}

/** Weights, row after row, of a byte each: 255 is the largest of its row, which is in `peaks`. */
export function unpacked(bytes, peaks) {
  const result = new Float32Array(bytes.length);
  const columns = bytes.length / peaks.length;
  for (let q = 0, at = 0; q < peaks.length; q++) {
    const step = peaks[q] / 255;
    for (const end = at + columns; at < end; at++) result[at] = bytes[at] * step;
  }
  return result;
}

/** The thumbnail row that token `t` of `count` lies in; row r starts at token floor(r count / rows). */
export function pooledRow(t, count, rows) {
  return Math.ceil(((t + 1) * rows) / count) - 1;
}

/** One kind of attention: all its maps, or small pictures of them and the layers that have come. */
export class Part {
  constructor(header, bytes) {
    Object.assign(this, header); // name, queries, keys, layers, heads, causal, whole, thumb, statistics
    this.bytes = bytes;
    this.rows = header.queries.length;
    this.columns = header.keys.length;
    this.size = this.rows * this.columns;
    this.fetched = new Map(); // layer -> bytes of its heads and of their mean, then their peaks
    this.means = new Map(); // layer -> its small picture
  }

  get count() {
    return this.layers * this.heads;
  }

  piece(at, size, from = this.bytes) {
    return from.subarray(at, at + size);
  }

  /** Whether a layer's maps are here; layer -1 stands for the mean over all. */
  has(layer) {
    return layer < 0 || this.whole || this.fetched.has(layer);
  }

  /** A map's weights, row after row; null while its layer is not here. */
  weights(layer, head) {
    const { size, heads } = this;
    if (!this.has(layer)) return null;
    if (layer < 0) return this.map(this.all_at, this.all_peaks_at);
    if (!this.whole) {
      const map = head < 0 ? heads : head;
      return this.map(0, (heads + 1) * size, map, this.fetched.get(layer));
    }
    if (head < 0) return this.map(this.mean_at, this.mean_peaks_at, layer);
    return this.map(this.at, this.peaks_at, layer * heads + head);
  }

  /** The map that is number `count` of those whose bytes and peaks start at these places. */
  map(at, peaksAt, count = 0, from = this.bytes) {
    const { rows, size } = this;
    const peaks = floatsAt(from, peaksAt + 4 * count * rows, rows);
    return unpacked(this.piece(at + count * size, size, from), peaks);
  }

  keep(layer, bytes) {
    if (bytes.length !== (this.heads + 1) * (this.size + 4 * this.rows)) return;
    this.fetched.delete(layer);
    this.fetched.set(layer, bytes);
    // A map remembers the order of insertion: the first is the oldest.
    if (this.fetched.size > KEPT_LAYERS) this.fetched.delete(this.fetched.keys().next().value);
  }

  /** A map's small picture; a mean's is the mean of the small pictures. */
  miniature(layer, head) {
    const { rows, cols, at } = this.thumb;
    const size = rows * cols;
    if (layer >= 0 && head >= 0) return this.piece(at + (layer * this.heads + head) * size, size);
    if (!this.means.has(layer)) {
      const [first, count] = layer < 0 ? [0, this.count] : [layer * this.heads, this.heads];
      const sum = new Float64Array(size);
      for (let k = 0, from = at + first * size; k < count; k++) {
        for (let i = 0; i < size; i++) sum[i] += this.bytes[from++];
      }
      this.means.set(layer, Uint8Array.from(sum, (total) => Math.round(total / count)));
    }
    return this.means.get(layer);
  }

  /** The map as its thumbnail tells it, until the layer has come. */
  guess(layer, head) {
    const { rows, cols } = this.thumb;
    const small = this.miniature(layer, head);
    const from = Uint8Array.from(this.keys, (_, k) => pooledRow(k, this.columns, cols));
    const result = new Float32Array(this.size);
    for (let q = 0, at = 0; q < this.rows; q++) {
      const row = pooledRow(q, this.rows, rows) * cols;
      for (let k = 0; k < this.columns; k++) result[at++] = small[row + from[k]] / 255;
    }
    return result;
  }

  /** A row's exact numbers where they were sent along, as in a saved page; else null. */
  exactRow(layer, head, query) {
    if (this.exact_at === undefined) return null;
    const maps = [];
    for (let l = 0; l < this.layers; l++) {
      for (let h = 0; h < this.heads; h++) {
        if ((layer < 0 || l === layer) && (head < 0 || h === head)) maps.push(l * this.heads + h);
      }
    }
    const sum = new Float64Array(this.columns);
    for (const map of maps) {
      const at = this.exact_at + 4 * (map * this.size + query * this.columns);
      floatsAt(this.bytes, at, this.columns).forEach((value, k) => (sum[k] += value));
    }
    return Float32Array.from(sum, (total) => total / maps.length);
  }

  /** A statistic of one head, or the mean of those that are averaged; undefined where there is none. */
  statistic(name, layer, head) {
    const values = this.statistics[name];
    if (!values) return undefined;
    if (layer >= 0 && head >= 0) return values[layer * this.heads + head];
    const some = layer < 0 ? values : values.slice(layer * this.heads, (layer + 1) * this.heads);
    return some.reduce((sum, value) => sum + value, 0) / some.length;
  }
}

/** What the kernel said of one text. */
export class Reading {
  constructor(header, bytes) {
    this.n = header.n;
    this.text = header.shown_text ?? header.text;
    this.off = header.shown_off ?? header.off ?? [];
    this.next = header.next;
    this.parts = header.parts.map((part) => new Part(part, bytes));
  }
}

// --- the map that is shown ---------------------------------------------------------------------------

/** One head's map, or the second text's less the first's: weights, or differences of weights. */
export class Shown {
  constructor({ queries, keys, causal, values, coarse = false, signed = false }) {
    Object.assign(this, { queries, keys, causal, values, coarse, signed });
    this.rows = queries.length;
    this.columns = keys.length;
    const longest = labelCharacters(Math.max(this.rows, this.columns));
    this.label = (token) => pieces(token, longest);
  }

  /**
   * The second less the first, over the positions that both have. What is not twice as large as
   * rounding to bytes can make it is no difference: half of it or more could be an error.
   */
  static difference(a, b) {
    const rows = Math.min(a.rows, b.rows);
    const columns = Math.min(a.columns, b.columns);
    const values = new Float32Array(rows * columns);
    for (let q = 0, at = 0; q < rows; q++) {
      const least = 2 * (a.rounding(q) + b.rounding(q));
      for (let k = 0; k < columns; k++, at++) {
        const more = b.values[q * b.columns + k] - a.values[q * a.columns + k];
        values[at] = Math.abs(more) <= least ? 0 : more;
      }
    }
    const both = (ours, theirs, count) =>
      ours.slice(0, count).map((token, t) => (token === theirs[t] ? token : `${token}|${theirs[t]}`));
    return new Shown({
      queries: both(a.queries, b.queries, rows),
      keys: both(a.keys, b.keys, columns),
      causal: a.causal && b.causal,
      values,
      coarse: a.coarse || b.coarse,
      signed: true,
    });
  }

  masked(query, key) {
    return this.causal && key > query;
  }

  /** How many keys a row may look at. */
  reach(query) {
    return this.causal ? Math.min(this.columns, query + 1) : this.columns;
  }

  at(query, key) {
    return this.values[query * this.columns + key];
  }

  /** The largest size in each row. */
  get peaks() {
    if (this.largest) return this.largest;
    this.largest = new Float32Array(this.rows);
    for (let q = 0; q < this.rows; q++) {
      let peak = 0;
      const start = q * this.columns;
      for (let at = start; at < start + this.reach(q); at++) {
        const size = Math.abs(this.values[at]);
        if (size > peak) peak = size;
      }
      this.largest[q] = peak;
    }
    return this.largest;
  }

  /** How far a row's weights may be from the true ones: half a step. */
  rounding(query) {
    return (this.coarse ? 1 : this.peaks[query]) / 510;
  }

  /** By what each row is multiplied before it is coloured: 1, or what lifts its peak to 1. */
  gains(scale) {
    return Float64Array.from(this.peaks, (peak) => (scale === "row" && peak > 0 ? 1 / peak : 1));
  }

  /** Colour every cell into the pixels of an ImageData; masked ones stay empty. */
  paint(pixels, tables, scale) {
    const { values, columns } = this;
    const table = this.signed ? tables.difference : tables.weight;
    const middle = (this.signed ? 255 : 0) + 0.5; // what is cut to a whole number is rounded
    const gains = this.gains(scale);
    for (let q = 0; q < this.rows; q++) {
      const start = q * columns;
      const end = start + this.reach(q);
      const gain = 255 * gains[q];
      for (let at = start; at < end; at++) pixels[at] = table[(values[at] * gain + middle) | 0];
      pixels.fill(0, end, start + columns);
    }
  }

  /**
   * The cells worth a line: at most `most`, the strongest, none that could not be seen. Where more
   * are equally strong than there is room for, some of them, evenly spaced.
   */
  lines(scale, most = 700) {
    const { values, columns } = this;
    const gains = this.gains(scale);
    const counts = new Uint32Array(256);
    const strength = (at, gain) => (Math.abs(values[at]) * gain + 0.5) | 0;
    for (let q = 0; q < this.rows; q++) {
      const end = q * columns + this.reach(q);
      const gain = 255 * gains[q];
      for (let at = q * columns; at < end; at++) counts[strength(at, gain)]++;
    }
    const faintest = this.rows * columns > 64 * 64 ? 13 : 3; // of 255
    let least = 256;
    let room = most;
    while (least > faintest && room >= counts[least - 1]) room -= counts[--least];
    const tied = least > faintest ? least - 1 : -1; // the level that has no room for all
    const result = [];
    let passed = 0;
    for (let q = 0; q < this.rows; q++) {
      const end = q * columns + this.reach(q);
      const gain = 255 * gains[q];
      for (let at = q * columns; at < end; at++) {
        const level = strength(at, gain);
        if (level < least) {
          if (level !== tied) continue;
          const before = Math.floor((passed++ * room) / counts[tied]);
          if (Math.floor((passed * room) / counts[tied]) === before) continue;
        }
        result.push({ query: q, key: at - q * columns, strength: level / 255, below: values[at] < 0 });
      }
    }
    return result;
  }
}

/** At most `most` of these lines, the strongest; of equally strong ones some, evenly spaced. */
export function thinned(lines, most) {
  if (lines.length <= most) return lines;
  const levels = lines.map(({ strength }) => Math.round(255 * strength));
  const least = [...levels].sort((a, b) => b - a)[most];
  const tied = levels.filter((level) => level === least).length;
  const room = most - levels.filter((level) => level > least).length;
  let passed = 0;
  return lines.filter((_, i) => {
    if (levels[i] !== least) return levels[i] > least;
    const before = Math.floor((passed++ * room) / tied);
    return Math.floor((passed * room) / tied) > before;
  });
}

/**
 * By what the opacity of lines is multiplied in a picture of this height. Per row every row has a
 * line of full strength: of a long text they would fill the picture.
 */
export function paleness(lines, scale, height) {
  if (scale !== "row") return 1;
  const ink = lines.reduce((sum, { strength }) => sum + strength, 0);
  return Math.min(1, height / (4 * ink));
}

/** Places of the largest numbers by size, largest first, equal ones by place; zeros are left out. */
export function strongest(numbers, count) {
  const best = [];
  for (let i = 0; i < numbers.length; i++) {
    const size = Math.abs(numbers[i]);
    if (size === 0 || (best.length === count && size <= Math.abs(numbers[best[count - 1]]))) continue;
    let place = Math.min(best.length, count - 1);
    while (place > 0 && Math.abs(numbers[best[place - 1]]) < size) {
      best[place] = best[place - 1];
      place--;
    }
    best[place] = i;
  }
  return best;
}

// --- the talk with the kernel ------------------------------------------------------------------------

function tellKernel(model) {
  try {
    model.save_changes();
  } catch {
    // The kernel is gone; what is here can still be looked at.
  }
}

/**
 * Sends requests, one at a time: two at once could overwrite each other on the way, and a slow model
 * must not work through a queue of old wishes. A wish is a function that says, when its turn has
 * come, what is wanted by then (null for nothing any more).
 */
export class Courier {
  constructor(model, say) {
    this.model = model;
    this.say = say;
    this.wishes = new Map();
    this.inFlight = null;
    // Two pages may talk to one kernel: a random start keeps their request numbers apart.
    this.n = Math.floor(Math.random() * 2 ** 40);
  }

  ask(kind, wish) {
    this.wishes.set(kind, wish);
    if (kind !== "row") this.startTimers(); // exact numbers are a detail, and come in silence
    this.send();
  }

  send() {
    for (const kind of ["read a", "read b", "layer", "row", "html"]) {
      if (this.inFlight !== null) return;
      const request = this.wishes.get(kind)?.() ?? null;
      this.wishes.delete(kind);
      if (request === null) continue;
      this.inFlight = { ...request, n: ++this.n };
      if (kind !== "row") this.startTimers();
      this.model.set("request", { ...this.inFlight });
      tellKernel(this.model);
    }
    if (this.inFlight === null) this.stopTimers(); // nothing was wanted any more
  }

  /** What was asked, if this is the answer to it; else null: somebody else asked, or nobody did. */
  take(n) {
    if (this.inFlight === null || this.inFlight.n !== n) return null;
    const request = this.inFlight;
    this.inFlight = null;
    this.stopTimers();
    this.say("");
    return request;
  }

  startTimers() {
    this.slow ??= setTimeout(() => this.say("computing…"), SLOW_MS);
    this.dead ??= setTimeout(() => this.say(DEAD), DEAD_MS);
  }

  stopTimers() {
    clearTimeout(this.slow);
    clearTimeout(this.dead);
    this.slow = this.dead = undefined;
  }

  close() {
    this.stopTimers();
    this.wishes.clear();
  }
}

/** One of the two texts: what is in its box, and what the kernel said of it. */
export class Side {
  constructor(model, name) {
    this.model = model;
    this.name = name;
    this.reading = null;
    this.adopt();
    this.text = this.answeredText;
    this.off = this.answeredOff;
  }

  /** Take what the kernel holds. */
  adopt() {
    const header = this.model.get(this.name) ?? {};
    this.answeredText = header.text ?? "";
    this.answeredOff = header.off ?? [];
    this.error = header.error ?? "";
    this.n = header.n ?? 0;
    this.longest = header.longest;
    if (this.error && this.reading) {
      this.reading.n = this.n; // the kernel still holds it, and so do we with all that has come
      return;
    }
    const bytes = bytesOf(this.model.get(`${this.name}_bytes`));
    this.reading = header.parts?.length ? new Reading(header, bytes) : null;
  }

  get settled() {
    return this.text === this.answeredText && sameHeads(this.off, this.answeredOff);
  }

  get request() {
    return this.settled ? null : { kind: "read", side: this.name, text: this.text, off: this.off };
  }
}

/** Whether two lists name the same heads, in whatever order. */
export function sameHeads(a, b) {
  const names = (heads) => [...new Set(heads.map((head) => head.join(" ")))].sort().join();
  return names(a) === names(b);
}

// --- the session --------------------------------------------------------------------------------------

const VIEW = {
  part: 0, layer: 0, head: 0, statistic: "entropy", scale: "fixed", query: null, mode: "a",
};

export class Session {
  constructor(model) {
    this.model = model;
    this.standalone = Boolean(model.get("standalone"));
    this.status = "";
    this.views = new Set();
    this.rows = new Map(); // exact numbers of rows, by what they are of
    this.courier = new Courier(model, (status) => {
      if (this.status === status) return;
      this.status = status;
      this.each("drawStatus");
    });
    this.a = new Side(model, "a");
    this.b = new Side(model, "b");
    this.comparing = this.b.text !== "";
    this.view = { ...VIEW, ...model.get("view") };
    this.listeners = {
      "change:a": () => this.receive(this.a),
      "change:b": () => this.receive(this.b),
      "change:answer": () => this.receiveAnswer(),
      "change:view": () => this.receiveView(),
    };
    for (const [event, listener] of Object.entries(this.listeners)) model.on(event, listener);
    this.fitView();
  }

  close() {
    for (const [event, listener] of Object.entries(this.listeners)) this.model.off(event, listener);
    this.courier.close();
    clearTimeout(this.pause);
    clearTimeout(this.rowPause);
    clearTimeout(this.viewPause);
  }

  each(method, ...given) {
    for (const view of this.views) view[method](...given);
  }

  // --- texts ---

  get sides() {
    return this.comparing ? [this.a, this.b] : [this.a];
  }

  /** True while what is drawn is what was asked for, to the last byte. */
  get settled() {
    return [this.a, this.b].every((side) => side.settled) && !this.shown?.coarse;
  }

  change(side, text) {
    text = wellFormed(text);
    if (text === side.text) return;
    side.text = text;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.ask(), PAUSE_MS);
    this.each("drawStatus");
  }

  ask() {
    for (const side of [this.a, this.b]) {
      if (!side.settled) this.courier.ask(`read ${side.name}`, () => side.request);
    }
  }

  compare() {
    if (this.comparing) return;
    this.comparing = true;
    // A copy to change a word in: what differs then is what that word did.
    this.b.text = this.a.text;
    this.b.off = this.a.off;
    this.ask();
    this.choose({ mode: "difference" });
    this.each("drawReading");
  }

  endComparison() {
    this.comparing = false;
    this.b.text = "";
    this.ask();
    this.choose({ mode: "a" });
    this.each("drawReading");
  }

  /** Whether heads can be switched off: the model must have one part and continue the text. */
  get canSwitch() {
    const { reading } = this.a;
    return !this.standalone && Boolean(reading?.next) && reading.parts.length === 1;
  }

  get off() {
    return this.a.off;
  }

  isOff(layer, head) {
    return this.off.some(([l, h]) => l === layer && h === head);
  }

  switch(layer, head) {
    if (!this.canSwitch || layer < 0 || head < 0) return;
    const others = this.off.filter(([l, h]) => l !== layer || h !== head);
    this.switchAll(this.isOff(layer, head) ? others : [...others, [layer, head]]);
  }

  switchAll(off = []) {
    this.a.off = off;
    if (this.comparing) this.b.off = off;
    this.ask();
    this.each("drawOff");
  }

  receive(side) {
    const { n } = this.model.get(side.name);
    const asked = this.courier.take(n);
    const moved = asked !== null && !(side.text === asked.text && sameHeads(side.off, asked.off));
    side.adopt();
    this.rows.clear();
    if (!moved) {
      side.text = side.answeredText;
      side.off = side.answeredOff;
    }
    // Where nothing asked for this one it was `explorer.compare = …` in Python, or another page.
    if (asked === null && side === this.b) this.comparing = side.text !== "";
    this.fitView();
    this.each("drawReading");
    this.ask();
    this.courier.send();
  }

  receiveAnswer() {
    const answer = this.model.get("answer");
    const asked = this.courier.take(answer.n);
    if (asked === null) return; // to another page of this kernel
    const bytes = bytesOf(this.model.get("payload"));
    const part = this[asked.side]?.reading?.parts[asked.part];
    if (answer.error) {
      this.status = answer.error;
      this.each("drawStatus");
    } else if (asked.kind === "html") {
      download(new Blob([bytes], { type: "text/html" }), answer.name);
    } else if (part && answer.of === this[asked.side].reading.n) {
      if (asked.kind === "layer") {
        part.keep(asked.layer, bytes);
        this.redrawHead();
      } else {
        this.keepRow(asked, floatsAt(bytes, 0, part.columns));
        this.courier.ask("row", () => this.missingRow()); // the other text's, in a difference
        this.each("drawHover");
      }
    }
    this.courier.send();
  }

  // --- the choice ---

  get part() {
    return this.a.reading?.parts[this.view.part];
  }

  partOf(side) {
    return side.reading?.parts[this.view.part];
  }

  /** Keep the choice inside what there is: another model or text may have fewer of everything. */
  fitView() {
    const { view, part } = this;
    if (!this.comparing) view.mode = "a";
    if (this.a.reading && !part) view.part = 0;
    if (!this.part) return;
    const { layers, heads, rows, statistics } = this.part;
    // A short text has not all of them.
    if (!(view.statistic in statistics)) view.statistic = Object.keys(statistics)[0] ?? view.statistic;
    view.layer = Math.min(view.layer, layers - 1);
    view.head = view.layer < 0 ? -1 : Math.min(view.head, heads - 1);
    if (view.query !== null && view.query >= rows) view.query = null;
    this.show();
  }

  receiveView() {
    const view = { ...VIEW, ...this.model.get("view") };
    if (JSON.stringify(view) === JSON.stringify(this.view)) return;
    const otherPart = view.part !== this.view.part;
    this.view = view;
    this.fitView();
    this.each(otherPart ? "drawReading" : "drawHead", true);
  }

  /** Takes effect here at once; Python hears of it when the person stops choosing. */
  choose(change) {
    const { part, statistic } = this.view;
    Object.assign(this.view, change);
    this.fitView();
    if (part !== this.view.part) this.each("drawReading");
    else this.each("drawHead", statistic !== this.view.statistic || "mode" in change);
    clearTimeout(this.viewPause);
    this.viewPause = setTimeout(() => {
      this.model.set("view", { ...this.view });
      tellKernel(this.model);
    }, VIEW_PAUSE_MS);
  }

  /** The sides whose maps are shown, first the one that is subtracted. */
  get shownSides() {
    const { mode } = this.view;
    if (mode === "a" || !this.partOf(this.b)) return [this.a];
    return mode === "b" ? [this.b] : [this.a, this.b];
  }

  /** Work out the chosen map, and ask for its layer where that is not here. */
  show() {
    const { layer, head } = this.view;
    const maps = this.shownSides.map((side) => {
      const part = this.partOf(side);
      const values = part.weights(layer, head);
      const coarse = values === null;
      if (coarse) this.courier.ask("layer", () => this.missingLayer());
      const { queries, keys, causal } = part;
      return new Shown({ queries, keys, causal, coarse, values: values ?? part.guess(layer, head) });
    });
    this.shown = maps.length === 2 ? Shown.difference(...maps) : maps[0];
  }

  missingLayer() {
    const { part, layer } = this.view;
    const side = this.shownSides.find((s) => this.partOf(s)?.has(layer) === false);
    return side ? { kind: "layer", side: side.name, part, layer } : null;
  }

  redrawHead() {
    this.show();
    this.each("drawHead");
  }

  // --- exact rows ---

  rowName({ side, part, layer, head, query }) {
    return [side, part, layer, head, query].join(" ");
  }

  keepRow(asked, numbers) {
    if (this.rows.size > KEPT_ROWS) this.rows.clear();
    this.rows.set(this.rowName(asked), numbers);
  }

  exactRow(side, query) {
    const { part, layer, head } = this.view;
    const known = this.rows.get(this.rowName({ side: side.name, part, layer, head, query }));
    return known ?? this.partOf(side).exactRow(layer, head, query);
  }

  /** A row's numbers, one for each key that may be read, and whether they are exact. */
  row(query) {
    const { shown, shownSides } = this;
    const rows = shownSides.map((side) => this.exactRow(side, query));
    const exact = rows.every((row) => row !== null);
    const numbers = new Float32Array(shown.reach(query));
    for (let k = 0; k < numbers.length; k++) {
      if (!exact) numbers[k] = shown.at(query, k);
      else numbers[k] = rows.length === 2 ? rows[1][k] - rows[0][k] : rows[0][k];
      if (rows.length === 2 && Math.abs(numbers[k]) < ROUNDING) numbers[k] = 0;
    }
    return { numbers, exact };
  }

  /** Ask for the exact numbers of the row a person rests on. */
  wantRow(query) {
    clearTimeout(this.rowPause);
    if (query === null || this.standalone) return;
    this.wantedRow = query;
    this.rowPause = setTimeout(() => this.courier.ask("row", () => this.missingRow()), ROW_PAUSE_MS);
  }

  missingRow() {
    const { part, layer, head } = this.view;
    const query = this.wantedRow;
    const side = this.shownSides.find((s) => query < (this.partOf(s)?.rows ?? 0) && !this.exactRow(s, query));
    return side ? { kind: "row", side: side.name, part, layer, head, query } : null;
  }

  askForPage() {
    this.courier.ask("html", () => ({ kind: "html" }));
  }
}

function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // some browsers read it late
}

// --- where things stand in the picture -------------------------------------------------------------------

const CELL_MOST = 30;
const BESIDE_GOOD = 18; // pixels of a cell
const BESIDE_LEAST = 11; // in a text whose pictures would get tall one below the other
const OVERVIEW_HEIGHT_MOST = 640;
const MAP_HEIGHT_MOST = 540;
const LINES_HEIGHT_MOST = 380;
const LABEL_PITCH = 10; // pixels that a line of labels needs at least
const NUMBER_WIDTH = 56;
// What the axes mean, in a strip above the labels of the keys and over those of the queries.
const KEY_AXIS = "key: who is looked at →";
const QUERY_AXIS = ["query:", "who looks ↓"];
const AXIS_HIGH = 14;
const KEY_AXIS_WIDTH = 126;
const QUERY_AXIS_WIDTH = 60;
const AXIS_FONT = "10px system-ui, sans-serif";
const SLANT = Math.PI / 3; // of the keys' labels
const GAP = 14; // between the heatmap and the lines beside it

/** How much of a token a label shows: less in a long text, where the map needs the room. */
function labelCharacters(count) {
  return count > 60 ? 9 : 14;
}

/** Labels that find room: every one, every second, fifth, tenth and so on. */
export function labelStep(pitch, least = LABEL_PITCH) {
  for (let power = 1; ; power *= 10) {
    for (const step of [1, 2, 5]) if (step * power * pitch >= least) return step * power;
  }
}

/**
 * The places of heatmap and lines for a width in pixels and the widths of the longest labels.
 * Beside each other, rows of both stand at the same height; where cells would get too small for
 * that, the lines go below.
 */
export function plan({ width, rows, columns, queryLabel, keyLabel }) {
  const left = Math.max(Math.ceil(queryLabel), QUERY_AXIS_WIDTH) + 8;
  const from = Math.max(Math.ceil(queryLabel), 30) + 8; // the left end of the lines
  const over = Math.ceil(keyLabel * Math.cos(SLANT)); // labels lean over the last column
  const top = AXIS_HIGH + Math.max(2 * AXIS_HIGH, Math.ceil(keyLabel * Math.sin(SLANT)) + 12);
  const right = Math.ceil(keyLabel) + 8 + (width < 320 ? NUMBER_WIDTH - 12 : NUMBER_WIDTH);
  const cellIn = (room) => {
    let across = Math.min(CELL_MOST, Math.max(1, room - left - over - 2) / columns);
    if (across >= 6) across = Math.floor(across); // cells of one size
    const down = Math.min(across, MAP_HEIGHT_MOST / rows);
    // Square, unless that leaves a strip.
    return { across: Math.min(across, Math.max(down, 240 / columns)), down };
  };
  // The lines may start below the leaning labels.
  let cell = cellIn(width - from - right - 96 - GAP + over);
  const beside = cell.across >= (rows > 14 ? BESIDE_LEAST : BESIDE_GOOD);
  if (!beside) cell = cellIn(width);
  const heat = {
    left,
    top,
    across: cell.across,
    down: cell.down,
    width: Math.max(Math.ceil(left + columns * cell.across + over + 1), KEY_AXIS_WIDTH),
    height: Math.ceil(top + rows * cell.down + 2),
  };
  const room = beside ? width - heat.width - GAP + over : width;
  const queryPitch = beside ? cell.down : Math.min(18, LINES_HEIGHT_MOST / rows);
  const tall = Math.max(rows * queryPitch, Math.min(columns * queryPitch, LINES_HEIGHT_MOST));
  const lines = {
    from,
    to: Math.min(room - right, from + 300),
    top: 6 + AXIS_HIGH,
    queryPitch,
    keyPitch: Math.min(queryPitch, tall / columns),
  };
  lines.thick = Math.min(1.5, Math.max(0.6, lines.keyPitch)); // so that many stay apart
  // Where they stand: beside, with rows at one height, or below.
  lines.x = beside ? heat.width - over + GAP : 0;
  lines.y = beside ? top - lines.top : heat.height + GAP;
  lines.width = lines.to + right;
  lines.height = Math.ceil(lines.top + Math.max(rows * queryPitch, columns * lines.keyPitch) + 2);
  return { beside, heat, lines };
}

/** Where the name of the keys' axis starts: over the first key, unless it would not fit there. */
function keyAxisAt(heat) {
  return Math.max(0, Math.min(heat.left, heat.width - KEY_AXIS_WIDTH));
}

/** The height of a line at a share of its way, where its ends run level. */
export function lineHeight(from, to, share) {
  return from + (to - from) * share * share * (3 - 2 * share);
}

// --- the picture as a file -----------------------------------------------------------------------------

/** About the width of a label in a typewriter font; East Asian characters are two wide. */
function labelWidth(text) {
  return 6.7 * [...text].reduce((sum, c) => sum + (c.codePointAt(0) > 0x2e7f ? 2 : 1), 0);
}

/**
 * The shown map as the text of an SVG file: title, labels, cells, masked cells, lines and colour bar.
 * `image` gives the cells as the address of a picture where they are too many for shapes.
 */
export function svgPicture({ shown, title, notes = [], scale, tables, image }) {
  const { rows, columns, queries, keys } = shown;
  const labelText = (token) => shown.label(token).map((piece) => piece.text).join("");
  const longest = (tokens) => Math.max(...tokens.map((token) => labelWidth(labelText(token))));
  const { heat, lines } = plan({
    width: 820, rows, columns, queryLabel: longest(queries), keyLabel: longest(keys),
  });
  const out = [];
  const head = 34 + 15 * notes.length;
  const margin = 16;
  const text = (x, y, content, more = "") =>
    out.push(`<text x="${round(x)}" y="${round(y)}"${more}>${escaped(content)}</text>`);
  const label = (x, y, token, more) => text(x, y, labelText(token), more);
  const axis = (x, y, content, end) =>
    text(x, y, content, ` class="axis"${end ? ' text-anchor="end"' : ""}`);

  text(margin, 24, title, ' class="title"');
  notes.forEach((note, i) => text(margin, 42 + 15 * i, note, ' class="note"'));

  out.push(`<g transform="translate(${margin} ${head})">`);
  axis(keyAxisAt(heat), 10, KEY_AXIS);
  QUERY_AXIS.forEach((line, i) => axis(heat.left - 6, heat.top - 18 + 12 * i, line, true));
  const across = labelStep(heat.across, 12);
  const down = labelStep(heat.down, 12);
  keys.forEach((token, k) => {
    const x = round(heat.left + (k + 0.5) * heat.across + 3);
    if (k % across === 0) label(0, 0, token, ` transform="translate(${x} ${heat.top - 5}) rotate(-60)"`);
  });
  queries.forEach((token, q) => {
    const y = heat.top + (q + 0.5) * heat.down + 4;
    if (q % down === 0) label(heat.left - 6, y, token, ' text-anchor="end"');
  });
  const [wide, high] = [round(columns * heat.across), round(rows * heat.down)];
  const box = `x="${heat.left}" y="${heat.top}" width="${wide}" height="${high}"`;
  if (shown.causal) out.push(`<rect ${box} fill="url(#masked)"/>`);
  const style = 'preserveAspectRatio="none" style="image-rendering:pixelated"';
  if (image) out.push(`<image ${box} ${style} href="${escaped(image)}"/>`);
  else out.push(svgCells(shown, heat, tables, scale));
  out.push(`<rect ${box} fill="none" stroke="#888"/>`, "</g>");

  out.push(`<g transform="translate(${margin + lines.x} ${head + lines.y})">`);
  out.push(svgLines(shown, lines, tables, scale));
  axis(lines.from - 6, 10, "looks", true);
  axis(lines.to + 6, 10, "is looked at");
  const each = labelStep(lines.queryPitch, 12);
  const every = labelStep(lines.keyPitch, 12);
  queries.forEach((token, q) => {
    const y = lines.top + (q + 0.5) * lines.queryPitch + 4;
    if (q % each === 0) label(lines.from - 6, y, token, ' text-anchor="end"');
  });
  keys.forEach((token, k) => {
    if (k % every === 0) label(lines.to + 6, lines.top + (k + 0.5) * lines.keyPitch + 4, token);
  });
  out.push("</g>");

  const bottom = head + Math.max(heat.height, lines.y + lines.height) + 12;
  const stops = shown.signed ? tables.difference : tables.weight;
  const [low, high_] = scaleEnds(shown, scale);
  const at = Math.ceil(margin + 8 + 6.2 * low.length);
  text(margin, bottom + 10, low);
  out.push(`<rect x="${at}" y="${bottom}" width="120" height="12" fill="url(#bar)" stroke="#888"/>`);
  text(at + 128, bottom + 10, high_);
  if (shown.causal) {
    const x = Math.ceil(at + 146 + 6.2 * high_.length);
    out.push(`<rect x="${x}" y="${bottom}" width="18" height="12" fill="url(#masked)" stroke="#888"/>`);
    text(x + 24, bottom + 10, "masked");
  }
  const width = 2 * margin + Math.max(heat.width, lines.x + lines.width, 360);
  const height = bottom + 12 + margin;
  const marks = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => {
    const colour = css(stops[Math.round((i / 8) * (stops.length - 1))]);
    return `<stop offset="${i / 8}" stop-color="${colour}"/>`;
  });
  const size = `width="${width}" height="${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${width} ${height}">`,
    `<title>${escaped(title)}</title>`,
    "<style>text{font:11px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#222;white-space:pre}",
    ".title{font:600 15px system-ui,sans-serif}.note{font:12px system-ui,sans-serif;fill:#555}",
    ".axis{font:10px system-ui,sans-serif;fill:#555}</style>",
    '<defs><pattern id="masked" width="5" height="5" patternUnits="userSpaceOnUse">',
    '<rect width="5" height="5" fill="#f1f1f1"/>',
    '<path d="M-1 6L6 -1M-1 1L1 -1M4 6L6 4" stroke="#c4c4c4"/></pattern>',
    `<linearGradient id="bar">${marks.join("")}</linearGradient></defs>`,
    `<rect ${size} fill="#fff"/>`,
    ...out,
    "</svg>",
  ].join("\n");
}

function round(number) {
  return Math.round(100 * number) / 100;
}

/** Rectangles, neighbours of one colour in one. */
function svgCells(shown, heat, tables, scale) {
  const pixels = new Uint32Array(shown.rows * shown.columns);
  shown.paint(pixels, tables, scale);
  const out = ['<g shape-rendering="crispEdges">'];
  for (let q = 0; q < shown.rows; q++) {
    const reach = shown.reach(q);
    for (let k = 0, end = 0; k < reach; k = end) {
      const colour = pixels[q * shown.columns + k];
      while (end < reach && pixels[q * shown.columns + end] === colour) end++;
      const [x, y] = [round(heat.left + k * heat.across), round(heat.top + q * heat.down)];
      const size = `width="${round((end - k) * heat.across)}" height="${round(heat.down)}"`;
      out.push(`<rect x="${x}" y="${y}" ${size} fill="${css(colour)}"/>`);
    }
  }
  return [...out, "</g>"].join("\n");
}

function svgLines(shown, lines, tables, scale) {
  const third = (lines.to - lines.from) / 3;
  const out = [`<g fill="none" stroke-width="${round(lines.thick)}">`];
  const strongest = shown.lines(scale);
  const share = paleness(strongest, scale, shown.rows * lines.queryPitch);
  for (const { query, key, strength, below } of strongest) {
    const from = round(lines.top + (query + 0.5) * lines.queryPitch);
    const to = round(lines.top + (key + 0.5) * lines.keyPitch);
    const bend = `C${round(lines.from + third)} ${from} ${round(lines.to - third)} ${to} ${lines.to} ${to}`;
    const colour = css(lineColour(shown, tables, below));
    out.push(`<path d="M${lines.from} ${from}${bend}" stroke="${colour}" opacity="${round(share * strength)}"/>`);
  }
  return [...out, "</g>"].join("\n");
}

/** Lines have one colour, the strength is their opacity; a difference has one colour for each sign. */
function lineColour(shown, tables, below) {
  if (!shown.signed) return tables.weight[178];
  return tables.difference[below ? 70 : 440];
}

/** What stands at the two ends of the colour bar. */
function scaleEnds(shown, scale) {
  const top = scale === "row" ? "largest in its row" : "1";
  return shown.signed ? [`−${scale === "row" ? "largest" : "1"}`, `+${top}`] : ["0", top];
}

// --- parts of the view ------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// JupyterLab takes arrow keys, Enter and letters for itself unless the focused element says so.
const FOCUSABLE = { "data-lm-suppress-shortcuts": "true" };

function button(text, attributes = {}) {
  return element("button", { type: "button", ...FOCUSABLE, ...attributes }, text);
}

/** A few buttons of which one is pressed. */
class Choice {
  constructor(name, options, pick) {
    this.buttons = new Map(options.map(([value, text]) => [value, button(text)]));
    for (const [value, node] of this.buttons) node.addEventListener("click", () => pick(value));
    const attributes = { class: "lm-choice", role: "group", "aria-label": name };
    this.root = element("span", attributes, ...this.buttons.values());
  }

  set(chosen) {
    for (const [value, node] of this.buttons) node.setAttribute("aria-pressed", value === chosen);
  }
}

/** Two canvases over each other: the picture, and above it what moves with the pointer. */
class Picture {
  constructor(attributes) {
    this.base = element("canvas", { "aria-hidden": "true" });
    this.over = element("canvas", { "aria-hidden": "true" });
    this.root = element("div", attributes, this.base, this.over);
  }

  /** Size in the page's pixels; the canvases have the screen's. Makes both empty. */
  resize(width, height) {
    this.width = width;
    this.height = height;
    this.sharp = globalThis.devicePixelRatio || 1;
    this.root.style.width = `${width}px`;
    this.root.style.height = `${height}px`;
    for (const canvas of [this.base, this.over]) {
      canvas.width = Math.round(width * this.sharp);
      canvas.height = Math.round(height * this.sharp);
      canvas.getContext("2d").scale(this.sharp, this.sharp);
    }
  }

  get pen() {
    return this.base.getContext("2d");
  }

  /** The upper canvas, wiped. */
  get overPen() {
    const pen = this.over.getContext("2d");
    pen.clearRect(0, 0, this.width, this.height);
    return pen;
  }
}

/** The size of labels: smaller where that makes room for all of them. */
function labelSize(pitch) {
  return pitch < LABEL_PITCH ? 11 : Math.min(11, Math.max(9.5, pitch - 1));
}

/** Write a token's pieces, unseen characters paler. */
function drawLabel(pen, drawn, x, y, look, { end = false, bold = false, size = 11 } = {}) {
  pen.font = `${bold ? "bold " : ""}${size}px ${look.family}`;
  const widths = drawn.map(({ text }) => pen.measureText(text).width);
  if (end) x -= widths.reduce((sum, width) => sum + width, 0);
  drawn.forEach(({ text, mark }, i) => {
    pen.fillStyle = mark && !bold ? look.muted : look.ink;
    pen.fillText(text, x, y);
    x += widths[i];
  });
}

function textWidth(pen, drawn) {
  return pen.measureText(drawn.map((piece) => piece.text).join("")).width;
}

function widestLabel(pen, tokens, shown, look) {
  pen.font = `11px ${look.family}`;
  let widest = 20;
  for (const token of new Set(tokens)) widest = Math.max(widest, textWidth(pen, shown.label(token)));
  return widest;
}

/** A label that stands out from those around it. */
function drawChip(pen, drawn, x, y, look, end) {
  pen.font = `bold 11px ${look.family}`;
  const width = textWidth(pen, drawn);
  pen.fillStyle = look.paper;
  pen.fillRect(end ? x - width - 4 : x - 3, y - 9, width + 7, 18);
  drawLabel(pen, drawn, x, y, look, { end, bold: true });
}

/** The masked cells' pattern: grey, hatched. */
function hatched(pen, look) {
  const tile = element("canvas", { width: 5, height: 5 });
  const draw = tile.getContext("2d");
  draw.fillStyle = look.shade;
  draw.fillRect(0, 0, 5, 5);
  draw.strokeStyle = look.line;
  draw.lineWidth = 0.8;
  draw.beginPath();
  for (const [x, y, toX, toY] of [[-1, 6, 6, -1], [-1, 1, 1, -1], [4, 6, 6, 4]]) {
    draw.moveTo(x, y);
    draw.lineTo(toX, toY);
  }
  draw.stroke();
  return pen.createPattern(tile, "repeat");
}

const PITCH_MOST = 46;
const MEAN_GAP = 0.35; // of a thumbnail, before the column of means

/** All heads at once: a row for each layer, a column for each head, and one for the means. */
class Overview extends Picture {
  constructor(view) {
    super({
      class: "lm-overview", role: "grid", tabindex: 0, ...FOCUSABLE,
      "aria-label": "All heads, a row for each layer; arrow keys choose one",
    });
    this.view = view;
    this.hovered = null;
    // A screen reader reads the cell that is named as active; two take turns, so that each is new.
    const name = `lm-head-${Math.random()}`; // ids are distinct in the page
    this.cells = [0, 1].map((i) => element("div", { role: "gridcell", id: `${name}-${i}` }));
    this.root.append(element("div", { role: "row", class: "lm-spoken" }, ...this.cells));
    this.root.addEventListener("keydown", (event) => this.walk(event));
    this.over.addEventListener("pointermove", (event) => this.hover(this.at(event.offsetX, event.offsetY)));
    this.over.addEventListener("pointerleave", () => this.hover(null));
    this.over.addEventListener("click", (event) => {
      const found = this.at(event.offsetX, event.offsetY);
      this.root.focus({ preventScroll: true });
      if (found) view.session.choose({ layer: found[0], head: found[1] });
    });
  }

  /** Its width for the room there is. */
  layout(room, part) {
    const columns = part.heads + 1 + MEAN_GAP;
    const rows = part.layers + 1 + MEAN_GAP;
    this.left = 24;
    this.top = 30;
    const high = (OVERVIEW_HEIGHT_MOST - this.top) / rows;
    const pitch = Math.min(PITCH_MOST, (room - this.left) / columns, high);
    this.pitch = Math.floor(Math.max(5, Math.min(9, high), pitch));
    this.resize(
      Math.max(86, Math.ceil(this.left + columns * this.pitch + 8)), // the axes' names
      Math.ceil(this.top + rows * this.pitch + 2),
    );
    this.part = part;
    this.hovered = null;
    this.root.dataset.plot = [this.left, this.top, this.pitch, this.pitch].join(" ");
    this.root.dataset.mean = this.place(0, -1)[0];
    this.root.setAttribute("aria-rowcount", part.layers + 1);
    this.root.setAttribute("aria-colcount", part.heads + 1);
  }

  /** The top left corner of a thumbnail. */
  place(layer, head) {
    const { part, pitch } = this;
    return [
      Math.round(this.left + (head < 0 ? part.heads + MEAN_GAP : head) * pitch),
      Math.round(this.top + (layer < 0 ? part.layers + MEAN_GAP : layer) * pitch),
    ];
  }

  /** The layer and head at a point, or null. */
  at(x, y) {
    const { part, pitch } = this;
    let head = Math.floor((x - this.left) / pitch);
    let layer = Math.floor((y - this.top) / pitch);
    if (head >= part.heads) head = x >= this.place(0, -1)[0] && x < this.place(0, -1)[0] + pitch ? -1 : NaN;
    if (layer >= part.layers) layer = y >= this.place(-1, -1)[1] && head === -1 ? -1 : NaN;
    return layer >= -1 && head >= -1 && x >= this.left && y >= this.top ? [layer, head] : null;
  }

  walk(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { session } = this.view;
    const { layers, heads } = this.part;
    const row = session.view.layer < 0 ? layers : session.view.layer;
    const column = session.view.head < 0 ? heads : session.view.head;
    const steps = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [row, 0], End: [row, heads], PageUp: [0, column], PageDown: [layers - 1, column],
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    const [toRow, toColumn] = steps[event.key];
    // The last row has but one cell, the mean of everything.
    const most = column === heads ? layers : layers - 1;
    const layer = Math.min(most, Math.max(0, toRow));
    const head = layer === layers ? heads : Math.min(heads, Math.max(0, toColumn));
    session.choose({ layer: layer === layers ? -1 : layer, head: head === heads ? -1 : head });
  }

  hover(found) {
    if (`${found}` === `${this.hovered}`) return;
    this.hovered = found;
    this.drawOver();
    this.view.drawCaption();
    this.view.drawn("hover");
  }

  /** The value that tints a head, and the largest, from the texts that are shown. */
  tints() {
    const { session } = this.view;
    const name = session.view.statistic;
    const parts = session.shownSides.map((side) => session.partOf(side));
    const same = parts.every((p) => p.layers === this.part.layers && p.heads === this.part.heads);
    const value = (layer, head) => {
      const values = parts.map((p) => p.statistic(name, layer, head));
      if (!same || values.includes(undefined)) return undefined;
      return values.length === 2 ? values[1] - values[0] : values[0];
    };
    let peak = 0;
    for (let l = 0; l < this.part.layers; l++) {
      for (let h = 0; h < this.part.heads; h++) peak = Math.max(peak, Math.abs(value(l, h) ?? 0));
    }
    return { name, value, peak, signed: parts.length === 2 };
  }

  draw() {
    const { part, pen } = this;
    const { look } = this.view;
    pen.clearRect(0, 0, this.width, this.height);
    this.drawThumbnails();
    pen.font = "10px system-ui, sans-serif";
    pen.fillStyle = look.muted;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    const across = labelStep(this.pitch, 14);
    const high = this.top - 9;
    for (let h = 0; h < part.heads; h += across) pen.fillText(h, this.place(0, h)[0] + this.pitch / 2, high);
    pen.fillText("mean", Math.min(this.width - 13, this.place(0, -1)[0] + this.pitch / 2), high);
    pen.textAlign = "left";
    pen.fillText("layer ↓", 1, 7);
    pen.fillText("head →", 46, 7);
    pen.textAlign = "right";
    const down = labelStep(this.pitch, 11);
    for (let l = 0; l < part.layers; l += down) {
      pen.fillText(l, this.left - 5, this.place(l, 0)[1] + this.pitch / 2);
    }
    pen.fillText("mean of all", this.place(0, -1)[0] - 6, this.place(-1, -1)[1] + this.pitch / 2);
    this.drawOff();
    this.drawOver();
  }

  /** Every thumbnail's pixels in one ImageData. */
  drawThumbnails() {
    const { part, pen, sharp } = this;
    const { session, look } = this.view;
    const sides = session.shownSides.map((side) => session.partOf(side));
    const tints = this.tints();
    const [right, bottom] = this.place(-1, -1).map((at) => Math.round((at + this.pitch) * sharp));
    const [left, top] = [this.left, this.top].map((at) => Math.round(at * sharp));
    const image = pen.createImageData(right - left, bottom - top);
    const pixels = new Uint32Array(image.data.buffer);
    const side = Math.max(3, Math.round((this.pitch - (this.pitch > 12 ? 2 : 1)) * sharp));
    const heads = [];
    for (let l = 0; l < part.layers; l++) for (let h = -1; h < part.heads; h++) heads.push([l, h]);
    heads.push([-1, -1]);
    const spans = sides.map(({ thumb }) => [spansOf(thumb.rows, side), spansOf(thumb.cols, side)]);
    const levels = new Uint8Array(side * side);
    for (const [layer, head] of heads) {
      levels.fill(0);
      sides.forEach((p, s) => pool(p.miniature(layer, head), p.thumb.cols, spans[s], levels, s > 0));
      const table = blended(look.tables, tints, tints.value(layer, head));
      const [x, y] = this.place(layer, head).map((at) => Math.round(at * sharp));
      let from = 0;
      for (let row = 0; row < side; row++) {
        let to = (y - top + row) * image.width + x - left;
        for (let column = 0; column < side; column++) pixels[to++] = table[levels[from++]];
      }
    }
    pen.putImageData(image, left, top);
  }

  /** A cross over every head that is switched off. */
  drawOff() {
    const { pen, pitch } = this;
    const { session, look } = this.view;
    pen.lineWidth = 2;
    pen.strokeStyle = look.alert;
    for (const [layer, head] of session.view.part === 0 ? session.off : []) {
      if (layer >= this.part.layers || head >= this.part.heads) continue;
      const [x, y] = this.place(layer, head);
      const end = pitch - 3;
      pen.globalAlpha = 0.7;
      pen.fillStyle = look.paper;
      pen.fillRect(x, y, pitch - 2, pitch - 2);
      pen.globalAlpha = 1;
      pen.beginPath();
      pen.moveTo(x + 1, y + 1);
      pen.lineTo(x + end, y + end);
      pen.moveTo(x + end, y + 1);
      pen.lineTo(x + 1, y + end);
      pen.stroke();
    }
  }

  drawOver() {
    const { look, session } = this.view;
    const pen = this.overPen;
    const frame = ([layer, head], colour, width) => {
      const [x, y] = this.place(layer, head);
      const side = this.pitch - (this.pitch > 12 ? 2 : 1);
      pen.lineWidth = width + 2;
      pen.strokeStyle = look.paper;
      pen.strokeRect(x - 1, y - 1, side + 2, side + 2);
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.strokeRect(x - 1, y - 1, side + 2, side + 2);
    };
    if (this.hovered) frame(this.hovered, look.ink, 1);
    frame([session.view.layer, session.view.head], look.accent, 2);
  }

  /** Tell a screen reader of the chosen head. */
  speak(text) {
    const { layer, head } = this.view.session.view;
    this.cells.reverse();
    const [cell] = this.cells;
    cell.setAttribute("aria-rowindex", (layer < 0 ? this.part.layers : layer) + 1);
    cell.setAttribute("aria-colindex", (head < 0 ? this.part.heads : head) + 1);
    cell.setAttribute("aria-selected", "true");
    this.cells[1].removeAttribute("aria-selected");
    cell.textContent = text;
    this.root.setAttribute("aria-activedescendant", cell.id);
  }
}

/** For every pixel of a side the first cell it covers and the one after the last. */
export function spansOf(count, side) {
  return Array.from({ length: side }, (_, pixel) => {
    const start = Math.floor((pixel * count) / side);
    return [start, Math.max(start + 1, Math.ceil(((pixel + 1) * count) / side))];
  });
}

/** A small picture's pixels, each the largest weight it covers; `less` makes them the difference. */
function pool(small, columns, [down, across], levels, less) {
  let to = 0;
  for (const [top, bottom] of down) {
    for (const [left, right] of across) {
      let most = 0;
      for (let row = top; row < bottom; row++) {
        for (let at = row * columns + left; at < row * columns + right; at++) {
          if (small[at] > most) most = small[at];
        }
      }
      levels[to] = less ? Math.abs(levels[to] - most) : most;
      to++;
    }
  }
}

/** From the tint of a statistic's value to ink: the colours of one thumbnail. */
export function blended(tables, { peak, signed }, value) {
  const share = peak > 0 && value !== undefined ? value / peak : 0;
  // Half of the difference's colours: what lies on them must still be seen.
  const ground = signed
    ? rgb(tables.difference[255 + Math.round(120 * share)])
    : rgb(tables.tint[Math.round(255 * share)]);
  const ink = rgb(tables.ink);
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const much = (level / 255) ** 0.7; // so small, faint weights would be lost
    return pixel(ground.map((from, c) => Math.round(from + much * (ink[c] - from))));
  });
}

/** The chosen head as a map of cells. */
class Heatmap extends Picture {
  constructor(view) {
    super({
      class: "lm-heatmap", role: "application", tabindex: 0, ...FOCUSABLE,
      "aria-roledescription": "heatmap",
    });
    this.view = view;
    this.cells = element("canvas");
    this.root.addEventListener("keydown", (event) => this.walk(event));
    this.root.addEventListener("focus", () => {
      if (this.root.matches(":focus-visible")) view.moveCursor(view.cursor);
    });
    this.root.addEventListener("blur", () => view.hover(null));
    listenToPointer(this, view);
  }

  layout(place) {
    this.place = place;
    const { left, top, across, down } = place;
    this.resize(place.width, place.height);
    this.root.dataset.plot = [left, top, across, down].join(" ");
  }

  /** What lies at a point: a cell, a row's label, a column's label. */
  at(x, y) {
    const { left, top, across, down } = this.place;
    const { shown } = this.view.session;
    const query = Math.floor((y - top) / down);
    if (y < top) {
      const key = Math.floor((x - left - (top - y) / Math.tan(SLANT)) / across);
      return key >= 0 && key < shown.columns ? { query: null, key } : null;
    }
    const key = Math.floor((x - left) / across);
    if (query < 0 || query >= shown.rows || key >= shown.columns) return null;
    return { query, key: key < 0 ? null : key };
  }

  walk(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { view } = this;
    const { shown } = view.session;
    const { query, key } = view.cursor;
    const steps = {
      ArrowUp: [query - 1, key], ArrowDown: [query + 1, key],
      ArrowLeft: [query, key - 1], ArrowRight: [query, key + 1],
      Home: [query, 0], End: [query, shown.reach(query) - 1],
      PageUp: [0, key], PageDown: [shown.rows - 1, key],
    };
    if (event.key in steps) {
      const [q, k] = steps[event.key];
      view.moveCursor({
        query: Math.min(shown.rows - 1, Math.max(0, q)),
        key: Math.min(shown.columns - 1, Math.max(0, k)),
      });
    } else if (event.key === "Enter" || event.key === " ") view.pin(query);
    else if (event.key === "Escape" && view.session.view.query !== null) view.pin(view.session.view.query);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const { pen, place } = this;
    const { look, session } = this.view;
    const { shown } = session;
    pen.clearRect(0, 0, this.width, this.height);
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    const across = labelStep(place.across);
    const down = labelStep(place.down);
    let size = labelSize(place.down);
    for (let q = 0; q < shown.rows; q += down) {
      const y = place.top + (q + 0.5) * place.down;
      drawLabel(pen, shown.label(shown.queries[q]), place.left - 6, y, look, { end: true, size });
    }
    size = labelSize(place.across);
    for (let k = 0; k < shown.columns; k += across) {
      this.slanted(pen, k, () => drawLabel(pen, shown.label(shown.keys[k]), 0, 0, look, { size }));
    }
    pen.font = AXIS_FONT;
    pen.fillStyle = look.muted;
    pen.fillText(KEY_AXIS, keyAxisAt(place), 7);
    pen.textAlign = "right";
    QUERY_AXIS.forEach((line, i) => pen.fillText(line, place.left - 6, place.top - 21 + 12 * i));
    pen.textAlign = "left";
    this.hatch = shown.causal ? hatched(pen, look) : null;
    this.drawCells();
  }

  /** Draw with the origin at a column's label, in its direction. */
  slanted(pen, key, draw) {
    const { left, top, across } = this.place;
    pen.save();
    pen.translate(left + (key + 0.5) * across + 2, top - 5);
    pen.rotate(-SLANT);
    draw();
    pen.restore();
  }

  drawCells() {
    const { pen, cells } = this;
    const { look, session } = this.view;
    const { shown } = session;
    const { left, top, across, down } = this.place;
    const [width, height] = [shown.columns * across, shown.rows * down];
    if (!this.image || this.image.width !== shown.columns || this.image.height !== shown.rows) {
      cells.width = shown.columns;
      cells.height = shown.rows;
      this.image = cells.getContext("2d").createImageData(shown.columns, shown.rows);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    shown.paint(this.pixels, look.tables, session.view.scale);
    cells.getContext("2d").putImageData(this.image, 0, 0);
    pen.clearRect(left - 0.5, top - 0.5, width + 1, height + 1);
    if (this.hatch) {
      pen.fillStyle = this.hatch;
      pen.fillRect(left, top, width, height);
    }
    pen.imageSmoothingEnabled = across * this.sharp < 1;
    pen.drawImage(cells, left, top, width, height);
    pen.strokeStyle = look.line;
    pen.lineWidth = 1;
    pen.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
  }

  drawOver({ query, key }) {
    const pen = this.overPen;
    const { look, session } = this.view;
    const { shown } = session;
    const { left, top, across, down } = this.place;
    const [width, height] = [shown.columns * across, shown.rows * down];
    pen.textBaseline = "middle";
    pen.strokeStyle = look.accent;
    pen.lineWidth = 1.5;
    const [x, y] = [left + key * across, top + query * down];
    if (query !== null) {
      drawChip(pen, shown.label(shown.queries[query]), left - 6, y + down / 2, look, true);
      pen.strokeRect(left - 1, y - 1, width + 2, down + 2);
    }
    if (key !== null) {
      this.slanted(pen, key, () => drawChip(pen, shown.label(shown.keys[key]), 0, 0, look, false));
      pen.strokeRect(x - 1, top - 1, across + 2, height + 2);
    }
    if (query === null || key === null) return;
    const { numbers, exact } = session.row(query);
    const text = shown.masked(query, key) ? "masked" : written(numbers[key], { exact, signed: shown.signed });
    pen.font = "bold 12px system-ui, sans-serif";
    const wide = pen.measureText(text).width + 12;
    // Above the row and right of the column where there is room: never on what is looked at.
    const after = x + across + 6 + wide < this.width;
    const start = after ? x + across + 6 : Math.max(0, x - 6 - wide);
    const middle = y > top + 24 ? y - 14 : y + down + 14;
    pen.fillStyle = look.ink;
    pen.beginPath();
    pen.roundRect(start, middle - 10, wide, 20, 4);
    pen.fill();
    pen.fillStyle = look.paper;
    pen.textAlign = "left";
    pen.fillText(text, start + 6, middle + 0.5);
  }

  get address() {
    return this.cells.toDataURL();
  }
}

/** The pointer over a picture of the chosen head: what it is on is looked at in all pictures. */
function listenToPointer(picture, view) {
  const at = (event) => picture.at(event.offsetX, event.offsetY);
  picture.over.addEventListener("pointermove", (event) => view.hover(at(event)));
  picture.over.addEventListener("pointerleave", () => view.hover(null));
  picture.over.addEventListener("click", (event) => {
    const found = at(event);
    view.heatmap.root.focus({ preventScroll: true });
    if (found === null) return;
    view.hover(found);
    if (found.query !== null) view.pin(found.query);
  });
}

/** The chosen head as lines from every token that looks to those it looks at. */
class Lines extends Picture {
  constructor(view) {
    super({ class: "lm-lines", "aria-hidden": "true" }); // the heatmap says the same
    this.view = view;
    listenToPointer(this, view);
  }

  layout(place) {
    this.place = place;
    this.resize(place.width, place.height);
  }

  queryHeight(query) {
    return this.place.top + (query + 0.5) * this.place.queryPitch;
  }

  keyHeight(key) {
    return this.place.top + (key + 0.5) * this.place.keyPitch;
  }

  at(x, y) {
    const { from, to, top, queryPitch, keyPitch } = this.place;
    const { rows, columns } = this.view.session.shown;
    const query = Math.floor((y - top) / queryPitch);
    const key = Math.floor((y - top) / keyPitch);
    if (x <= from) return query >= 0 && query < rows ? { query, key: null } : null;
    if (x >= to) return key >= 0 && key < columns ? { query: null, key } : null;
    const share = (x - from) / (to - from);
    let best = null;
    let least = 6; // pixels; a strong line is found before a faint one that is a little nearer
    for (const line of this.lines) {
      const height = lineHeight(this.queryHeight(line.query), this.keyHeight(line.key), share);
      const off = Math.abs(height - y) + 2 * (1 - line.strength);
      if (off < least) [least, best] = [off, line];
    }
    return best && { query: best.query, key: best.key };
  }

  draw() {
    const { pen, place } = this;
    const { look, session } = this.view;
    const { shown } = session;
    pen.clearRect(0, 0, this.width, this.height);
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    const each = labelStep(place.queryPitch);
    let size = labelSize(place.queryPitch);
    for (let q = 0; q < shown.rows; q += each) {
      const y = this.queryHeight(q);
      drawLabel(pen, shown.label(shown.queries[q]), place.from - 6, y, look, { end: true, size });
    }
    const every = labelStep(place.keyPitch);
    size = labelSize(place.keyPitch);
    for (let k = 0; k < shown.columns; k += every) {
      drawLabel(pen, shown.label(shown.keys[k]), place.to + 6, this.keyHeight(k), look, { size });
    }
    pen.font = AXIS_FONT;
    pen.fillStyle = look.muted;
    pen.fillText("is looked at", place.to + 6, 7);
    pen.textAlign = "right";
    pen.fillText("looks", place.from - 6, 7);
    pen.textAlign = "left";
    this.drawLines();
  }

  drawLines() {
    const { pen, place } = this;
    const { session } = this.view;
    this.lines = session.shown.lines(session.view.scale);
    pen.clearRect(place.from - 1, 0, place.to - place.from + 2, this.height);
    this.strokeLines(pen, this.lines);
  }

  /** Opacity is the weight, in a crowd a share of it; lines that are `looked` at are never fainter than can be seen. */
  strokeLines(pen, lines, looked = false) {
    const { look, session } = this.view;
    const most = Math.min(4, Math.max(1, this.place.keyPitch / 3));
    const colours = [false, true].map((below) => css(lineColour(session.shown, look.tables, below)));
    const share = paleness(lines, session.view.scale, this.height);
    pen.lineWidth = this.place.thick;
    for (const { query, key, strength, below } of lines) {
      pen.strokeStyle = colours[below ? 1 : 0];
      pen.globalAlpha = share * (looked ? 0.25 + 0.75 * strength : strength);
      if (looked) pen.lineWidth = 1 + most * strength;
      this.strokeLine(pen, query, key);
    }
    pen.globalAlpha = 1;
  }

  strokeLine(pen, query, key) {
    const { from, to } = this.place;
    const [start, end] = [this.queryHeight(query), this.keyHeight(key)];
    const third = (to - from) / 3;
    pen.beginPath();
    pen.moveTo(from, start);
    pen.bezierCurveTo(from + third, start, to - third, end, to, end);
    pen.stroke();
  }

  /** The lines of what is looked at, the others pale, and the largest weights in numbers. */
  drawOver({ query, key }) {
    const pen = this.overPen;
    if (query === null && key === null) return;
    const { look, session } = this.view;
    const { shown } = session;
    const { from, to } = this.place;
    pen.globalAlpha = 0.93;
    pen.fillStyle = look.paper;
    pen.fillRect(from - 1, 0, to - from + 2, this.height);
    pen.globalAlpha = 1;
    pen.textBaseline = "middle";
    const gains = shown.gains(session.view.scale);
    const cells = query !== null ? this.row(query) : this.column(key);
    const lines = cells.map(({ value, ...cell }) => ({
      ...cell, strength: Math.min(1, Math.abs(value) * gains[cell.query]), below: value < 0,
    }));
    this.strokeLines(pen, thinned(lines.filter((line) => line.strength > 0.01), LOOKED_LINES), true);
    if (query !== null && key !== null && lines[key]) {
      // The one that is pointed at, in the colour of what is pointed at everywhere.
      pen.strokeStyle = look.accent;
      pen.lineWidth = 2.5;
      this.strokeLine(pen, query, key);
    }
    if (query !== null) {
      drawChip(pen, shown.label(shown.queries[query]), from - 6, this.queryHeight(query), look, true);
      this.drawNumbers(pen, cells, key);
    } else {
      drawChip(pen, shown.label(shown.keys[key]), to + 6, this.keyHeight(key), look, false);
    }
  }

  row(query) {
    const { numbers, exact } = this.view.session.row(query);
    return Array.from(numbers, (value, key) => ({ query, key, value, exact }));
  }

  column(key) {
    const { shown } = this.view.session;
    const result = [];
    for (let query = 0; query < shown.rows; query++) {
      if (!shown.masked(query, key)) result.push({ query, key, value: shown.at(query, key) });
    }
    return result;
  }

  /** Numbers at the right edge; of two that would meet, the larger one is written. */
  drawNumbers(pen, cells, key) {
    const { look, session } = this.view;
    const best = strongest(cells.map(({ value }) => value), 5);
    const order = key !== null && cells[key] ? [key, ...best] : best;
    const taken = [];
    for (const k of order) {
      const y = this.keyHeight(k);
      if (taken.some((other) => Math.abs(other - y) < 13)) continue;
      taken.push(y);
      drawChip(pen, session.shown.label(session.shown.keys[k]), this.place.to + 6, y, look, false);
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = look.ink;
      pen.textAlign = "right";
      const { value, exact } = cells[k];
      pen.fillText(written(value, { exact, signed: session.shown.signed }), this.width - 1, y);
      pen.textAlign = "left";
    }
  }
}

/** In words and numbers what is looked at: a cell and its row, a row, or a column. */
class Readout {
  constructor(view) {
    this.view = view;
    this.root = element("p", { class: "lm-readout" });
  }

  draw(looked) {
    const { query, key } = looked;
    if (query === null && key === null) {
      const hint = "Point at a cell, a token or a line for its numbers; a click keeps its row.";
      this.root.replaceChildren(element("span", { class: "lm-muted" }, hint));
    } else {
      this.root.replaceChildren(...(query === null ? this.column(key) : this.row(looked)));
    }
  }

  token(text) {
    return element("bdi", { class: "lm-token" }, readable(text, 24));
  }

  /** The five largest of some numbers, each behind its token: a pair stays on one line. */
  most(tokens, numbers, exact) {
    const { signed } = this.view.session.shown;
    return strongest(numbers, 5).flatMap((i) => [
      element("span", { class: "lm-pair" }, this.token(tokens[i]), ` ${written(numbers[i], { exact, signed })}`),
      " ",
    ]);
  }

  column(key) {
    const { shown } = this.view.session;
    const cells = this.view.lines.column(key);
    const queries = cells.map(({ query }) => shown.queries[query]);
    const most = this.most(queries, cells.map(({ value }) => value), false);
    const start = [this.token(shown.keys[key]), ` (${key})`];
    if (shown.signed && most.length === 0) return [...start, ": no change here"];
    return [...start, shown.signed ? " changes most for " : " is looked at by ", ...most];
  }

  row({ query, key }) {
    const { session } = this.view;
    const { shown } = session;
    const { numbers, exact } = session.row(query);
    const start = [this.token(shown.queries[query]), ` (${query})`];
    const most = this.most(shown.keys, numbers, exact);
    const same = shown.signed && most.length === 0;
    if (key === null && same) return [...start, ": no change here"];
    if (key === null) return [...start, shown.signed ? " changes most at " : " looks at ", ...most];
    const other = [this.token(shown.keys[key]), ` (${key}): `];
    if (shown.masked(query, key)) return [...start, " cannot look at ", ...other, "masked, it comes later"];
    const number = written(numbers[key], { exact, signed: shown.signed });
    return [
      ...start, " looks at ", ...other, element("strong", { class: exact ? "lm-exact" : "" }, number),
      element("br"),
      element("span", { class: "lm-muted" }, same ? "no change here" : "most: "), ...most,
    ];
  }
}

const BAR_ENDS = [0.1, 0.25, 0.5, 1];

/** The most likely next tokens of one text, with nothing off and with the present heads off. */
class Bars {
  constructor() {
    this.heading = element("p", { class: "lm-bars-heading" });
    this.list = element("ol", { class: "lm-bars", role: "list" });
    this.root = element("div", { class: "lm-next" }, this.heading, this.list);
    this.rows = [];
  }

  row() {
    const token = element("bdi", { class: "lm-token" });
    const before = element("span", { class: "lm-fill lm-before" });
    const after = element("span", { class: "lm-fill" });
    const share = element("span", { class: "lm-share" });
    const track = element("span", { class: "lm-track" }, before, after);
    const item = element("li", {}, token, track, share);
    this.list.append(item);
    return { item, token, before, after, share };
  }

  draw(reading, which) {
    const next = reading?.next;
    this.root.hidden = !next;
    if (!next) return;
    const off = reading.off.length;
    const most = Math.max(...next.before, ...next.after);
    const end = BAR_ENDS.find((bar) => bar >= most) ?? 1;
    const heads = `${off} ${off === 1 ? "head" : "heads"} off`;
    const key = (name) => element("span", { class: `lm-key ${name}` });
    const what = off ? [key("lm-before"), " all heads ", key("lm-after"), ` ${heads}`] : [];
    this.heading.replaceChildren(
      element("strong", {}, `Next token${which}`), " ", ...what,
      element("span", { class: "lm-muted" }, ` · bars to ${100 * end} %`),
    );
    const compared = off ? `, with all heads and with ${heads}` : "";
    this.list.setAttribute("aria-label", `Most likely next tokens${which}${compared}`);
    while (this.rows.length < next.tokens.length) this.rows.push(this.row());
    for (const row of this.rows.splice(next.tokens.length)) row.item.remove();
    next.tokens.forEach((text, i) => {
      const row = this.rows[i];
      const [before, after] = [next.before[i], next.after[i]];
      row.token.replaceChildren(
        ...pieces(text).map((piece) => element("span", piece.mark ? { class: "lm-mark" } : {}, piece.text)),
      );
      row.token.title = readable(text);
      row.before.hidden = off === 0;
      row.before.style.transform = `scaleX(${Math.min(1, before / end)})`;
      row.after.style.transform = `scaleX(${Math.min(1, after / end)})`;
      row.share.textContent = off ? `${percent(before)} → ${percent(after)}` : percent(after);
      const said = off ? `${percent(before)}, now ${percent(after)}` : percent(after);
      row.item.setAttribute("aria-label", `${spoken(text)}: ${said.replaceAll(" %", " percent")}`);
    });
    this.root.classList.toggle("lm-compared", off > 0);
  }
}

// --- the view ------------------------------------------------------------------------------------------

const NARROW = 540; // pixels; below, everything stands in one column

class View {
  constructor(session, el) {
    this.session = session;
    this.hovered = null;
    this.cursor = { query: 0, key: 0 };
    this.makeControls();
    this.overview = new Overview(this);
    this.heatmap = new Heatmap(this);
    this.lines = new Lines(this);
    this.readout = new Readout(this);
    this.bars = [new Bars(), new Bars()];
    this.probe = element("span", { class: "lm-probe", "aria-hidden": "true" });
    this.build();
    this.listen();
    el.append(this.root);
    session.views.add(this);
    this.readLook();
    this.sizes = new ResizeObserver(() => this.root.clientWidth !== this.width && this.drawReading());
    this.sizes.observe(this.root);
    this.drawReading();
  }

  makeControls() {
    const { session } = this;
    const box = () => element("textarea", { rows: 1, dir: "auto", spellcheck: "false", ...FOCUSABLE });
    const select = (name) => element("select", { class: `lm-${name}`, ...FOCUSABLE });
    this.boxes = { a: box(), b: box() };
    this.compareButton = button("Compare");
    this.endButton = button("End comparison");
    this.mode = new Choice(
      "Text to show", [["a", "First"], ["b", "Second"], ["difference", "Difference"]],
      (mode) => session.choose({ mode }),
    );
    this.scale = new Choice(
      "Colour scale", [["fixed", "Fixed"], ["row", "Per row"]],
      (scale) => session.choose({ scale }),
    );
    this.partSelect = select("part");
    this.statisticSelect = select("statistic");
    this.switchButton = button("Switch off");
    this.allOnButton = button("All on");
    this.saveButtons = ["PNG", "SVG", "HTML"].map((kind) => button(kind, { title: `Save as ${kind}` }));
    const text = (name) => element("p", { class: `lm-${name}` });
    this.message = element("p", { class: "lm-message", role: "status" });
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
    this.note = text("note");
    this.caption = text("caption");
    this.meaning = text("meaning");
    this.title = text("title");
    this.numbers = text("numbers");
    this.tintBar = element("canvas", { width: 90, height: 10, "aria-hidden": "true" });
    this.tintEnds = [element("span"), element("span")];
    this.colourBar = element("canvas", { width: 110, height: 10, "aria-hidden": "true" });
    this.colourEnds = [element("span"), element("span")];
    const swatch = element("span", { class: "lm-masked" });
    this.maskedKey = element("span", { class: "lm-masked-key" }, swatch, "masked");
    this.weightWord = element("span");
  }

  build() {
    const div = (name, ...children) => element("div", { class: name }, ...children);
    const label = (text, ...controls) => element("label", {}, text, ...controls);
    this.partLabel = label("Attention", this.partSelect);
    this.fields = {
      a: element("label", { class: "lm-text lm-text-a" }, element("span", {}, "Text"), this.boxes.a),
      b: element("label", { class: "lm-text lm-text-b" }, element("span", {}, "Second text"), this.boxes.b),
    };
    this.comparison = div("lm-row", element("span", {}, "Show"), this.mode.root, this.endButton);
    this.save = element(
      "span", { class: "lm-row lm-save", role: "group", "aria-label": "Save" },
      element("span", {}, "Save"), ...this.saveButtons,
    );
    this.scaleRow = div(
      "lm-row lm-legend",
      this.weightWord, this.scale.root,
      element("span", { class: "lm-row lm-ends" }, this.colourEnds[0], this.colourBar, this.colourEnds[1]),
      this.maskedKey,
    );
    this.pictures = div("lm-pictures", this.heatmap.root, this.lines.root);
    this.right = div(
      "lm-right",
      div("lm-row lm-head", this.title, this.switchButton, this.allOnButton, this.save),
      this.numbers,
      this.readout.root,
      div("lm-scroll", this.pictures),
      this.scaleRow,
      div("lm-nexts", ...this.bars.map((bars) => bars.root)),
    );
    this.main = div(
      "lm-main",
      div(
        "lm-left",
        div("lm-row", label("Heads tinted by", this.statisticSelect)),
        this.meaning,
        div("lm-row lm-legend lm-ends", this.tintEnds[0], this.tintBar, this.tintEnds[1]),
        this.caption,
        div("lm-scroll", this.overview.root),
      ),
      this.right,
    );
    this.root = element(
      "div",
      { class: "llmlab-attention-explorer", role: "group", "aria-label": "Attention explorer" },
      element("style", {}, STYLE),
      div("lm-texts", this.fields.a, this.compareButton),
      this.fields.b,
      div("lm-row lm-controls", this.partLabel, this.comparison),
      this.note,
      this.message,
      this.main,
      this.live,
      this.probe,
    );
  }

  listen() {
    const { session } = this;
    for (const [name, box] of Object.entries(this.boxes)) {
      box.addEventListener("input", () => {
        session.change(session[name], box.value);
        this.fitBox(box);
      });
    }
    // JupyterLab takes every Enter in a cell's output away, at the box itself: it must not get there.
    this.root.addEventListener(
      "beforeinput",
      (event) => event.inputType === "insertLineBreak" && event.stopPropagation(),
      true,
    );
    this.compareButton.addEventListener("click", () => {
      session.compare();
      this.boxes.b.focus();
    });
    this.endButton.addEventListener("click", () => {
      session.endComparison();
      this.compareButton.focus();
    });
    this.partSelect.addEventListener("change", () => {
      session.choose({ part: this.partSelect.selectedIndex, query: null });
    });
    this.statisticSelect.addEventListener("change", () => {
      session.choose({ statistic: this.statisticSelect.value });
    });
    this.switchButton.addEventListener("click", () => {
      session.switch(session.view.layer, session.view.head);
    });
    this.allOnButton.addEventListener("click", () => {
      session.switchAll();
      this.switchButton.focus(); // this button goes
    });
    const [png, svg, html] = this.saveButtons;
    png.addEventListener("click", () => this.savePng());
    svg.addEventListener("click", () => {
      download(new Blob([this.svg()], { type: "image/svg+xml" }), this.fileName("svg"));
    });
    html.addEventListener("click", () => session.askForPage());
    // The page's colours change with its theme, however it does that: the probe has a transition,
    // which the next style sheet of a theme cancels before it ends.
    for (const event of ["transitionrun", "transitionend", "transitioncancel"]) {
      this.probe.addEventListener(event, () => {
        this.looking ??= requestAnimationFrame(() => {
          this.looking = undefined;
          const look = JSON.stringify({ ...this.look, tables: null });
          this.readLook();
          if (look !== JSON.stringify({ ...this.look, tables: null })) this.drawReading();
        });
      });
    }
  }

  // --- colours of the page ---

  readLook() {
    const style = getComputedStyle(this.probe);
    const pen = element("canvas", { width: 1, height: 1 }).getContext("2d");
    pen.fillStyle = style.backgroundColor;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue] = pen.getImageData(0, 0, 1, 1).data;
    this.look = {
      dark: 0.3 * red + 0.59 * green + 0.11 * blue < 128,
      ink: style.color,
      paper: style.backgroundColor,
      muted: style.borderTopColor,
      line: style.borderRightColor,
      accent: style.borderBottomColor,
      shade: style.borderLeftColor,
      alert: style.outlineColor,
      family: style.fontFamily,
    };
    this.look.tables = colourTables(this.look.dark);
  }

  // --- drawing ---

  /** After a text was read, and when sizes or colours change: everything. */
  drawReading() {
    const { session } = this;
    this.drawStatus();
    this.drawControls();
    const before = this.width;
    this.width = this.root.clientWidth;
    this.main.hidden = !session.shown;
    if (!session.shown || !this.width) return; // not on the page yet: the observer will call
    if (!before) this.readLook(); // out of sight there are no colours, or old ones
    this.layout();
    this.overview.draw();
    this.heatmap.draw();
    this.lines.draw();
    this.drawBars();
    this.drawChoice();
    if (this.spokenN !== undefined && this.spokenN !== session.a.n) this.speak(() => this.spokenReading());
    this.spokenN = session.a.n;
    this.drawn("reading");
  }

  layout() {
    const { session, width } = this;
    const narrow = width < NARROW;
    this.root.classList.toggle("lm-narrow", narrow);
    Object.values(this.boxes).forEach((box) => this.fitBox(box));
    const room = narrow ? width - 8 : Math.min(340, Math.max(190, 0.28 * width));
    this.overview.layout(room, session.part);
    this.layoutHead();
  }

  layoutHead() {
    const { shown } = this.session;
    const { pen } = this.heatmap;
    const places = plan({
      width: Math.max(240, this.right.clientWidth - 2),
      rows: shown.rows,
      columns: shown.columns,
      queryLabel: widestLabel(pen, shown.queries, shown, this.look),
      keyLabel: widestLabel(pen, shown.keys, shown, this.look),
    });
    // Room for a sentence and five pairs, so that nothing below moves with the pointer.
    const room = 1 + Math.ceil(1000 / Math.max(240, this.right.clientWidth));
    this.readout.root.style.height = `${1.6 * room}em`;
    this.heatmap.layout(places.heat);
    this.lines.layout(places.lines);
    const { heat, lines } = places;
    this.lines.root.style.transform = `translate(${lines.x}px, ${lines.y}px)`;
    this.pictures.style.width = `${Math.max(heat.width, lines.x + lines.width)}px`;
    this.pictures.style.height = `${Math.max(heat.height, lines.y + lines.height)}px`;
    this.cursor = this.inside(this.cursor);
    if (this.hovered) this.hovered = null;
    this.laidOut = this.tokens;
  }

  inside({ query, key }) {
    const { rows, columns } = this.session.shown;
    return { query: Math.min(query, rows - 1), key: Math.min(key, columns - 1) };
  }

  /** Names the tokens that are shown: where they are the same, the places are too. */
  get tokens() {
    const { a, b, view, shown } = this.session;
    return [a.reading?.n, b.reading?.n, view.part, view.mode, shown.rows, shown.columns].join(" ");
  }

  /** After another head was chosen; `all` when the thumbnails change as well. */
  drawHead(all = false) {
    if (!this.session.shown || !this.width) return;
    if (this.tokens === this.laidOut) {
      this.heatmap.drawCells();
      this.lines.drawLines();
    } else {
      this.layoutHead();
      this.heatmap.draw();
      this.lines.draw();
    }
    if (all) {
      this.overview.draw();
      this.drawControls();
    } else {
      this.overview.drawOver();
    }
    this.drawStatus();
    this.drawChoice();
    this.drawn("head");
  }

  /** What names the choice, and what lies over the pictures. */
  drawChoice() {
    const { session } = this;
    const { view, part } = session;
    this.root.dataset.layer = view.layer;
    this.root.dataset.head = view.head;
    this.root.dataset.mode = view.mode;
    const name = this.nameOf(view.layer, view.head);
    this.title.textContent = session.shown.signed ? `${name}: second − first` : name;
    const numbers = this.statistics(view.layer, view.head);
    this.numbers.textContent = numbers;
    const how = "which token looks at which; arrow keys move, Enter keeps a row";
    this.heatmap.root.setAttribute("aria-label", `${name}: ${how}`);
    const isOff = session.isOff(view.layer, view.head);
    const said = `${name}${isOff ? ", off" : ""}. ${numbers}`;
    if (said !== this.said) this.overview.speak((this.said = said));
    this.scale.set(view.scale);
    this.switchButton.textContent = isOff ? "Switch on" : "Switch off";
    this.switchButton.hidden = !session.canSwitch;
    this.switchButton.setAttribute("aria-disabled", view.head < 0);
    this.allOnButton.hidden = !session.canSwitch || session.off.length === 0;
    this.drawLegends();
    this.drawCaption();
    this.drawLooked();
  }

  nameOf(layer, head) {
    const { part, a } = this.session;
    return headName(layer, head, part) + partName(a.reading.parts, part);
  }

  statistics(layer, head) {
    const { session } = this;
    const parts = session.shownSides.map((side) => session.partOf(side));
    const told = Object.keys(parts[0].statistics).map((name) => {
      const values = parts.map((part) => part.statistic(name, layer, head)?.toFixed(2)).filter(Boolean);
      return `${name} ${values.join("→")}${unitOf(name)}`;
    });
    return told.join(" · ");
  }

  drawLegends() {
    const { session, look } = this;
    const { shown, view } = session;
    const bar = (canvas, table) => {
      const pen = canvas.getContext("2d");
      for (let x = 0; x < canvas.width; x++) {
        pen.fillStyle = css(table[Math.round((x / (canvas.width - 1)) * (table.length - 1))]);
        pen.fillRect(x, 0, 1, canvas.height);
      }
    };
    bar(this.colourBar, shown.signed ? look.tables.difference : look.tables.weight);
    scaleEnds(shown, view.scale).forEach((end, i) => (this.colourEnds[i].textContent = end));
    this.maskedKey.hidden = !shown.causal;
    this.weightWord.textContent = shown.signed ? "Change of weight" : "Weight";
    const { name, peak, signed } = this.overview.tints();
    const marks = `its ${look.dark ? "light" : "dark"} marks`;
    const means = STATISTICS[name] ? `${name}: ${STATISTICS[name][1]}. ` : "";
    this.meaning.textContent = means + (signed
      ? `A square’s background is the change of this number, ${marks} are where the head looks differently.`
      : `A square’s background is this number, ${marks} are where the head looks.`);
    bar(this.tintBar, signed ? look.tables.difference.subarray(135, 376) : look.tables.tint);
    this.tintEnds[0].textContent = signed ? `−${peak.toFixed(2)}` : "0";
    this.tintEnds[1].textContent = `${signed ? "+" : ""}${peak.toFixed(2)}${unitOf(name)}`;
  }

  /** The thumbnail under the pointer, else the chosen one. */
  drawCaption() {
    const { session, overview } = this;
    const [layer, head] = overview.hovered ?? [session.view.layer, session.view.head];
    const { name, value, signed } = overview.tints();
    const number = value(layer, head);
    const text = number === undefined ? "" : written(number, { exact: false, signed });
    const told = text && `: ${text}${unitOf(name)}`;
    const off = session.isOff(layer, head) ? " · off" : "";
    this.caption.textContent = `${headName(layer, head, session.part)}${told}${off}`;
  }

  drawControls() {
    const { session } = this;
    const { view, part } = session;
    const options = (select, names, chosen) => {
      const present = Array.from(select.options, (option) => option.textContent);
      if (present.join("\n") !== names.join("\n")) {
        select.replaceChildren(...names.map((name) => element("option", {}, name)));
      }
      select.selectedIndex = names.indexOf(chosen);
    };
    const parts = session.a.reading?.parts.map(({ name }) => name) ?? [];
    options(this.partSelect, parts, parts[view.part]);
    this.partLabel.hidden = parts.length < 2;
    options(this.statisticSelect, Object.keys(part?.statistics ?? {}), view.statistic);
    this.fields.b.hidden = this.comparison.hidden = !session.comparing;
    this.compareButton.hidden = this.endButton.hidden = session.standalone;
    if (session.comparing) this.compareButton.hidden = true;
    this.mode.set(view.mode);
    this.saveButtons[2].hidden = session.standalone;
    for (const [name, box] of Object.entries(this.boxes)) {
      if (box.value !== session[name].text) {
        box.value = session[name].text;
        this.fitBox(box);
      }
      box.readOnly = session.standalone;
    }
    this.drawNote();
  }

  /** As many lines as the text has, up to four. */
  fitBox(box) {
    box.style.height = "auto";
    if (box.scrollHeight) box.style.height = `${Math.min(box.scrollHeight + 2, 96)}px`;
  }

  drawNote() {
    const { session } = this;
    const notes = [];
    if (session.standalone) {
      notes.push("A saved picture: the model is not here, so the text cannot be changed.");
    }
    const [one, two] = [session.part, session.partOf(session.b)];
    if (session.comparing && one && two) {
      const [rows, others] = [one.queries, two.queries];
      const at = differingPositions(rows, others);
      const shared = Math.min(rows.length, others.length);
      if (rows.length !== others.length) {
        notes.push(`${rows.length} and ${others.length} tokens: compared at the first ${shared} positions.`);
      }
      const named = at.slice(0, 6).map((t) => `${t} (${readable(rows[t], 20)} | ${readable(others[t], 20)})`);
      const same = session.a.reading.text === session.b.reading.text
        ? "Both texts are the same: change a word in the second."
        : "The tokens are the same there.";
      const more = at.length > 6 ? ` and ${at.length - 6} more` : "";
      notes.push(at.length ? `Tokens differ at ${named.join(", ")}${more}.` : same);
    }
    this.note.textContent = notes.join(" ");
    this.note.hidden = notes.length === 0;
  }

  drawStatus() {
    const { session } = this;
    const failed = session.sides.find((side) => side.error !== "" && side.settled);
    const which = failed === session.b ? "Second text: " : "";
    const text = session.status || (failed ? which + failed.error : "");
    if (this.message.textContent !== text) this.message.textContent = text;
    this.message.classList.toggle("lm-failed", Boolean(failed) && !session.status);
    this.root.classList.toggle("lm-old", Boolean(failed) || session.status !== "");
    // For those who watch from outside: is this what was asked for?
    this.root.dataset.settled = session.settled;
  }

  drawOff() {
    if (!this.session.shown || !this.width) return;
    this.overview.draw();
    this.drawChoice();
    this.drawStatus();
  }

  drawBars() {
    const { session } = this;
    const both = session.comparing && session.b.reading;
    this.bars[0].draw(session.a.reading, both ? ", first text" : "");
    this.bars[1].draw(both ? session.b.reading : null, ", second text");
  }

  // --- what is looked at ---

  /** A cell, a query or a key; where nothing is pointed at, the row that is kept. */
  get looked() {
    const { query } = this.session.view;
    if (this.hovered) return this.hovered;
    const kept = query !== null && query < this.session.shown.rows;
    return { query: kept ? query : null, key: null };
  }

  hover(found) {
    if (found?.query === this.hovered?.query && found?.key === this.hovered?.key) return;
    this.hovered = found;
    this.drawHover();
  }

  drawHover() {
    if (!this.session.shown || !this.width) return;
    this.drawLooked();
    this.drawn("hover");
  }

  drawLooked() {
    const { looked } = this;
    this.heatmap.drawOver(looked);
    this.lines.drawOver(looked);
    this.readout.draw(looked);
    this.session.wantRow(looked.query);
  }

  pin(query) {
    const { session } = this;
    session.choose({ query: session.view.query === query ? null : query });
  }

  moveCursor(cell) {
    this.cursor = this.inside(cell);
    this.hover(this.cursor);
    this.speak(() => this.spokenCell());
  }

  /** Tell a screen reader the newest of what happens, not everything. */
  speak(words) {
    this.words = words;
    this.speaking ??= setTimeout(() => {
      this.speaking = undefined;
      this.live.textContent = this.words();
    }, SPOKEN_MS);
  }

  spokenReading() {
    const { part, a } = this.session;
    const read = `Read ${part.rows} tokens.`;
    const { next } = a.reading;
    if (!next) return read;
    const [share, i] = next.after.reduce((best, p, k) => (p > best[0] ? [p, k] : best), [-1, 0]);
    return `${read} Most likely next: ${spoken(next.tokens[i])}, ${percent(share).replace(" %", " percent")}`;
  }

  spokenCell() {
    const { shown } = this.session;
    const { query, key } = this.inside(this.cursor);
    const [one, other] = [spoken(shown.queries[query]), spoken(shown.keys[key])];
    if (shown.masked(query, key)) return `${one} cannot look at ${other}: masked`;
    const { numbers } = this.session.row(query);
    return `${one} looks at ${other}: ${written(numbers[key], { exact: false, signed: shown.signed })}`;
  }

  // --- files ---

  fileName(kind) {
    const { layer, head, mode } = this.session.view;
    const what = layer < 0 ? "mean" : `layer${layer}-${head < 0 ? "mean" : `head${head}`}`;
    const { part, a } = this.session;
    const named = partName(a.reading.parts, part).toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
    return `attention${named.replace(/-$/, "")}-${what}${mode === "difference" ? "-difference" : ""}.${kind}`;
  }

  /** On white, whatever the page's colours are: it goes into documents. */
  svg() {
    const { session } = this;
    const { shown, view } = session;
    const tables = colourTables(false);
    const quoted = (text) => `“${readable(text, 90).replaceAll("␣", " ")}”`;
    const texts = session.shownSides.map((side) => quoted(side.reading.text));
    let image;
    if (shown.rows * shown.columns > 64 * 64) {
      const canvas = element("canvas", { width: shown.columns, height: shown.rows });
      const pen = canvas.getContext("2d");
      const data = pen.createImageData(shown.columns, shown.rows);
      shown.paint(new Uint32Array(data.data.buffer), tables, view.scale);
      pen.putImageData(data, 0, 0);
      image = canvas.toDataURL();
    }
    const notes = [...texts, this.numbers.textContent].filter(Boolean);
    return svgPicture({ shown, title: this.title.textContent, notes, scale: view.scale, tables, image });
  }

  async savePng() {
    const picture = new Image();
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(this.svg())}`;
    await picture.decode();
    const canvas = element("canvas", { width: 2 * picture.width, height: 2 * picture.height });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => download(blob, this.fileName("png")), "image/png");
  }

  // --- ends ---

  drawn(what) {
    const { a, shown } = this.session;
    const detail = { what, n: a.n, text: a.reading.text, coarse: shown.coarse };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  close() {
    clearTimeout(this.speaking);
    cancelAnimationFrame(this.looking);
    this.sizes.disconnect();
    this.session.views.delete(this);
    this.root.remove(); // its listeners go with it
  }
}

const DARK = `
  --lm-ink: var(--jp-ui-font-color1, #eeeeee);
  --lm-muted: var(--jp-ui-font-color2, #b4b4b4);
  --lm-paper: var(--jp-layout-color0, #1e1e1e);
  --lm-line: var(--jp-border-color1, #5a5a5a);
  --lm-shade: var(--jp-layout-color2, #2b2b2b);
  --lm-bar: #7fb2ff; --lm-before: #7a7a7a; --lm-accent: #ffb54a; --lm-alert: #ff8f7f;
`;

const STYLE = `
.llmlab-attention-explorer {
  --lm-ink: var(--jp-ui-font-color1, #1f1f1f);
  --lm-muted: var(--jp-ui-font-color2, #5f5f5f);
  --lm-paper: var(--jp-layout-color0, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-shade: var(--jp-layout-color2, #efefef);
  --lm-bar: #2f55b5; --lm-before: #a9a9a9; --lm-accent: #d95f02; --lm-alert: #b3261e;
  --lm-code: var(--jp-code-font-family, ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace);
  position: relative; box-sizing: border-box; max-width: 1180px; padding: 4px;
  color: var(--lm-ink); background: var(--lm-paper);
  font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
body[data-jp-theme-light="false"] .llmlab-attention-explorer { ${DARK} }
@media (prefers-color-scheme: dark) {
  body:not([data-jp-theme-light]) .llmlab-attention-explorer { ${DARK} }
}
@media (forced-colors: active) {
  body .llmlab-attention-explorer.llmlab-attention-explorer {
    --lm-ink: CanvasText; --lm-muted: CanvasText; --lm-paper: Canvas; --lm-line: GrayText; --lm-shade: Canvas;
    --lm-bar: Highlight; --lm-before: GrayText; --lm-accent: Highlight; --lm-alert: LinkText;
  }
}
.llmlab-attention-explorer [hidden] { display: none !important; }
.llmlab-attention-explorer p { margin: 0; }
.llmlab-attention-explorer .lm-probe {
  position: absolute; width: 0; height: 0; overflow: hidden; forced-color-adjust: none;
  color: var(--lm-ink); background-color: var(--lm-paper); outline-color: var(--lm-alert);
  border-color: var(--lm-muted) var(--lm-line) var(--lm-accent) var(--lm-shade);
  font-family: var(--lm-code);
  transition: color 1ms, background-color 1ms, border-color 1ms, outline-color 1ms;
}
.llmlab-attention-explorer :is(textarea, button, select) {
  box-sizing: border-box; color: inherit; background: var(--lm-paper);
  border: 1px solid var(--lm-line); border-radius: 4px; font: inherit;
}
.llmlab-attention-explorer button { padding: 2px 9px; cursor: pointer; }
.llmlab-attention-explorer select { padding: 1px 2px; }
.llmlab-attention-explorer button:hover { background: var(--lm-shade); }
.llmlab-attention-explorer [aria-disabled="true"] { color: var(--lm-muted); border-color: var(--lm-shade); cursor: default; }
.llmlab-attention-explorer :is(textarea, button, select, .lm-overview, .lm-heatmap):focus-visible {
  outline: 2px solid var(--lm-accent); outline-offset: 1px;
}
.llmlab-attention-explorer .lm-texts { display: flex; align-items: start; gap: 8px; }
.llmlab-attention-explorer .lm-text { display: flex; align-items: start; gap: 8px; flex: 1; min-width: 0; }
.llmlab-attention-explorer .lm-text > span { padding-top: 5px; white-space: nowrap; }
.llmlab-attention-explorer .lm-texts > button { padding-block: 5px; }
.llmlab-attention-explorer .lm-text-b { margin-top: 6px; }
.llmlab-attention-explorer textarea {
  display: block; flex: 1; min-width: 0; padding: 4px 7px; resize: vertical; overflow: auto;
  font: 13px/1.45 var(--lm-code);
}
.llmlab-attention-explorer textarea:read-only { background: var(--lm-shade); }
.llmlab-attention-explorer .lm-row { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; }
.llmlab-attention-explorer .lm-controls { margin: 6px 0 0; }
.llmlab-attention-explorer .lm-row label { display: flex; align-items: center; gap: 6px; }
.llmlab-attention-explorer .lm-choice { display: inline-flex; }
.llmlab-attention-explorer .lm-choice button {
  border-radius: 0; margin-inline-start: -1px; position: relative;
}
.llmlab-attention-explorer .lm-choice button:first-child { border-radius: 4px 0 0 4px; margin: 0; }
.llmlab-attention-explorer .lm-choice button:last-child { border-radius: 0 4px 4px 0; }
.llmlab-attention-explorer .lm-choice [aria-pressed="true"] {
  color: var(--lm-ink); background: var(--lm-shade); border-color: var(--lm-ink); z-index: 1; font-weight: 600;
}
.llmlab-attention-explorer .lm-message { min-height: 1.4em; color: var(--lm-muted); overflow-wrap: anywhere; }
.llmlab-attention-explorer .lm-failed { color: var(--lm-alert); }
.llmlab-attention-explorer .lm-note { margin-top: 4px; color: var(--lm-muted); overflow-wrap: anywhere; }
.llmlab-attention-explorer .lm-main { display: flex; align-items: start; gap: 24px; }
.llmlab-attention-explorer .lm-left { flex: none; min-width: 190px; max-width: 100%; }
.llmlab-attention-explorer .lm-right { flex: 1; min-width: 0; }
.llmlab-attention-explorer.lm-narrow .lm-main { flex-direction: column; gap: 12px; }
.llmlab-attention-explorer.lm-narrow .lm-right { width: 100%; }
.llmlab-attention-explorer .lm-scroll { overflow: auto; padding: 2px; margin: -2px; }
.llmlab-attention-explorer .lm-legend { color: var(--lm-muted); font-size: 12px; }
.llmlab-attention-explorer .lm-left .lm-legend { margin: 4px 0 0; }
.llmlab-attention-explorer .lm-ends canvas { border-radius: 2px; box-shadow: 0 0 0 1px var(--lm-line); }
.llmlab-attention-explorer .lm-caption {
  min-height: 2.8em; margin: 2px 0; overflow-wrap: anywhere;
  font-size: 12px; font-variant-numeric: tabular-nums; width: 0; min-width: 100%;
}
.llmlab-attention-explorer .lm-meaning {
  margin: 3px 0; overflow-wrap: anywhere; color: var(--lm-muted); font-size: 12px; width: 0; min-width: 100%;
}
.llmlab-attention-explorer :is(.lm-overview, .lm-heatmap, .lm-lines) {
  position: relative; flex: none; border-radius: 3px;
}
.llmlab-attention-explorer :is(.lm-overview, .lm-heatmap, .lm-lines) canvas {
  position: absolute; left: 0; top: 0; width: 100%; height: 100%; touch-action: manipulation;
}
.llmlab-attention-explorer :is(.lm-overview, .lm-heatmap, .lm-lines) canvas + canvas { cursor: crosshair; }
.llmlab-attention-explorer .lm-title { font-size: 15px; font-weight: 600; margin-inline-end: 4px; }
.llmlab-attention-explorer .lm-save { margin-inline-start: auto; color: var(--lm-muted); }
.llmlab-attention-explorer .lm-save button { color: var(--lm-ink); }
.llmlab-attention-explorer .lm-numbers {
  min-height: 1.4em; overflow-wrap: anywhere;
  color: var(--lm-muted); font-size: 12px; font-variant-numeric: tabular-nums;
}
.llmlab-attention-explorer .lm-readout {
  height: 4.8em; margin: 4px 0; overflow: auto; contain: strict; white-space: pre-wrap; line-height: 1.6;
  font-variant-numeric: tabular-nums;
}
.llmlab-attention-explorer .lm-pair { display: inline-block; white-space: nowrap; margin-inline-end: 6px; }
.llmlab-attention-explorer .lm-token { font-family: var(--lm-code); white-space: pre; }
.llmlab-attention-explorer .lm-readout .lm-token {
  padding: 0 3px; border-radius: 3px; background: var(--lm-shade);
}
.llmlab-attention-explorer :is(.lm-muted, .lm-mark) { color: var(--lm-muted); }
.llmlab-attention-explorer .lm-readout .lm-mark { color: inherit; }
.llmlab-attention-explorer .lm-pictures { position: relative; }
.llmlab-attention-explorer .lm-pictures .lm-lines { position: absolute; left: 0; top: 0; }
.llmlab-attention-explorer .lm-right .lm-legend { margin: 8px 0; gap: 4px 10px; }
.llmlab-attention-explorer .lm-masked-key { display: inline-flex; align-items: center; gap: 5px; }
.llmlab-attention-explorer .lm-masked {
  width: 16px; height: 10px; box-shadow: 0 0 0 1px var(--lm-line);
  background: repeating-linear-gradient(-45deg, var(--lm-shade) 0 2.5px, var(--lm-line) 2.5px 3.5px);
}
.llmlab-attention-explorer .lm-nexts { display: flex; flex-wrap: wrap; gap: 8px 24px; }
.llmlab-attention-explorer .lm-next { flex: 1 1 260px; min-width: 0; max-width: 640px; }
.llmlab-attention-explorer .lm-bars { list-style: none; margin: 2px 0 0; padding: 0; }
.llmlab-attention-explorer .lm-bars li {
  display: grid; grid-template-columns: minmax(5em, 24%) 1fr auto; align-items: center; gap: 8px;
  margin: 0; line-height: 18px;
}
.llmlab-attention-explorer .lm-bars .lm-token { overflow: hidden; text-overflow: ellipsis; text-align: left; }
.llmlab-attention-explorer .lm-track {
  display: flex; flex-direction: column; gap: 1px; height: 12px; background: var(--lm-shade);
  border-radius: 2px; overflow: hidden;
}
.llmlab-attention-explorer .lm-fill { flex: 1; background: var(--lm-bar); transform-origin: left; }
.llmlab-attention-explorer .lm-before { background: var(--lm-before); }
.llmlab-attention-explorer .lm-share {
  min-width: 4em; text-align: end; font-variant-numeric: tabular-nums; font-size: 12px;
}
.llmlab-attention-explorer .lm-compared .lm-share { min-width: 9em; }
.llmlab-attention-explorer .lm-key {
  display: inline-block; width: 10px; height: 10px; border-radius: 2px; background: var(--lm-bar);
}
.llmlab-attention-explorer .lm-key.lm-before { background: var(--lm-before); }
.llmlab-attention-explorer.lm-old .lm-main { opacity: 0.55; }
.llmlab-attention-explorer .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
}
@media (forced-colors: active) {
  .llmlab-attention-explorer .lm-choice [aria-pressed="true"] {
    forced-color-adjust: none; background: Highlight; color: HighlightText;
  }
  .llmlab-attention-explorer .lm-track { box-sizing: border-box; border: 1px solid ButtonText; }
  .llmlab-attention-explorer :is(.lm-fill, .lm-key, .lm-masked) { forced-color-adjust: none; }
}
@media (prefers-reduced-motion: no-preference) {
  .llmlab-attention-explorer .lm-fill { transition: transform 120ms ease-out; }
  .llmlab-attention-explorer .lm-main { transition: opacity 120ms; }
}
`;

// One call per model: what the closure holds is shared by all views of that model.
export default () => {
  let session;
  return {
    initialize({ model }) {
      session = new Session(model);
      return () => session.close();
    },
    render({ el }) {
      const view = new View(session, el);
      return () => view.close();
    },
  };
};
