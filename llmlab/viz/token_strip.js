// The browser's half of llmlab.viz.TokenStrip.
//
// The kernel sends the vocabulary and the rule for cutting once; everything else happens here. A
// text is merged once, in full, and for every place between two bytes we keep the number of merges
// from which on no token starts there (llmlab/viz/cutting.py says why that is enough), so a move
// of the slider only reads these numbers again. One Session per model holds what all its views
// share; a View is one drawing of it, which keeps boxes only for the rows in sight.

const SHOWN_CHARACTERS = 20_000; // of a text; more would make typing slow
const SHOWN_LABEL = 60; // characters of one token
const TELL_MS = 250; // Python hears of a text or a number of merges after such a pause
const SPOKEN_MS = 700; // a screen reader is told of the newest numbers at most this often
const SHOWN_STEPS = 8; // of how a token was put together
const NEVER = 2 ** 32 - 1;
// Okabe and Ito's colours, less black and the darker blue; token_strip.py has the same.
const COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00"];
const TINT = "61"; // the share of the colour inside a box, 38 percent, as the end of a hex colour

const ROW_PX = 42; // a row of boxes with the gap below it
const STRIP_PX = 10 * ROW_PX; // a strip of more rows scrolls
const SHOWN_ROWS = STRIP_PX / ROW_PX + 1; // the first and the last in part
const GAP_PX = 3;
const SIDES_PX = 10; // padding and border of a box, both sides together

// --- bytes, and what people read and hear of them -------------------------------------------------

// Bytes are kept in strings of the characters U+0000 to U+00FF: such strings are quick as keys.
export function bytesOf(text) {
  const bytes = new TextEncoder().encode(text);
  let result = "";
  for (let i = 0; i < bytes.length; i += 4096) {
    result += String.fromCharCode(...bytes.subarray(i, i + 4096));
  }
  return result;
}

export function hex(bytes) {
  return [...bytes].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
}

/** Half a surrogate pair cannot travel as utf-8; it becomes the replacement character. */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The characters of a token, and as numbers the bytes that are no whole character. */
function characters(bytes) {
  const result = [];
  for (let i = 0; i < bytes.length; ) {
    const first = bytes.charCodeAt(i);
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const part = bytes.slice(i, i + length);
    try {
      result.push(STRICT.decode(Uint8Array.from(part, (byte) => byte.charCodeAt(0))));
      i += length;
    } catch {
      result.push(first);
      i++;
    }
  }
  return result;
}

const MARKS = {
  " ": ["␣", "space"],
  "\n": ["⏎", "newline"],
  "\t": ["⇥", "tab"],
  "\r": ["\\r", "carriage return"],
};
// Whatever has no picture of its own or, like a bidirectional override, garbles its neighbours.
const UNSEEN = /[\p{C}\p{Z}]/u;

/** A token as pieces to draw: `text`, and `mark` true where the text stands for something unseen. */
export function pieces(bytes) {
  const result = [];
  for (const [place, character] of characters(bytes).entries()) {
    if (place === SHOWN_LABEL) {
      result.push({ text: "…", mark: true, words: "and so on" });
      break;
    }
    const last = result.at(-1);
    if (typeof character === "number") {
      const code = character.toString(16);
      result.push({ text: `\\x${code}`, mark: true, words: `byte ${code.toUpperCase()}` });
    } else if (character in MARKS) {
      const [text, words] = MARKS[character];
      result.push({ text, mark: true, words });
    } else if (UNSEEN.test(character)) {
      const code = character.codePointAt(0).toString(16);
      const text = code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
      result.push({ text, mark: true, words: `character ${code.toUpperCase()}` });
    } else if (last && !last.mark) {
      last.text += character;
      last.words = last.text;
    } else {
      result.push({ text: character, mark: false, words: character });
    }
  }
  return result;
}

export const label = (bytes) => pieces(bytes).map((piece) => piece.text).join("");
export const spoken = (bytes) => pieces(bytes).map((piece) => piece.words).join(" ");
export const grouped = (number) => number.toLocaleString("en");

function counted(number, noun) {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// --- byte-level BPE ---------------------------------------------------------------------------------

/** Tokens by id, ids by bytes, and merges (tokens of two and more bytes) numbered from 1. */
export class Vocabulary {
  constructor(view) {
    const count = view.getUint32(0, true);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    this.size = count;
    this.ids = new Map();
    this.mergeOf = new Map();
    this.longest = 0;
    let start = 4 * (count + 1);
    for (let id = 0; id < count; id++) {
      const length = view.getUint32(4 * (id + 1), true);
      const token = String.fromCharCode(...bytes.subarray(start, start + length));
      start += length;
      if (length) this.ids.set(token, id);
      if (length > 1) this.mergeOf.set(token, this.mergeOf.size + 1);
      this.longest = Math.max(this.longest, length);
    }
    let id = count;
    for (let byte = 0; byte < 256; byte++) {
      const token = String.fromCharCode(byte);
      if (!this.ids.has(token)) this.ids.set(token, id++);
    }
  }

  get merges() {
    return this.mergeOf.size;
  }
}

/** Pieces whose ends no token crosses; what no rule matches stays. */
export function split(text, rule) {
  const result = [];
  let end = 0;
  for (const match of text.matchAll(rule)) {
    if (match.index > end) result.push(text.slice(end, match.index));
    if (match[0]) result.push(match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) result.push(text.slice(end));
  return result;
}

/** The smallest number first. */
class Heap {
  constructor() {
    this.items = [];
  }

  push(item) {
    const { items } = this;
    let place = items.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (items[parent] <= item) break;
      items[place] = items[parent];
      place = parent;
    }
    items[place] = item;
  }

  pop() {
    const { items } = this;
    const first = items[0];
    const item = items.pop();
    if (items.length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1] < items[child]) child++;
      if (items[child] >= item) break;
      items[place] = items[child];
      place = child;
    }
    items[place] = item;
    return first;
  }
}

/**
 * For every place in a piece: `gone`, the number of merges from which on no token starts there,
 * and `order`, which step of the full run removes it (0 for none).
 */
export function merge(bytes, vocabulary) {
  const n = bytes.length;
  const gone = new Uint32Array(n).fill(NEVER);
  const order = new Uint32Array(n);
  const end = Uint32Array.from({ length: n }, (_, i) => i + 1); // of the part that starts here
  const before = Int32Array.from({ length: n }, (_, i) => i - 1); // where the part before starts
  const pair = new Uint32Array(n); // the merge that joins the part that starts here with the next
  const heap = new Heap();
  const look = (start) => {
    const middle = end[start];
    const stop = middle < n ? end[middle] : start;
    const joins = stop > start && stop <= start + vocabulary.longest;
    pair[start] = joins ? (vocabulary.mergeOf.get(bytes.slice(start, stop)) ?? 0) : 0;
    if (pair[start]) heap.push(pair[start] * 2 ** 24 + start);
  };
  for (let start = 0; start < n; start++) look(start);
  let reached = 0;
  let steps = 0;
  while (heap.items.length) {
    const item = heap.pop();
    const start = item % 2 ** 24;
    if (pair[start] !== (item - start) / 2 ** 24) continue; // one of the two has joined another
    // In a vocabulary that BPE made, ranks only rise; in any other, one waits for the highest.
    reached = Math.max(reached, pair[start]);
    const middle = end[start];
    gone[middle] = reached;
    order[middle] = ++steps;
    pair[middle] = 0;
    end[start] = end[middle];
    if (end[start] < n) before[end[start]] = start;
    look(start);
    if (before[start] >= 0) look(before[start]);
  }
  // A piece that is a token is taken whole, as tiktoken does, even if no merges lead there.
  const whole = vocabulary.mergeOf.get(bytes) ?? NEVER;
  for (let place = 1; place < n; place++) gone[place] = Math.min(gone[place], whole);
  return { bytes, gone, order };
}

/** The merges that put a token together: `merge`, `left` and `right` bytes; null if none did. */
export function history({ bytes, order }, start, end, vocabulary) {
  let places = [];
  for (let place = start + 1; place < end; place++) places.push(place);
  const left = new Set([start, ...places, end]);
  places = places.sort((a, b) => order[a] - order[b]);
  const result = [];
  for (const place of places) {
    let from = place - 1;
    while (!left.has(from)) from--;
    let to = place + 1;
    while (!left.has(to)) to++;
    left.delete(place);
    const number = vocabulary.mergeOf.get(bytes.slice(from, to));
    if (order[place] === 0 || number === undefined) return null;
    result.push({ merge: number, left: bytes.slice(from, place), right: bytes.slice(place, to) });
  }
  return result;
}

/** A text, merged once; `cut` gives its tokens after any number of merges. */
export class Merged {
  /** `known` maps pieces to what `merge` made of them; only the pieces of this text are kept. */
  constructor(text, rule, vocabulary, known = new Map()) {
    this.vocabulary = vocabulary;
    this.shown = text.length <= SHOWN_CHARACTERS ? text : wholeCharacters(text, SHOWN_CHARACTERS);
    this.characters = count(this.shown);
    this.missing = this.shown === text ? 0 : count(text) - this.characters;
    this.known = new Map();
    this.pieces = [];
    let length = 0;
    for (const piece of split(this.shown, rule)) {
      let merged = this.known.get(piece) ?? known.get(piece);
      merged ??= merge(bytesOf(piece), vocabulary);
      this.known.set(piece, merged);
      this.pieces.push({ start: length, merged });
      length += merged.bytes.length;
    }
    this.bytes = this.pieces.map(({ merged }) => merged.bytes).join("");
    this.gone = new Uint32Array(length);
    for (const { start, merged } of this.pieces) this.gone.set(merged.gone, start);
  }

  /** Where the tokens start, one more entry for the end, and their ids. */
  cut(merges) {
    const { gone, bytes, vocabulary } = this;
    const starts = [];
    for (let place = 0; place < gone.length; place++) if (gone[place] > merges) starts.push(place);
    const ids = new Array(starts.length);
    starts.push(gone.length);
    for (let i = 0; i < ids.length; i++) {
      ids[i] = vocabulary.ids.get(bytes.slice(starts[i], starts[i + 1]));
    }
    return { starts, ids };
  }

  history(start, end) {
    const place = lastUpTo(this.pieces, start, (piece) => piece.start);
    const piece = this.pieces[place];
    return history(piece.merged, start - piece.start, end - piece.start, this.vocabulary);
  }
}

function wholeCharacters(text, length) {
  return text.slice(0, /[\ud800-\udbff]/.test(text[length - 1]) ? length - 1 : length);
}

function count(text) {
  let result = 0;
  for (const _ of text) result++;
  return result;
}

/** The last place in a rising list whose key is at most `value`; 0 when there is none. */
function lastUpTo(list, value, key = (item) => item) {
  let low = 0;
  let high = list.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (key(list[middle]) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The place of every token's colour in the palette; neighbours always differ. */
export function colours(ids) {
  const result = new Array(ids.length);
  for (let i = 0; i < ids.length; i++) {
    const place = ids[i] % COLOURS.length;
    result[i] = i > 0 && result[i - 1] === place ? (place + 1) % COLOURS.length : place;
  }
  return result;
}

/** Where the slider can stop: every small number, then steps of about 3 percent, then the last. */
export function stops(merges) {
  const result = [];
  for (let k = 0; k < merges; k = Math.max(k + 1, Math.round(k * 1.03))) result.push(k);
  return [...result, merges];
}

/** Row and left edge of every box, and the first box of every row, for boxes of these widths. */
export function arrange(widths, breaks, room) {
  const rowOf = new Array(widths.length);
  const left = new Array(widths.length);
  const rows = [];
  let x = Infinity;
  for (let i = 0; i < widths.length; i++) {
    if (x + widths[i] > room) {
      rows.push(i);
      x = 0;
    }
    rowOf[i] = rows.length - 1;
    left[i] = x;
    x = breaks[i] ? Infinity : x + widths[i] + GAP_PX;
  }
  return { rowOf, left, rows };
}

// --- the session: what all views share ------------------------------------------------------------

export class Session {
  constructor(model) {
    this.model = model;
    this.vocabulary = new Vocabulary(model.get("vocabulary"));
    this.rule = new RegExp(model.get("rule"), "gu");
    this.stops = stops(this.vocabulary.merges);
    this.views = new Set();
    this.onText = () => this.read();
    this.onMerges = () => this.cut();
    model.on("change:text", this.onText);
    model.on("change:merges", this.onMerges);
    this.read();
  }

  close() {
    this.model.off("change:text", this.onText);
    this.model.off("change:merges", this.onMerges);
    this.tell();
  }

  get text() {
    return this.model.get("text");
  }

  set text(text) {
    this.change("text", wellFormed(text));
  }

  get merges() {
    return this.model.get("merges");
  }

  set merges(merges) {
    this.change("merges", Math.max(0, Math.min(this.vocabulary.merges, Math.round(merges))));
  }

  /** Takes effect here at once; Python hears of it after a pause. */
  change(name, value) {
    if (this.model.get(name) === value) return;
    this.model.set(name, value);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), TELL_MS);
  }

  tell() {
    if (this.telling === undefined) return;
    clearTimeout(this.telling);
    this.telling = undefined;
    this.model.save_changes();
  }

  read() {
    this.merged = new Merged(this.text, this.rule, this.vocabulary, this.merged?.known);
    this.cut();
  }

  cut() {
    Object.assign(this, this.merged.cut(this.merges));
    this.colours = colours(this.ids);
    for (const view of this.views) view.draw();
  }

  token(index) {
    return this.merged.bytes.slice(this.starts[index], this.starts[index + 1]);
  }

  /** The token that holds a byte of the text; -1 when there is no such byte. */
  tokenAt(place) {
    return place < this.merged.bytes.length ? lastUpTo(this.starts, place) : -1;
  }

  summary() {
    const { characters, bytes, missing } = this.merged;
    const tokens = this.ids.length;
    const parts = [
      counted(characters, "character"),
      counted(bytes.length, "byte"),
      counted(tokens, "token"),
    ];
    if (tokens) parts.push(`${(bytes.length / tokens).toFixed(2)} bytes per token`);
    const cut = `; only this first part is shown, ${counted(missing, "character")} are left out`;
    return parts.join(", ") + (missing ? cut : "");
  }

  /** What there is to know of one token, as lines. */
  describe(index) {
    const token = this.token(index);
    const id = this.ids[index];
    const number = this.vocabulary.mergeOf.get(token);
    const steps = this.merged.history(this.starts[index], this.starts[index + 1]);
    const lines = [`id ${grouped(id)}`, `${counted(token.length, "byte")}: ${hex(token)}`];
    if (token.length === 1) {
      lines.push(id < this.vocabulary.size ? "a single byte, no merge" : "a byte without a token");
    } else if (steps === null) {
      lines.push(`merge ${grouped(number)}`, "taken whole: no merges of smaller tokens lead here");
    } else {
      const written = steps.map(
        ({ merge, left, right }) => `merge ${grouped(merge)}: '${label(left)}' + '${label(right)}'`,
      );
      lines.push(written.pop());
      const more = written.length - SHOWN_STEPS;
      if (more > 0) written.splice(0, more, `${counted(more, "merge")}`);
      if (written.length) lines.push(`before it ${written.join(", ")}`);
    }
    return lines;
  }

  /** What a screen reader says of one token. */
  say(index) {
    const token = this.token(index);
    const steps = this.merged.history(this.starts[index], this.starts[index + 1]);
    const words = [spoken(token), `id ${this.ids[index]}`, `bytes ${hex(token)}`];
    const last = steps?.at(-1);
    if (last) words.push(`merge ${last.merge}: ${spoken(last.left)} plus ${spoken(last.right)}`);
    return words.join(", ");
  }
}

// --- the view --------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const SYSTEM = ["(forced-colors: active)", "(prefers-color-scheme: dark)"].map(
  (query) => globalThis.matchMedia?.(query),
);

// JupyterLab takes arrow keys, Enter and letters for itself unless the focused element says so.
const FOCUSABLE = { "data-lm-suppress-shortcuts": "true" };

function drawn(bytes) {
  return pieces(bytes).map(({ text, mark }) =>
    mark ? element("span", { class: "lm-mark" }, text) : text,
  );
}

class View {
  constructor(session, el) {
    this.session = session;
    this.shownText = null;
    this.widths = new Map(); // of characters
    this.tokens = new Map(); // what boxes show, by the bytes of a token
    this.room = this.top = 0;
    this.place = null; // the byte of the text whose token is chosen
    this.hovered = -1;
    const { merges } = session.vocabulary;
    this.box = element("textarea", { rows: 3, dir: "auto", spellcheck: "false", ...FOCUSABLE });
    const last = session.stops.length - 1;
    this.slider = element("input", { type: "range", min: 0, max: last, step: 1, ...FOCUSABLE });
    this.slider.setAttribute("aria-label", "Merges");
    this.number = element("input", { type: "number", min: 0, max: merges, step: 1, ...FOCUSABLE });
    this.number.setAttribute("aria-label", "Number of merges");
    this.summary = element("p", { class: "lm-summary" });
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.pen = this.canvas.getContext("2d");
    this.sheet = element("div", { class: "lm-sheet", role: "none" }, this.canvas);
    this.option = element("div", {
      class: "lm-spoken",
      role: "option",
      "aria-selected": "true",
      id: `llmlab-token-${Math.random()}`,
    });
    this.strip = element(
      "div",
      {
        class: "lm-strip",
        role: "listbox",
        tabindex: 0,
        "aria-label": "Tokens; the arrow keys walk, Escape leaves",
        ...FOCUSABLE,
      },
      this.sheet,
      this.option,
    );
    this.details = element("div", { class: "lm-details" });
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
    this.root = element(
      "div",
      { class: "llmlab-token-strip", role: "group", "aria-label": "Token strip" },
      element("style", {}, STYLE),
      element("label", { class: "lm-text" }, "Text", this.box),
      element(
        "div",
        { class: "lm-controls" },
        element("span", { "aria-hidden": "true" }, "Merges"),
        this.slider,
        this.number,
        element("span", {}, `of ${grouped(merges)}`),
      ),
      this.summary,
      this.strip,
      this.details,
      this.live,
    );
    this.listen();
    el.append(this.root);
    session.views.add(this);
    this.watcher = new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === this.room) return;
      this.room = contentRect.width;
      this.readStyle();
      this.draw();
    });
    this.watcher.observe(this.sheet);
    this.onTheme = () => {
      this.readStyle();
      this.draw();
    };
    this.themes = new MutationObserver(this.onTheme);
    const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light"];
    this.themes.observe(document.body, { attributeFilter });
    for (const query of SYSTEM) query.addEventListener("change", this.onTheme);
    this.draw();
  }

  listen() {
    const { session, box, slider, number, strip } = this;
    box.addEventListener("input", () => {
      this.shownText = wellFormed(box.value);
      session.text = box.value;
    });
    // JupyterLab takes every Enter in a cell's output away, at the box itself: it must not get there.
    this.root.addEventListener(
      "beforeinput",
      (event) => event.inputType === "insertLineBreak" && event.stopPropagation(),
      true,
    );
    slider.addEventListener("input", () => (session.merges = session.stops[slider.value]));
    number.addEventListener("input", () => {
      this.typing = true; // what stands in the box stays until it is left
      if (number.value !== "" && Number.isFinite(number.valueAsNumber)) {
        session.merges = number.valueAsNumber;
      }
    });
    number.addEventListener("focusout", () => {
      this.typing = false;
      this.draw();
    });
    for (const input of [box, slider, number]) {
      input.addEventListener("focusout", () => session.tell());
    }
    slider.addEventListener("change", () => (this.typing = false));
    strip.addEventListener("scroll", () => {
      this.top = strip.scrollTop;
      this.paint();
    });
    strip.addEventListener("keydown", (event) => this.walk(event));
    strip.addEventListener("focus", () => {
      if (strip.matches(":focus-visible")) this.choose(Math.max(0, this.chosen));
    });
    this.canvas.addEventListener("pointermove", (event) => this.hover(this.boxAt(event)));
    this.canvas.addEventListener("pointerleave", () => this.hover(-1));
    this.canvas.addEventListener("click", (event) => this.choose(this.boxAt(event)));
  }

  get chosen() {
    return this.place === null ? -1 : this.session.tokenAt(this.place);
  }

  choose(index) {
    const { session } = this;
    this.place = index >= 0 && index < session.ids.length ? session.starts[index] : null;
    if (this.place !== null) {
      const top = this.layout.rowOf[index] * ROW_PX;
      this.scrollTo(Math.min(top, Math.max(this.top, top + ROW_PX - STRIP_PX)));
      clearTimeout(this.speaking); // the newest is what counts
      this.speaking = undefined;
      this.live.textContent = session.say(index);
    }
    this.show();
  }

  /** The text and the widths stand; only which token is chosen, or pointed at, may be new. */
  show() {
    this.nameChosen();
    this.paint();
    this.drawDetails();
  }

  scrollTo(top) {
    if (top === this.top) return;
    this.top = top;
    this.strip.scrollTop = top;
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.show();
  }

  walk(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { chosen } = this;
    const last = this.session.ids.length - 1;
    const forward = this.mirrored ? -1 : 1;
    const steps = {
      ArrowRight: () => chosen + forward,
      ArrowLeft: () => chosen - forward,
      ArrowDown: () => this.below(chosen, 1),
      ArrowUp: () => this.below(chosen, -1),
      PageDown: () => this.below(chosen, 9),
      PageUp: () => this.below(chosen, -9),
      Home: () => 0,
      End: () => last,
      Escape: () => -1,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") this.choose(-1);
    else this.choose(Math.min(last, Math.max(0, steps[event.key]())));
  }

  /** The box some rows further down whose middle is nearest. */
  below(index, steps) {
    if (index < 0) return 0;
    const { rowOf, left, rows } = this.layout;
    const row = Math.min(rows.length - 1, Math.max(0, rowOf[index] + steps));
    if (row === rowOf[index]) return index;
    const middle = (i) => left[i] + this.boxWidths[i] / 2;
    let best = rows[row];
    for (let i = best; i < (rows[row + 1] ?? rowOf.length); i++) {
      if (Math.abs(middle(i) - middle(index)) < Math.abs(middle(best) - middle(index))) best = i;
    }
    return best;
  }

  draw() {
    const { session } = this;
    if (session.text !== this.shownText) this.box.value = this.shownText = session.text;
    this.slider.value = lastUpTo(session.stops, session.merges);
    this.slider.setAttribute("aria-valuetext", counted(session.merges, "merge"));
    if (!this.typing) this.number.value = session.merges;
    const summary = session.summary();
    if (summary !== this.summary.textContent) {
      this.summary.textContent = summary;
      this.speak(summary);
    }
    this.hovered = -1; // the box under the pointer is another one now
    this.arrange();
    this.show();
    const detail = { merges: session.merges, tokens: session.ids.length };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  speak(words) {
    this.words = words;
    this.speaking ??= setTimeout(() => {
      this.speaking = undefined;
      this.live.textContent = this.words;
    }, SPOKEN_MS);
  }

  /** What a box shows, whether it stands for something unseen, and its width. */
  known(bytes) {
    let found = this.tokens.get(bytes);
    if (found === undefined) {
      const parts = pieces(bytes);
      const label = parts.map(({ text }) => text).join("");
      const unseen = parts.some(({ text, mark }) => mark && text !== "␣");
      this.tokens.set(bytes, (found = { label, unseen, width: this.widthOf(label) }));
    }
    return found;
  }

  /** Character by character: joined ones are narrower, so a box is never too small. */
  widthOf(label) {
    let width = 0;
    for (const character of label) {
      let one = this.widths.get(character);
      if (one === undefined) {
        this.widths.set(character, (one = this.pen.measureText(character).width));
      }
      width += one;
    }
    return width;
  }

  arrange() {
    if (!this.font) return; // not in the page yet
    const { session } = this;
    const n = session.ids.length;
    this.pen.font = this.font; // painting leaves another
    this.boxWidths = new Array(n);
    this.looks = new Array(n);
    const breaks = new Array(n);
    for (let i = 0; i < n; i++) {
      const token = session.token(i);
      const digits = String(session.ids[i]).length * this.digitWidth;
      this.looks[i] = this.known(token);
      const width = Math.ceil(Math.max(this.looks[i].width, digits) + SIDES_PX);
      this.boxWidths[i] = Math.min(width, this.room);
      breaks[i] = token.charCodeAt(token.length - 1) === 10;
    }
    this.layout = arrange(this.boxWidths, breaks, this.room);
    const height = this.layout.rows.length * ROW_PX;
    this.sheet.style.height = `${height}px`;
    this.top = Math.max(0, Math.min(this.top, height - STRIP_PX));
    this.mirrored = RIGHT_TO_LEFT.test(session.merged.shown);
  }

  /** The rows in sight. A canvas, because the page would need three times as long for elements. */
  paint() {
    if (!this.font) return;
    const { pen, session, boxWidths, chosen, hovered } = this;
    const { ids } = session;
    const { rows, left, rowOf } = this.layout;
    const height = Math.min(STRIP_PX, Math.max(1, rows.length) * ROW_PX);
    this.resize(this.room, height);
    pen.clearRect(0, 0, this.room, height);
    const row = Math.floor(this.top / ROW_PX);
    const first = rows[row] ?? 0;
    const end = rows[row + SHOWN_ROWS] ?? ids.length;
    const { ink, fills, edges } = this.style;
    const [x, y] = [new Array(end - first), new Array(end - first)];
    pen.lineWidth = 1;
    for (let i = first; i < end; i++) {
      const start = this.mirrored ? this.room - left[i] - boxWidths[i] : left[i];
      const [width, tall] = [boxWidths[i] - 1, ROW_PX - GAP_PX - 1];
      const over = rowOf[i] * ROW_PX - this.top;
      x[i - first] = start + boxWidths[i] / 2;
      y[i - first] = over;
      pen.fillStyle = fills[session.colours[i]];
      pen.fillRect(start + 0.5, over + 0.5, width, tall);
      pen.strokeStyle = edges[session.colours[i]];
      pen.strokeRect(start + 0.5, over + 0.5, width, tall);
      if (i !== chosen && i !== hovered) continue;
      pen.strokeStyle = ink;
      pen.lineWidth = i === chosen ? 3 : 1;
      pen.strokeRect(start + 1.5, over + 1.5, width - 2, tall - 2);
      pen.lineWidth = 1;
    }
    pen.fillStyle = ink;
    pen.textAlign = "center";
    pen.direction = "ltr";
    const tokens = this.looks.slice(first, end);
    // Changing the font takes long, so once for each.
    for (const slanted of [false, true]) {
      pen.font = slanted ? `italic ${this.font}` : this.font;
      tokens.forEach((token, j) => {
        if (token.unseen !== slanted) return;
        const room = boxWidths[first + j] - SIDES_PX;
        if (token.width <= room) pen.fillText(token.label, x[j], y[j] + 16);
        else pen.fillText(token.label, x[j], y[j] + 16, room);
      });
    }
    pen.font = this.smallFont;
    tokens.forEach((_, j) => pen.fillText(ids[first + j], x[j], y[j] + 32));
    // For those who watch from outside.
    const widths = boxWidths.slice(first, end);
    this.canvas.inSight = { first, end, session, widths, style: this.style };
  }

  resize(width, height) {
    const scale = window.devicePixelRatio || 1;
    const { canvas, pen } = this;
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
  }

  /** Fonts and colours are the page's; they change with its theme. */
  readStyle() {
    const { color } = getComputedStyle(this.root);
    const { fontFamily } = getComputedStyle(this.strip);
    const all = (colour) => COLOURS.map(() => colour);
    this.style = matchMedia("(forced-colors: active)").matches
      ? { ink: "CanvasText", fills: all("Canvas"), edges: all("CanvasText") }
      : { ink: color, fills: COLOURS.map((hue) => hue + TINT), edges: COLOURS };
    if (this.fontFamily === fontFamily) return;
    this.fontFamily = fontFamily;
    this.font = `14px ${fontFamily}`;
    this.smallFont = `11px ${fontFamily}`;
    this.widths.clear();
    this.tokens.clear();
    this.pen.font = this.smallFont;
    this.digitWidth = this.pen.measureText("0").width;
    this.pen.font = this.font;
  }

  /** The box at a place on the canvas; -1 for none. */
  boxAt({ offsetX, offsetY }) {
    const { rows, left } = this.layout;
    const row = Math.floor((offsetY + this.top) / ROW_PX);
    if (!(row < rows.length)) return -1;
    const x = this.mirrored ? this.room - offsetX : offsetX;
    const end = rows[row + 1] ?? left.length;
    for (let i = rows[row]; i < end; i++) {
      if (x >= left[i] && x < left[i] + this.boxWidths[i]) return i;
    }
    return -1;
  }

  /** The one option there is stands for the chosen token; a canvas says nothing by itself. */
  nameChosen() {
    const { chosen, option, strip } = this;
    if (chosen < 0) {
      strip.removeAttribute("aria-activedescendant");
      option.hidden = true;
      return;
    }
    option.hidden = false;
    option.textContent = spoken(this.session.token(chosen));
    option.setAttribute("aria-posinset", chosen + 1);
    option.setAttribute("aria-setsize", this.session.ids.length);
    strip.setAttribute("aria-activedescendant", option.id);
  }

  drawDetails() {
    const { session } = this;
    const index = this.hovered >= 0 ? this.hovered : this.chosen;
    if (index < 0) {
      const what = session.ids.length
        ? "Point at a token, or walk through them with the arrow keys, to see what it is made of."
        : "Type a text to see its tokens.";
      this.details.replaceChildren(element("p", { class: "lm-hint" }, what));
      return;
    }
    const name = element("bdi", { class: "lm-name" }, ...drawn(session.token(index)));
    const [id, ...lines] = session.describe(index);
    this.details.replaceChildren(
      element("p", {}, name, ` ${id}`),
      ...lines.map((line) => element("p", {}, line)),
    );
  }

  close() {
    clearTimeout(this.speaking);
    this.watcher.disconnect();
    this.themes.disconnect();
    for (const query of SYSTEM) query.removeEventListener("change", this.onTheme);
    this.session.views.delete(this);
    this.root.remove(); // its listeners go with it
  }
}

// The first letter decides, as in the text box.
const RIGHT_TO_LEFT =
  /^\P{L}*[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

const STYLE = `
.llmlab-token-strip {
  --lm-ink: var(--jp-ui-font-color0, #000000);
  --lm-muted: var(--jp-ui-font-color2, #616161);
  --lm-paper: var(--jp-layout-color1, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-focus: var(--jp-brand-color1, #1976d2);
  box-sizing: border-box; max-width: 60em; padding: 4px;
  color: var(--lm-ink); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
@media (prefers-color-scheme: dark) {
  .llmlab-token-strip {
    --lm-ink: var(--jp-ui-font-color0, #ffffff);
    --lm-muted: var(--jp-ui-font-color2, #bdbdbd);
    --lm-paper: var(--jp-layout-color1, #1e1e1e);
    --lm-line: var(--jp-border-color1, #616161);
    --lm-focus: var(--jp-brand-color1, #64b5f6);
  }
}
.llmlab-token-strip p { margin: 0; }
.llmlab-token-strip :is(textarea, input[type="number"]) {
  box-sizing: border-box; color: inherit; background: var(--lm-paper);
  border: 1px solid var(--lm-line); border-radius: 3px;
}
.llmlab-token-strip textarea {
  display: block; width: 100%; margin-top: 2px; padding: 4px 6px; resize: vertical;
  font: 14px/1.5 var(--jp-code-font-family, monospace);
}
.llmlab-token-strip :is(textarea, input, .lm-strip):focus-visible {
  outline: 2px solid var(--lm-focus); outline-offset: 1px;
}
.llmlab-token-strip .lm-controls {
  display: flex; flex-wrap: wrap; align-items: center; gap: 6px 8px; margin: 8px 0 4px;
}
.llmlab-token-strip input[type="range"] {
  flex: 1 1 10em; min-width: 6em; accent-color: var(--lm-focus);
}
.llmlab-token-strip input[type="number"] { width: 6.5em; padding: 2px 4px; font: inherit; }
.llmlab-token-strip .lm-summary { margin: 0 0 6px; font-variant-numeric: tabular-nums; }
.llmlab-token-strip .lm-strip {
  max-height: ${STRIP_PX}px; overflow-y: auto; overflow-x: hidden; scrollbar-gutter: stable;
  font-family: var(--jp-code-font-family, monospace); background: var(--lm-paper);
}
.llmlab-token-strip .lm-sheet { position: relative; min-height: ${ROW_PX}px; }
.llmlab-token-strip canvas { display: block; position: sticky; top: 0; }
.llmlab-token-strip .lm-mark { opacity: 0.75; }
.llmlab-token-strip .lm-details {
  min-height: 7em; margin-top: 6px; overflow-wrap: anywhere; font-variant-numeric: tabular-nums;
}
.llmlab-token-strip .lm-name {
  font-family: var(--jp-code-font-family, monospace); white-space: pre-wrap; font-weight: bold;
}
.llmlab-token-strip .lm-hint { color: var(--lm-muted); }
.llmlab-token-strip .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
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
