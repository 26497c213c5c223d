// The browser's half of llmlab.viz.EmbeddingMap.
//
// The kernel sends all words and vectors once; look-up, neighbours, plane and drawing happen here
// and need no kernel. One Session per model holds what all its views share: the words on the map,
// those the plane was fitted to, and the steps back. A View is one drawing of that session.
//
// A word or a sum is a list of terms, pairs of a sign (1 or -1) and a word's id.

const NEIGHBOURS = 8;
const MOST_SHOWN = 200;
const MOST_TERMS = 20;
const FEWEST_FITTED = 3;
const NEAR_SPELLINGS = 3;
const LONGEST_TYPO = 40;
const NO_SPREAD = 1e-3; // words that stand closer than this on average stand on one spot
const UNDO_STEPS = 200;
const HOVER_MS = 80; // a pointer that only passes over a word does not choose it
const SPOKEN_MS = 500; // a screen reader is told of the newest word at most this often
const SHOWN_CHARACTERS = 60; // of one word
const SIGNS = { "+": 1, "-": -1, "−": -1, "–": -1 };
const YOURS = "yours";
const SUM = "sums";

// --- words and vectors ----------------------------------------------------------------------------

/** V distinct words and a row of C whole numbers each; only the direction of a row counts. */
export class WordSpace {
  constructor(words, rows) {
    this.words = words;
    this.rows = rows;
    this.width = rows.length / words.length;
    this.ids = new Map(words.map((word, id) => [word, id]));
    this.norms = new Float64Array(words.length);
    for (let id = 0, at = 0; id < words.length; id++) {
      let sum = 0;
      for (let c = 0; c < this.width; c++, at++) sum += rows[at] * rows[at];
      this.norms[id] = Math.sqrt(sum);
    }
  }

  find(word) {
    return this.ids.get(word) ?? this.ids.get(word.toLowerCase());
  }

  row(id) {
    return Float64Array.from(this.rows.subarray(id * this.width, (id + 1) * this.width));
  }

  /** The text that stands for a word or a sum: "king - man + woman". */
  name(terms, write = (word) => word) {
    if (terms.length === 1) return write(this.words[terms[0][1]]);
    const text = terms.map(([sign, id]) => `${sign > 0 ? "+" : "-"} ${write(this.words[id])}`);
    return text.join(" ").replace(/^\+ /, "");
  }

  /** The sum of the terms' vectors of length 1. */
  sum(terms) {
    const result = new Float64Array(this.width);
    for (const [sign, id] of terms) {
      for (let c = 0; c < this.width; c++) {
        result[c] += (sign * this.rows[id * this.width + c]) / this.norms[id];
      }
    }
    return result;
  }

  unit(terms) {
    const result = this.sum(terms);
    const norm = length(result);
    return result.map((number) => number / norm);
  }

  /** Pairs of id and cosine of the nearest words, nearest first, those of the sum left out. */
  neighbours(terms, count) {
    // Whole numbers multiply and add without rounding: equal vectors tie as they do in Python.
    const query = terms.length === 1 ? this.row(terms[0][1]) : this.sum(terms);
    const norm = length(query);
    const { rows, width, norms } = this;
    const left = new Set(terms.map(([, id]) => id));
    const best = [];
    let least = -Infinity; // what a word must exceed once there are enough
    for (let id = 0, at = 0; id < norms.length; id++) {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += rows[at++] * query[c];
      const cosine = sum / (norms[id] * norm);
      if (!(cosine > least) || left.has(id)) continue;
      // Ids come in rising order, so an equal cosine never displaces one that is already in.
      let place = Math.min(best.length, count - 1);
      while (place > 0 && best[place - 1][1] < cosine) {
        best[place] = best[place - 1];
        place--;
      }
      best[place] = [id, cosine];
      if (best.length === count) least = best[count - 1][1];
    }
    return best;
  }

  /** At most three words spelled nearly like a text: two slips apart, then longer ones. */
  near(text) {
    const letters = [...text.toLowerCase()];
    if (letters.length === 0 || letters.length > LONGEST_TYPO) return [];
    const most = letters.length < 5 ? 1 : 2;
    const found = [];
    for (const word of this.words) {
      // Only a word with letters beyond 16 bits is shorter than its length says.
      const wide = WIDE.test(word);
      if (!wide && Math.abs(word.length - letters.length) > most) continue;
      const distance = slips(letters, wide ? [...word] : word, most);
      const rank = 2 * distance + (word.startsWith(letters[0]) ? 0 : 1);
      if (distance <= most) found.push([rank, word]);
    }
    found.sort((a, b) => a[0] - b[0]); // stable: equal ones stay in the order of the list
    const result = found.slice(0, NEAR_SPELLINGS).map(([, word]) => word);
    if (letters.length < 3) return result;
    const start = letters.join("");
    for (const word of this.words) {
      if (result.length === NEAR_SPELLINGS) break;
      if (word.startsWith(start) && !result.includes(word)) result.push(word);
    }
    return result;
  }

  /** king-man+woman is a sum too, as long as it is no word and all its pieces are. */
  split(token) {
    if (token in SIGNS || this.find(token) !== undefined) return [token];
    const pieces = token.split(/([-+−–])/).filter((piece) => piece !== "");
    return pieces.every((piece) => piece in SIGNS || this.find(piece) !== undefined)
      ? pieces
      : [token];
  }

  /**
   * What was typed: `entries` that are words or sums, `unknown` words, what is `wrong`, and the
   * pieces of text that are `left` because they are neither.
   */
  read(text) {
    const result = { entries: [], unknown: [], wrong: [], left: [] };
    for (const whole of [text, text.trim()]) {
      const id = this.find(whole);
      if (id !== undefined) return { ...result, entries: [[[1, id]]] };
    }
    for (const part of text.split(/[,\n]/)) this.readPart(part.trim(), result);
    return result;
  }

  readPart(part, result) {
    if (part === "") return;
    const whole = this.find(part);
    if (whole !== undefined) {
      result.entries.push([[1, whole]]);
      return;
    }
    const pieces = part.split(/\s+/).flatMap((token) => this.split(token));
    if (pieces.length > 1 && pieces.some((piece) => piece in SIGNS)) {
      this.readSum(part, pieces, result);
      return;
    }
    for (const word of pieces) {
      const id = this.find(word);
      if (id !== undefined) {
        result.entries.push([[1, id]]);
      } else {
        result.unknown.push(word);
        result.left.push(word);
      }
    }
  }

  readSum(part, pieces, result) {
    if (pieces.length % 2) pieces = ["+", ...pieces];
    const names = pieces.filter((_, place) => place % 2);
    const signs = pieces.filter((_, place) => place % 2 === 0);
    const shape = names.length > 1 && names.length <= MOST_TERMS;
    if (!shape || !signs.every((sign) => sign in SIGNS)) {
      const rule = "write a sign between two words, as in king - man + woman";
      result.wrong.push(`“${quoted(part)}” is no sum of 2 to ${MOST_TERMS} words; ${rule}`);
      result.left.push(part);
      return;
    }
    const unknown = names.filter((name) => this.find(name) === undefined);
    if (unknown.length) {
      result.unknown.push(...unknown);
      result.left.push(part);
      return;
    }
    const terms = names.map((name, place) => [SIGNS[signs[place]], this.find(name)]);
    if (length(this.sum(terms)) < 1e-6) {
      result.wrong.push(`“${quoted(part)}” leaves nothing: the sum is zero; take other words`);
      result.left.push(part);
    } else {
      result.entries.push(terms);
    }
  }
}

const WIDE = /[\ud800-\udfff]/;

/** The optimal string alignment distance, or a number above `most` where it is larger. */
export function slips(a, b, most) {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let before = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j], before[j - 2] + 1);
      }
    }
    if (Math.min(...row) > most) return most + 1;
    [before, last] = [last, row];
  }
  return last[b.length];
}

function dot(a, b) {
  let sum = 0;
  for (let c = 0; c < a.length; c++) sum += a[c] * b[c];
  return sum;
}

function length(vector) {
  return Math.sqrt(dot(vector, vector));
}

// --- the plane --------------------------------------------------------------------------------------

function turn(one, other, cos, sin) {
  for (let k = 0; k < one.length; k++) {
    const kept = one[k];
    one[k] = cos * kept - sin * other[k];
    other[k] = sin * kept + cos * other[k];
  }
}

/** Eigenvalues of a symmetric matrix, largest first, with a vector each: Jacobi's rotations. */
export function eigen(matrix) {
  const size = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const vectors = a.map((_, i) => Float64Array.from({ length: size }, (_, j) => (i === j ? 1 : 0)));
  const scale = Math.sqrt(a.reduce((sum, row) => sum + dot(row, row), 0));
  for (let sweep = 0; sweep < 60; sweep++) {
    let rest = 0;
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) rest += a[p][q] ** 2;
    if (Math.sqrt(rest) <= 1e-15 * scale) break;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        if (a[p][q] === 0) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const cos = 1 / Math.hypot(t, 1);
        const sin = t * cos;
        for (let k = 0; k < size; k++) {
          const row = a[k];
          const kp = row[p];
          const kq = row[q];
          row[p] = cos * kp - sin * kq;
          row[q] = sin * kp + cos * kq;
        }
        turn(a[p], a[q], cos, sin);
        turn(vectors[p], vectors[q], cos, sin);
      }
    }
  }
  const pairs = vectors.map((vector, i) => ({ value: a[i][i], vector }));
  return pairs.sort((x, y) => y.value - x.value);
}

function meanOf(units, width) {
  const mean = new Float64Array(width);
  for (const unit of units) for (let c = 0; c < width; c++) mean[c] += unit[c] / units.length;
  return mean;
}

/** The principal components of vectors without their mean: variance times N, and direction. */
function components(off, width) {
  const few = off.length <= width;
  const side = few ? off : Array.from({ length: width }, (_, c) => off.map((row) => row[c]));
  const found = eigen(side.map((a) => side.map((b) => dot(a, b))));
  return found.map(({ value, vector }) => {
    if (!few) return { value, axis: vector };
    const axis = new Float64Array(width);
    off.forEach((row, n) => row.forEach((number, c) => (axis[c] += vector[n] * number)));
    const norm = length(axis) || 1;
    return { value, axis: axis.map((number) => number / norm) };
  });
}

/**
 * The plane of the first two principal components: a `centre` and two `axes` of length 1, or 0
 * without spread. Each axis points to the first vector that lies at least a tenth as far out as
 * the farthest; where components are equally large this also says how they are turned.
 */
export function fitPlane(units, width) {
  const axes = [];
  const centre = meanOf(units, width);
  const off = units.map((unit) => unit.map((number, c) => number - centre[c]));
  const found = components(off, width);
  for (let start = 0; axes.length < 2 && start < found.length; ) {
    const { value } = found[start];
    if (!(Math.sqrt(Math.max(0, value)) > NO_SPREAD * Math.sqrt(units.length))) break;
    const equal = found
      .slice(start)
      .filter((other) => value - other.value <= 1e-9 * found[0].value);
    const scores = off.map((row) => equal.map(({ axis }) => dot(row, axis)));
    for (let turn = 0; turn < equal.length && axes.length < 2; turn++) {
      const lengths = scores.map(length);
      const first = lengths.findIndex((number) => number >= 0.1 * Math.max(...lengths));
      const direction = scores[first].map((number) => number / lengths[first]);
      const axis = new Float64Array(width);
      equal.forEach((one, g) => one.axis.forEach((number, c) => (axis[c] += direction[g] * number)));
      axes.push(axis);
      for (const score of scores) {
        const along = dot(score, direction);
        direction.forEach((number, g) => (score[g] -= along * number));
      }
    }
    start += equal.length;
  }
  while (axes.length < 2) axes.push(new Float64Array(width));
  return { centre, axes };
}

export function place(plane, unit) {
  const off = unit.map((number, c) => number - plane.centre[c]);
  return plane.axes.map((axis) => dot(off, axis));
}

/** The share of the words' variance that each axis shows; 0 without spread. */
export function shares(plane, units) {
  if (units.length === 0) return [0, 0];
  const mean = meanOf(units, plane.centre.length);
  const off = units.map((unit) => unit.map((number, c) => number - mean[c]));
  const total = off.reduce((sum, row) => sum + dot(row, row), 0);
  if (total < units.length * NO_SPREAD ** 2) return [0, 0];
  return plane.axes.map((axis) => off.reduce((sum, row) => sum + dot(row, axis) ** 2, 0) / total);
}

// --- labels and text ---------------------------------------------------------------------------------

function* places([x, y], [w, h]) {
  for (const gap of [7, 14, 24]) {
    yield [x + gap, y - h / 2];
    yield [x - gap - w, y - h / 2];
    yield [x - w / 2, y - gap - h];
    yield [x - w / 2, y + gap];
    yield [x + gap / 2, y - gap / 2 - h];
    yield [x + gap / 2, y + gap / 2];
    yield [x - gap / 2 - w, y - gap / 2 - h];
    yield [x - gap / 2 - w, y + gap / 2];
  }
}

function overlap(left, top, w, h, otherLeft, otherTop, otherW, otherH) {
  const across = Math.min(left + w, otherLeft + otherW) - Math.max(left, otherLeft);
  if (across <= 0) return 0;
  const down = Math.min(top + h, otherTop + otherH) - Math.max(top, otherTop);
  return down > 0 ? across * down : 0;
}

/** Where labels go so that they cover little: each in turn takes the free place nearest to its point. */
export function placeLabels(points, sizes, width, height) {
  const corners = new Array(points.length);
  for (let pass = 0; pass < 2; pass++) {
    for (let i = 0; i < points.length; i++) {
      const [w, h] = sizes[i];
      let least = Infinity;
      let rank = 0;
      let best;
      for (const corner of places(points[i], sizes[i])) {
        const [left, top] = corner;
        const across = Math.max(0, -left) + Math.max(0, left + w - width);
        const down = Math.max(0, -top) + Math.max(0, top + h - height);
        let cost = 0.5 * rank++ + 100 * (across + down);
        for (let j = 0; j < points.length && cost < least; j++) {
          if (j === i) continue;
          cost += overlap(left, top, w, h, points[j][0] - 5, points[j][1] - 5, 10, 10);
          const other = corners[j];
          if (!other) continue;
          cost += 2 * overlap(left, top, w, h, other[0], other[1], sizes[j][0], sizes[j][1]);
        }
        if (cost < least) {
          least = cost;
          best = corner;
        }
      }
      corners[i] = best;
    }
  }
  return corners;
}

// Whatever has no picture of its own or, like a bidirectional override, garbles its neighbours.
const UNSEEN = /[\p{C}\p{Z}]/u;
const MARKS = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "\\r" };

/** A word with everything unseen written out. */
export function readable(word, longest = SHOWN_CHARACTERS) {
  let result = "";
  let count = 0;
  for (const character of word) {
    if (count++ === longest) return `${result}…`;
    const code = character.codePointAt(0).toString(16);
    const escape = code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
    result += MARKS[character] ?? (UNSEEN.test(character) ? escape : character);
  }
  return result;
}

/** The same within a sentence, where a space is just a space. */
function quoted(text) {
  return readable(text, 40).replaceAll("␣", " ");
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Round numbers between two ends, about `count` of them. */
export function ticks(from, to, count) {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const result = [];
  for (let n = Math.ceil(from / step); n * step <= to; n++) result.push(n * step || 0);
  return { step, values: result };
}

/** Bytes from the kernel may start anywhere in their buffer; 16-bit numbers need an even place. */
export function integers(view) {
  const { buffer, byteOffset: at, byteLength: size } = view;
  return at % 2 ? new Int16Array(buffer.slice(at, at + size)) : new Int16Array(buffer, at, size / 2);
}

// --- the session: the words on the map, the plane, and the steps back ---------------------------------

export class Session {
  constructor(model) {
    const parsed = (name) => JSON.parse(new TextDecoder().decode(model.get(name)));
    this.model = model;
    this.space = new WordSpace(parsed("vocabulary"), integers(model.get("vectors")));
    this.groups = parsed("groups"); // pairs of a name and ids
    this.groupOf = new Map(this.groups.flatMap(([, ids], g) => ids.map((id) => [id, g])));
    this.history = [];
    this.views = new Set();
    this.nearest = new Map();
    this.adopt(model.get("marks"));
    this.onMarks = () => this.receive();
    model.on("change:marks", this.onMarks);
  }

  close() {
    this.model.off("change:marks", this.onMarks);
  }

  /** Take these words; the plane is fitted again only when it must be. */
  adopt({ shown, fitted }) {
    this.shown = shown;
    if (JSON.stringify(fitted) !== JSON.stringify(this.fitted)) {
      this.fitted = fitted;
      this.plane = fitPlane(fitted.map((terms) => this.space.unit(terms)), this.space.width);
    }
    const units = shown.map((terms) => this.space.unit(terms));
    this.names = shown.map((terms) => this.space.name(terms));
    this.positions = units.map((unit) => place(this.plane, unit));
    this.shares = shares(this.plane, units);
  }

  /** Whatever lies in the picture, shown or not: removing a word does not zoom. */
  get corners() {
    const fixed = this.fitted.map((terms) => place(this.plane, this.space.unit(terms)));
    return [...this.positions, ...fixed];
  }

  get marks() {
    return { shown: this.shown, fitted: this.fitted };
  }

  get fits() {
    return JSON.stringify(this.shown) === JSON.stringify(this.fitted);
  }

  /** Python put other words on the map. */
  receive() {
    const marks = this.model.get("marks");
    if (JSON.stringify(marks) === JSON.stringify(this.marks)) return;
    this.remember();
    this.adopt(marks);
    this.redraw();
  }

  remember() {
    this.history.push(this.marks);
    if (this.history.length > UNDO_STEPS) this.history.shift();
  }

  /** Takes effect here at once; Python hears of it when there is a kernel to hear it. */
  move(marks) {
    this.adopt(marks);
    this.model.set("marks", this.marks);
    try {
      this.model.save_changes();
    } catch {
      // The kernel is gone, the map is not.
    }
    this.redraw();
  }

  show(shown) {
    this.remember();
    const names = new Set(shown.map((terms) => this.space.name(terms)));
    const left = this.fitted.filter((terms) => names.has(this.space.name(terms))).length;
    this.move({ shown, fitted: left < FEWEST_FITTED ? shown : this.fitted });
  }

  /** Put words on the map: the names of those that are `added`, there `already`, or `left` out. */
  add(entries) {
    const done = { added: [], already: [], left: [] };
    const shown = [...this.shown];
    const names = new Set(this.names);
    for (const terms of entries) {
      const name = this.space.name(terms);
      if (names.has(name)) {
        done.already.push(name);
      } else if (shown.length === MOST_SHOWN) {
        done.left.push(name);
      } else {
        done.added.push(name);
        names.add(name);
        shown.push(terms);
      }
    }
    if (done.added.length) this.show(shown);
    return done;
  }

  remove(name) {
    this.show(this.shown.filter((_, i) => this.names[i] !== name));
  }

  clear() {
    if (this.shown.length) this.show([]);
  }

  fit() {
    if (this.fits) return;
    this.remember();
    this.move({ shown: this.shown, fitted: this.shown });
  }

  undo() {
    if (this.history.length) this.move(this.history.pop());
  }

  /** Nearest words of a shown word or sum, computed once. */
  neighbours(name) {
    const terms = this.shown[this.names.indexOf(name)];
    if (!this.nearest.has(name)) {
      this.nearest.set(name, this.space.neighbours(terms, NEIGHBOURS));
    }
    return this.nearest.get(name);
  }

  /** The group's name and the class that gives its colour and shape. */
  group(terms) {
    if (terms.length > 1) return { name: SUM, style: "sum" };
    if (this.groups.length === 0) return { name: "", style: "0" };
    const g = this.groupOf.get(terms[0][1]);
    return g === undefined ? { name: YOURS, style: YOURS } : { name: this.groups[g][0], style: `${g}` };
  }

  /** A shown name as people read it. */
  written(name) {
    const terms = this.shown[this.names.indexOf(name)];
    return terms ? this.space.name(terms, readable).replaceAll(" - ", " − ") : readable(name);
  }

  redraw() {
    for (const view of this.views) view.draw();
  }
}

// --- the view --------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// JupyterLab takes arrow keys, Enter and letters for itself unless the focused element says so.
const FOCUSABLE = { "data-lm-suppress-shortcuts": "true" };

const CIRCLE = "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z";
const SHAPES = {
  0: CIRCLE,
  1: "M-4.5 -4.5h9v9h-9z",
  2: "M0 -6L5.5 4.5h-11z",
  3: "M0 -6L6 0L0 6L-6 0z",
  4: "M0 6L5.5 -4.5h-11z",
  [YOURS]: CIRCLE,
  sum: "M0 -7.5L1.8 -2.4L7.1 -2.3L2.9 0.9L4.4 6.1L0 3L-4.4 6.1L-2.9 0.9L-7.1 -2.3L-1.8 -2.4z",
};

function marker(style) {
  const shape = drawing("path", { d: SHAPES[style], class: `lm-shape lm-style-${style}` });
  return drawing("svg", { class: "lm-marker", viewBox: "-8 -8 16 16", "aria-hidden": "true" }, shape);
}

const MARGIN = { left: 48, right: 8, top: 8, bottom: 42 };
const ROOM = { across: 40, down: 22 }; // between the outermost words and the edge

class View {
  constructor(session, el) {
    this.session = session;
    this.options = new Map(); // by name
    this.rows = [];
    this.current = session.names[0] ?? null;
    this.chosenRow = 0;
    const button = (text) => element("button", { type: "button", ...FOCUSABLE }, text);
    this.box = element("input", {
      type: "text", dir: "auto", spellcheck: "false", autocomplete: "off", autocapitalize: "off",
      placeholder: "pear, paris or king - man + woman", ...FOCUSABLE,
    });
    this.addButton = button("Add");
    this.undoButton = button("Undo");
    this.clearButton = button("Clear");
    this.fitButton = button("Fit plane to shown words");
    this.removeButton = button("Remove");
    this.message = element("p", { class: "lm-message", role: "status" });
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
    this.axes = drawing("g");
    this.lines = drawing("g", { class: "lm-lines" });
    this.canvas = drawing("svg", { class: "lm-back", "aria-hidden": "true" }, this.axes, this.lines);
    this.list = element("div", {
      class: "lm-words",
      role: "listbox",
      "aria-label": "Words on the map; arrow keys move, Delete removes",
    });
    this.map = element("div", { class: "lm-map" }, this.canvas, this.list);
    this.heading = element("p", { class: "lm-heading" });
    this.neighbours = element("ol", {
      class: "lm-neighbours",
      role: "list",
      "aria-label": "Nearest words; Enter adds one to the map",
    });
    this.legend = element("ul", { class: "lm-legend", "aria-label": "Groups" });
    this.note = element("p", { class: "lm-note" });
    this.root = element(
      "div",
      { class: "llmlab-embedding-map", role: "group", "aria-label": "Embedding map" },
      element("style", {}, STYLE),
      element(
        "div",
        { class: "lm-controls" },
        element("label", {}, "Words or a sum", this.box),
        this.addButton, this.undoButton, this.clearButton, this.fitButton,
      ),
      this.message,
      element(
        "div",
        { class: "lm-main" },
        this.map,
        element(
          "div",
          { class: "lm-panel" },
          element("div", { class: "lm-top" }, this.heading, this.removeButton),
          this.neighbours, this.note, this.legend,
        ),
      ),
      this.live,
    );
    this.listen();
    el.append(this.root);
    session.views.add(this);
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.map);
    this.draw();
  }

  listen() {
    const { session } = this;
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.addButton.addEventListener("click", () => this.submit());
    this.undoButton.addEventListener("click", () => this.step(() => session.undo()));
    this.clearButton.addEventListener("click", () => this.step(() => session.clear()));
    this.fitButton.addEventListener("click", () => {
      if (session.fits) return;
      this.step(() => session.fit());
      this.say(`The plane is fitted to the shown words. ${this.honest()}`);
    });
    this.removeButton.addEventListener("click", () => this.remove(this.current));
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.list.addEventListener("focusin", (event) => this.choose(event.target.dataset.word));
    this.list.addEventListener("click", (event) => this.optionAt(event)?.focus());
    // A word that moves under a resting pointer was not meant.
    let pointer = "";
    const at = (event) => `${event.screenX} ${event.screenY}`;
    this.root.addEventListener("pointermove", (event) => (pointer = at(event)));
    this.list.addEventListener("pointerover", (event) => {
      clearTimeout(this.hovering);
      const option = this.optionAt(event);
      if (option && at(event) !== pointer) this.hovering = setTimeout(() => this.choose(option.dataset.word), HOVER_MS);
    });
    this.list.addEventListener("pointerout", () => clearTimeout(this.hovering));
    this.neighbours.addEventListener("keydown", (event) => this.walkNeighbours(event));
  }

  optionAt(event) {
    return event.target.closest(".lm-word");
  }

  step(change) {
    this.say("");
    change();
  }

  say(text) {
    this.message.textContent = text;
    this.message.classList.remove("lm-failed");
  }

  // --- what people do ---

  submit() {
    const { session, box } = this;
    if (box.value.trim() === "") return;
    const { entries, unknown, wrong, left } = session.space.read(box.value);
    const done = session.add(entries);
    const said = this.told(done);
    if (unknown.length) said.push(this.unknown(unknown));
    said.push(...wrong.map((why) => `${why}.`));
    this.say(said.join(" "));
    this.message.classList.toggle("lm-failed", left.length > 0 || done.left.length > 0);
    box.value = [...left, ...done.left].join(", ");
    const newest = done.added.at(-1) ?? done.already.at(-1);
    if (newest !== undefined) this.choose(newest);
  }

  told({ added, already, left }) {
    const names = (list) => list.map((name) => this.session.written(name)).join(", ");
    const said = [];
    if (added.length) said.push(`Added: ${names(added)}.`);
    if (already.length) said.push(`On the map already: ${names(already)}.`);
    if (left.length) said.push(`The map holds ${MOST_SHOWN} words: remove some first.`);
    return said;
  }

  unknown(words) {
    const { space } = this.session;
    const told = words.slice(0, 3).map((word) => {
      const near = space.near(word).map((other) => readable(other)).join(", ");
      return `“${quoted(word)}”${near && ` (near spellings: ${near})`}`;
    });
    const rest = words.length > 3 ? ` and ${words.length - 3} more` : "";
    const count = space.words.length.toLocaleString("en");
    return `Not among the ${count} words: ${told.join(", ")}${rest}.`;
  }

  remove(name) {
    const { session } = this;
    if (name === null) return;
    const place = session.names.indexOf(name);
    const focused = this.options.get(name).contains(document.activeElement);
    const next = session.names[place + 1] ?? session.names[place - 1];
    const written = session.written(name);
    session.remove(name);
    this.say(`Removed: ${written}.`);
    if (next !== undefined) this.choose(next);
    if (focused) (this.options.get(next) ?? this.box).focus();
  }

  walk(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { names } = this.session;
    const at = names.indexOf(this.current);
    const last = names.length - 1;
    const steps = {
      ArrowUp: at - 1, ArrowLeft: at - 1, ArrowDown: at + 1, ArrowRight: at + 1, Home: 0, End: last,
    };
    if (event.key === "Delete" || event.key === "Backspace") this.remove(this.current);
    else if (event.key in steps) {
      this.options.get(names[Math.min(last, Math.max(0, steps[event.key]))]).focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  walkNeighbours(event) {
    const last = this.rows.length - 1;
    const at = this.chosenRow;
    const steps = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: last };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.rows[Math.min(last, Math.max(0, steps[event.key]))].button.focus();
  }

  /** A neighbour that is not on the map goes there; one that is becomes the chosen word. */
  pick(rank) {
    const { session } = this;
    const [id] = session.neighbours(this.current)[rank];
    const { added, already } = session.add([[[1, id]]]);
    if (already.length) this.options.get(already[0]).focus();
    else if (added.length) this.say(this.told({ added, already, left: [] }).join(" "));
    else this.say(`The map holds ${MOST_SHOWN} words: remove some first.`);
  }

  // --- what people see ---

  /** Look at a word: its neighbours, and lines to those on the map. */
  choose(name) {
    if (name === undefined || !this.options.has(name)) return;
    this.current = name;
    this.drawChoice();
    this.speaking ??= setTimeout(() => {
      this.speaking = undefined;
      this.live.textContent = this.summary();
    }, SPOKEN_MS);
  }

  summary() {
    if (this.current === null) return "";
    const { session } = this;
    const nearest = session.neighbours(this.current).map(
      ([id, cosine]) => `${readable(session.space.words[id])} ${cosine.toFixed(2)}`,
    );
    return `Nearest to ${session.written(this.current)}: ${nearest.join(", ")}`;
  }

  draw() {
    const { session } = this;
    this.fitOptions();
    if (!this.options.has(this.current)) this.current = session.names.at(-1) ?? null;
    this.undoButton.setAttribute("aria-disabled", session.history.length === 0);
    this.clearButton.setAttribute("aria-disabled", session.shown.length === 0);
    this.fitButton.setAttribute("aria-disabled", session.fits);
    const fitted = session.fitted.length;
    this.note.textContent = session.fits
      ? this.honest()
      : `${this.honest()} It was fitted to ${fitted} words; other words come or go without moving it.`;
    this.drawLegend();
    this.drawMap();
    this.drawChoice();
  }

  honest() {
    const { names, shares: both } = this.session;
    if (names.length === 0) return "Type words to place them on the map.";
    if (names.length === 1) return "One word alone: type others to compare it with.";
    if (both[0] + both[1] === 0) return `The ${names.length} words stand on one spot of the plane.`;
    const share = percent(both[0] + both[1]);
    return `The plane shows ${share} of the spread of the ${names.length} words; the rest lies in directions no flat map can show.`;
  }

  /** Options are kept while their word is shown, so focus and place stay with it. */
  fitOptions() {
    const { session } = this;
    for (const [name, option] of this.options) {
      if (session.names.includes(name)) continue;
      option.remove();
      this.options.delete(name);
    }
    session.names.forEach((name, i) => {
      if (!this.options.has(name)) this.options.set(name, this.option(session.shown[i], name));
      const option = this.options.get(name);
      option.dataset.x = session.positions[i][0];
      option.dataset.y = session.positions[i][1];
      if (this.list.children[i] !== option) this.list.insertBefore(option, this.list.children[i] ?? null);
    });
  }

  option(terms, name) {
    const { session } = this;
    const group = session.group(terms);
    const written = session.written(name);
    const label = element("bdi", { class: "lm-label" }, written);
    const said = group.name ? `${written}, ${readable(group.name)}` : written;
    const option = element(
      "div",
      { class: "lm-word", role: "option", "aria-label": said, title: written, ...FOCUSABLE },
      marker(group.style),
      label,
    );
    option.dataset.word = name;
    return option;
  }

  drawLegend() {
    const { session } = this;
    const present = new Map();
    if (session.groups.length) {
      for (const [g, [name]] of session.groups.entries()) present.set(`${g}`, name);
    }
    for (const terms of session.shown) {
      const { name, style } = session.group(terms);
      if (name) present.set(style, name);
    }
    this.legend.hidden = present.size === 0;
    this.legend.replaceChildren(
      ...[...present].map(([style, name]) =>
        element("li", {}, marker(style), element("bdi", {}, readable(name))),
      ),
    );
  }

  drawMap() {
    const { session } = this;
    const width = this.map.clientWidth;
    const height = this.map.clientHeight;
    if (!width || !height) return; // not on the page yet: the observer will call
    const frame = frameOf(session.corners, width, height);
    this.canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.axes.replaceChildren(...axesOf(frame, session.shares));
    this.points = session.positions.map(frame.point);
    const labels = session.names.map((name) => this.options.get(name).lastChild);
    const sizes = labels.map((label) => [label.offsetWidth, label.offsetHeight]);
    const inside = this.points.map(([x, y]) => [x - MARGIN.left, y - MARGIN.top]);
    const corners = placeLabels(inside, sizes, frame.width, frame.height);
    session.names.forEach((name, i) => {
      const [x, y] = this.points[i];
      this.options.get(name).style.transform = `translate(${x}px, ${y}px)`;
      labels[i].style.left = `${corners[i][0] - inside[i][0]}px`;
      labels[i].style.top = `${corners[i][1] - inside[i][1]}px`;
    });
  }

  drawChoice() {
    const { session, current } = this;
    for (const [name, option] of this.options) {
      option.tabIndex = name === current ? 0 : -1;
      option.setAttribute("aria-selected", name === current);
    }
    this.removeButton.hidden = current === null;
    const nearest = current === null ? [] : session.neighbours(current);
    this.drawLines(nearest);
    this.drawNeighbours(nearest);
    if (current === null) {
      this.heading.textContent = "No words on the map";
      return;
    }
    const written = session.written(current);
    const count = session.space.words.length.toLocaleString("en");
    this.removeButton.setAttribute("aria-label", `Remove ${written}`);
    this.heading.replaceChildren(
      "Nearest to ", element("bdi", { class: "lm-current" }, written), ` of ${count} words`,
    );
  }

  drawLines(nearest) {
    const { session, points } = this;
    this.lines.replaceChildren();
    const from = points?.[session.names.indexOf(this.current)];
    if (!from) return;
    for (const [id] of nearest) {
      const to = points[session.names.indexOf(session.space.words[id])];
      if (!to) continue;
      this.lines.append(drawing("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1] }));
    }
  }

  drawNeighbours(nearest) {
    const { session } = this;
    while (this.rows.length < nearest.length) {
      this.rows.push(this.row(this.rows.length));
      this.neighbours.append(this.rows.at(-1).item);
    }
    for (const row of this.rows.splice(nearest.length)) row.item.remove();
    this.chooseRow(Math.min(this.chosenRow, Math.max(0, nearest.length - 1)));
    nearest.forEach(([id, cosine], rank) => {
      const row = this.rows[rank];
      const word = session.space.words[id];
      const here = session.names.includes(word);
      row.word.textContent = readable(word);
      row.fill.style.transform = `scaleX(${Math.min(1, Math.max(0, cosine))})`;
      row.cosine.textContent = cosine.toFixed(2).replace("-", "−");
      row.button.classList.toggle("lm-here", here);
      const what = here ? "on the map" : "not on the map";
      row.button.title = `${readable(word)}: ${what}`;
      row.button.setAttribute("aria-label", `${readable(word)}, cosine ${cosine.toFixed(2)}, ${what}`);
    });
  }

  /** Rows are made once and refilled, so the focus stays where it is. */
  row(rank) {
    const word = element("bdi", { class: "lm-neighbour" });
    const fill = element("span", { class: "lm-fill" });
    const cosine = element("span", { class: "lm-cosine" });
    const track = element("span", { class: "lm-track" }, fill);
    const button = element("button", { type: "button", ...FOCUSABLE }, word, track, cosine);
    button.addEventListener("click", () => {
      button.focus(); // not every browser focuses a clicked button
      this.pick(rank);
    });
    button.addEventListener("focus", () => this.chooseRow(rank));
    return { item: element("li", {}, button), button, word, fill, cosine };
  }

  /** One row is the list's tab stop; the arrow keys move between rows. */
  chooseRow(rank) {
    this.rows.forEach((row, other) => (row.button.tabIndex = other === rank ? 0 : -1));
    this.chosenRow = rank;
  }

  close() {
    clearTimeout(this.speaking);
    clearTimeout(this.hovering);
    this.sizes.disconnect();
    this.session.views.delete(this);
    this.root.remove(); // its listeners go with it
  }
}

/** The part of the plane in the picture, one unit equally long both ways, and its pixels. */
function frameOf(corners, fullWidth, fullHeight) {
  const width = fullWidth - MARGIN.left - MARGIN.right;
  const height = fullHeight - MARGIN.top - MARGIN.bottom;
  const ends = [0, 1].map((axis) => {
    const numbers = corners.map((corner) => corner[axis]);
    return numbers.length ? [Math.min(...numbers), Math.max(...numbers)] : [0, 0];
  });
  const [[left, right], [low, high]] = ends;
  const across = Math.max(1, width - 2 * ROOM.across) / Math.max(right - left, 0.05);
  const down = Math.max(1, height - 2 * ROOM.down) / Math.max(high - low, 0.05);
  const scale = Math.min(across, down);
  const middle = [(left + right) / 2, (low + high) / 2];
  const centre = [MARGIN.left + width / 2, MARGIN.top + height / 2];
  const point = ([x, y]) => [
    centre[0] + (x - middle[0]) * scale,
    centre[1] - (y - middle[1]) * scale,
  ];
  return { width, height, middle, scale, point };
}

function axesOf({ width, height, middle, scale, point }, both) {
  const [left, top, right, bottom] = [
    MARGIN.left, MARGIN.top, MARGIN.left + width, MARGIN.top + height,
  ];
  const nodes = [drawing("path", { class: "lm-axis", d: `M${left} ${top}V${bottom}H${right}` })];
  const text = (attributes, content) => nodes.push(drawing("text", attributes, content));
  [width, height].forEach((size, axis) => {
    const half = size / 2 / scale;
    const { step, values } = ticks(middle[axis] - half, middle[axis] + half, Math.max(2, size / 70));
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (const value of values) {
      const [x, y] = point(axis ? [middle[0], value] : [value, middle[1]]);
      const zero = value === 0 ? " lm-zero" : "";
      const d = axis ? `M${left} ${y}H${right}` : `M${x} ${top}V${bottom}`;
      nodes.push(drawing("path", { class: `lm-grid${zero}`, d }));
      const at = axis
        ? { x: left - 5, y: y + 4, "text-anchor": "end" }
        : { x, y: bottom + 14, "text-anchor": "middle" };
      text(at, value.toFixed(digits).replace("-", "−"));
    }
  });
  const share = (k, of) => (both[0] + both[1] ? ` (${percent(both[k])}${of})` : "");
  const [across, down] = [left + width / 2, top + height / 2];
  text(
    { x: across, y: bottom + 34, "text-anchor": "middle" },
    `first principal component${share(0, " of the variance")}`,
  );
  text(
    { x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${down}) rotate(-90)` },
    `second principal component${share(1, "")}`,
  );
  return nodes;
}

const DARK = `
  --lm-ink: var(--jp-ui-font-color1, #eeeeee);
  --lm-muted: var(--jp-ui-font-color2, #bdbdbd);
  --lm-paper: var(--jp-layout-color1, #1e1e1e);
  --lm-line: var(--jp-border-color1, #616161);
  --lm-grid: var(--jp-border-color2, #424242);
  --lm-shade: var(--jp-layout-color2, #333333);
  --lm-bar: var(--jp-brand-color1, #64b5f6);
  --lm-error: #ef9a9a;
  --lm-0: #56b4e9; --lm-1: #e69f00; --lm-2: #2fc89a; --lm-3: #e29bc4; --lm-4: #f0e442;
  --lm-other: #d0d0d0;
`;

// The colours of groups are told apart with every kind of colour vision.
const STYLE = `
.llmlab-embedding-map {
  --lm-ink: var(--jp-ui-font-color1, #212121);
  --lm-muted: var(--jp-ui-font-color2, #616161);
  --lm-paper: var(--jp-layout-color1, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-grid: var(--jp-border-color2, #e0e0e0);
  --lm-shade: var(--jp-layout-color2, #eeeeee);
  --lm-bar: var(--jp-brand-color1, #1976d2);
  --lm-error: #b71c1c;
  --lm-0: #0072b2; --lm-1: #c04f00; --lm-2: #00795a; --lm-3: #a03c78; --lm-4: #7a5c00;
  --lm-other: #4d4d4d;
  position: relative; box-sizing: border-box; max-width: 62em; padding: 4px;
  color: var(--lm-ink); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
body[data-jp-theme-light="false"] .llmlab-embedding-map { ${DARK} }
@media (prefers-color-scheme: dark) {
  body:not([data-jp-theme-light]) .llmlab-embedding-map { ${DARK} }
}
.llmlab-embedding-map [hidden] { display: none; }
.llmlab-embedding-map :is(input, button) {
  box-sizing: border-box; color: inherit; background: var(--lm-paper);
  border: 1px solid var(--lm-line); border-radius: 3px; font: inherit; padding: 3px 8px;
}
.llmlab-embedding-map input::placeholder { color: var(--lm-muted); opacity: 1; }
.llmlab-embedding-map button { cursor: pointer; }
.llmlab-embedding-map [aria-disabled="true"] { color: var(--lm-muted); cursor: default; }
.llmlab-embedding-map :is(input, button):focus-visible,
.llmlab-embedding-map .lm-word:focus-visible .lm-label {
  outline: 2px solid var(--lm-bar); outline-offset: 1px;
}
.llmlab-embedding-map .lm-controls { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; }
.llmlab-embedding-map .lm-controls label {
  display: flex; align-items: center; gap: 6px; flex: 1 1 20em; white-space: nowrap;
}
.llmlab-embedding-map input { flex: 1; min-width: 8em; }
.llmlab-embedding-map .lm-message { min-height: 1.4em; margin: 4px 0; overflow-wrap: anywhere; }
.llmlab-embedding-map .lm-failed { color: var(--lm-error); }
.llmlab-embedding-map .lm-main { display: flex; flex-wrap: wrap; gap: 8px 16px; }
.llmlab-embedding-map .lm-map {
  position: relative; flex: 3 1 340px; min-width: 0; height: clamp(300px, 34em, 420px);
  overflow: hidden; background: var(--lm-paper);
}
.llmlab-embedding-map .lm-panel { flex: 1 1 200px; min-width: 0; }
.llmlab-embedding-map .lm-back { position: absolute; inset: 0; width: 100%; height: 100%; }
.llmlab-embedding-map .lm-back text { fill: var(--lm-ink); font-size: 12px; }
.llmlab-embedding-map .lm-axis { fill: none; stroke: var(--lm-line); }
.llmlab-embedding-map .lm-grid { stroke: var(--lm-grid); }
.llmlab-embedding-map .lm-zero { stroke: var(--lm-line); }
.llmlab-embedding-map .lm-lines line { stroke: var(--lm-bar); stroke-width: 1.5; opacity: 0.8; }
.llmlab-embedding-map .lm-word {
  position: absolute; left: 0; top: 0; width: 0; height: 0; outline: none; cursor: pointer;
}
.llmlab-embedding-map .lm-marker { width: 16px; height: 16px; vertical-align: middle; overflow: visible; }
.llmlab-embedding-map .lm-word .lm-marker { position: absolute; left: -8px; top: -8px; }
.llmlab-embedding-map .lm-label {
  position: absolute; max-width: 14em; padding: 0 2px; overflow: hidden; border-radius: 3px;
  white-space: nowrap; text-overflow: ellipsis; line-height: 1.2;
  text-shadow: 0 0 2px var(--lm-paper), 0 0 2px var(--lm-paper), 0 0 3px var(--lm-paper);
}
.llmlab-embedding-map .lm-word[aria-selected="true"] { z-index: 1; }
.llmlab-embedding-map .lm-word[aria-selected="true"] .lm-label {
  background: var(--lm-paper); box-shadow: 0 0 0 1px var(--lm-bar); text-shadow: none;
}
.llmlab-embedding-map .lm-style-0 { fill: var(--lm-0); }
.llmlab-embedding-map .lm-style-1 { fill: var(--lm-1); }
.llmlab-embedding-map .lm-style-2 { fill: var(--lm-2); }
.llmlab-embedding-map .lm-style-3 { fill: var(--lm-3); }
.llmlab-embedding-map .lm-style-4 { fill: var(--lm-4); }
.llmlab-embedding-map .lm-style-sum { fill: var(--lm-other); }
.llmlab-embedding-map .lm-style-yours { fill: var(--lm-paper); stroke: var(--lm-other); stroke-width: 2; }
.llmlab-embedding-map .lm-top { display: flex; align-items: start; gap: 8px; }
.llmlab-embedding-map .lm-heading { 
  flex: 1; min-width: 0; min-height: 2.8em; margin: 0 0 4px; overflow-wrap: anywhere;
}
.llmlab-embedding-map .lm-current { font-weight: 600; }
.llmlab-embedding-map .lm-neighbours { list-style: none; margin: 0; padding: 0; min-height: 13em; }
.llmlab-embedding-map .lm-neighbours li { margin: 0; }
.llmlab-embedding-map .lm-neighbours button {
  display: grid; grid-template-columns: minmax(5em, 45%) 1fr 2.6em; align-items: center; gap: 6px;
  width: 100%; padding: 1px 4px; border-color: transparent; text-align: start; background: none;
}
.llmlab-embedding-map .lm-neighbours button:hover { background: var(--lm-shade); }
.llmlab-embedding-map .lm-neighbours button:focus-visible { outline-offset: -2px; }
.llmlab-embedding-map .lm-neighbour { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.llmlab-embedding-map .lm-here .lm-neighbour { font-weight: 600; }
.llmlab-embedding-map .lm-track { height: 10px; background: var(--lm-shade); }
.llmlab-embedding-map .lm-fill {
  display: block; height: 100%; background: var(--lm-bar); transform-origin: left;
}
.llmlab-embedding-map .lm-cosine { text-align: end; font-variant-numeric: tabular-nums; }
.llmlab-embedding-map .lm-note { margin: 6px 0; }
.llmlab-embedding-map .lm-legend {
  display: flex; flex-wrap: wrap; gap: 2px 14px; list-style: none; margin: 0; padding: 0;
}
.llmlab-embedding-map .lm-legend li { margin: 0; display: flex; align-items: center; gap: 4px; }
.llmlab-embedding-map .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
}
@media (forced-colors: active) {
  .llmlab-embedding-map .lm-track { box-sizing: border-box; border: 1px solid ButtonText; }
  .llmlab-embedding-map .lm-fill { forced-color-adjust: none; background: Highlight; }
  .llmlab-embedding-map .lm-shape { forced-color-adjust: none; fill: CanvasText; }
  .llmlab-embedding-map .lm-style-yours { fill: Canvas; stroke: CanvasText; }
  .llmlab-embedding-map .lm-lines line { forced-color-adjust: none; stroke: Highlight; opacity: 1; }
  .llmlab-embedding-map :is(.lm-axis, .lm-grid) { forced-color-adjust: none; stroke: CanvasText; }
  .llmlab-embedding-map .lm-grid { opacity: 0.3; }
  .llmlab-embedding-map .lm-back text { forced-color-adjust: none; fill: CanvasText; }
  .llmlab-embedding-map .lm-word[aria-selected="true"] .lm-label { border: 1px solid Highlight; }
}
@media (prefers-reduced-motion: no-preference) {
  .llmlab-embedding-map .lm-word { transition: transform 300ms ease-out; }
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
