// The browser's half of llmlab.viz.TranslationStepper.
//
// The kernel translates a sentence and sends all attention weights once; playing, stepping, choosing
// a head and drawing happen here. One Session per model holds what all its views share and speaks
// with the kernel; a View is one drawing of that session: chips with lines, a grid, and candidates.

const TELL_MS = 250; // Python hears of a step after such a pause
const PLAY_MS = 1000; // a step lasts so long, at speed 1
const SLOW_MS = 300; // answers quicker than this are not worth a word
const DEAD_MS = 10_000;
const SPOKEN_MS = 700; // while it plays, a screen reader hears of the newest step this often
const SHOWN_CHARACTERS = 16; // of one token
const FAINT = 0.02; // weights below this have no line
const LINES_PX = 76; // how far apart the two rows of chips are
const SPEEDS = [0.5, 1, 2, 4];
const DEAD = "still no answer: the kernel is busy or stopped; if it stopped, run the cell again";

// --- numbers and tokens ---------------------------------------------------------------------------

/** A share of one as people read it: no small one is written as 0, no large one as 100. */
export function percent(share, digits = 0) {
  const value = 100 * share;
  const least = 10 ** -digits;
  if (value <= 0) return "0 %";
  if (value < least / 2) return `<${least} %`;
  if (value < 100 && value >= 100 - least / 2) return `>${(100 - least).toFixed(digits)} %`;
  return `${value.toFixed(value >= 100 ? 0 : digits)} %`;
}

export const said = (text) =>
  text.replaceAll("<", "less than ").replaceAll(">", "more than ").replaceAll(" %", " percent");

const MARKS = {
  " ": ["␣", "space"],
  "\n": ["⏎", "newline"],
  "\t": ["⇥", "tab"],
  "\r": ["\\r", "carriage return"],
};
/** Tokens that are no text. */
const SPECIAL = {
  "<end>": ["■ end", "end of the sentence"],
  "<start>": ["start", "start of the sentence"],
  "<pad>": ["pad", "padding"],
};
// Whatever has no picture of its own or, like a bidirectional override, garbles its neighbours.
const UNSEEN = /[\p{C}\p{Z}]/u;
const COMBINING = /\p{M}/u;
// Overrides that would turn the rest of the line around.
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;

/** A token as pieces to draw: `text`, and `mark` true where the text stands for something unseen. */
export function pieces(token) {
  if (token === "") return [{ text: "(empty)", mark: true, words: "empty token" }];
  if (Object.hasOwn(SPECIAL, token)) {
    const [text, words] = SPECIAL[token];
    return [{ text, mark: true, words }];
  }
  const result = [];
  let count = 0;
  for (const character of token) {
    if (count++ === SHOWN_CHARACTERS) {
      result.push({ text: "…", mark: true, words: "and so on" });
      break;
    }
    const last = result.at(-1);
    const code = character.codePointAt(0).toString(16);
    const escape = code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
    if (Object.hasOwn(MARKS, character)) {
      const [text, words] = MARKS[character];
      result.push({ text, mark: true, words });
    } else if (UNSEEN.test(character)) {
      result.push({ text: escape, mark: true, words: `character ${code.toUpperCase()}` });
    } else if (last && !last.mark) {
      last.text += character;
      last.words = last.text;
    } else {
      // An accent that came without its letter needs something to stand on.
      const text = COMBINING.test(character) ? `◌${character}` : character;
      result.push({ text, mark: false, words: text });
    }
  }
  return result;
}

/** What a screen reader says of a token; the space before a word goes without saying. */
export function spoken(token) {
  const words = pieces(token).map((piece) => piece.words);
  return (words.length > 1 && words[0] === "space" ? words.slice(1) : words).join(" ");
}

/** Half a surrogate pair cannot travel as utf-8; it becomes the replacement character. */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** Bytes from the kernel may start anywhere in their buffer; floats need a multiple of four. */
export function floats(view) {
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/**
 * One map (T, S) of the weights (L, H, T, S), row after row: a head's, the mean of a layer's heads
 * (head null), or the mean of everything (layer null).
 */
export function mapOf(weights, { layers, heads, size }, layer, head) {
  const [from, count] =
    layer === null ? [0, layers * heads] : head === null ? [layer * heads, heads] : [layer * heads + head, 1];
  const map = new Float64Array(size);
  for (let m = from; m < from + count; m++) {
    for (let i = 0; i < size; i++) map[i] += weights[m * size + i];
  }
  return map.map((sum) => sum / count);
}

/** What the darkest colour stands for: the largest weight of a map, rounded up to 10 %. */
export function scaleOf(map) {
  let peak = 0;
  for (const weight of map) peak = Math.max(peak, weight);
  return Math.min(1, Math.max(0.1, Math.ceil(10 * peak - 1e-6) / 10));
}

/** Places of the largest numbers, largest first, equal ones in order. */
export function strongest(numbers, count) {
  const places = Array.from(numbers, (_, i) => i);
  return places.sort((a, b) => numbers[b] - numbers[a] || a - b).slice(0, count);
}

/** Bytes of a letter that come as tokens of their own, such as \xc3 and \xa1, as that letter. */
function decoded(text) {
  return text.replace(/(\\x[0-9a-f]{2})+/g, (run) => {
    const bytes = run.split("\\x").slice(1);
    return new TextDecoder().decode(Uint8Array.from(bytes, (byte) => parseInt(byte, 16)));
  });
}

/** The translation after so many steps; at the end it is what the kernel made of the tokens. */
export function written({ target, translation }, step) {
  const words = target.slice(0, step).filter((token) => !Object.hasOwn(SPECIAL, token));
  const text = step >= target.length ? translation : decoded(words.join("")).trimStart();
  return text.replace(TURNING, "");
}

// --- the session: what all views share ------------------------------------------------------------

export class Session {
  constructor(model) {
    this.model = model;
    this.views = new Set();
    this.examples = model.get("examples");
    this.draft = this.askedText = model.get("text");
    this.inFlight = null;
    this.wanted = null;
    this.status = "";
    this.playing = false;
    this.speed = 1;
    // Two pages may talk to one kernel: a random start keeps their request numbers apart.
    this.n = Math.floor(Math.random() * 2 ** 40);
    this.adopt();
    this.listeners = {
      "change:reading": () => this.receive(),
      "change:step": () => this.redraw(),
      "change:layer": () => this.remap(),
      "change:head": () => this.remap(),
    };
    for (const [name, callback] of Object.entries(this.listeners)) model.on(name, callback);
  }

  close() {
    for (const [name, callback] of Object.entries(this.listeners)) this.model.off(name, callback);
    this.stop();
    this.stopTimers();
    this.tell();
  }

  // --- what is shown ---

  adopt() {
    this.reading = this.model.get("reading");
    this.error = this.reading.error;
    this.weights = floats(this.model.get("weights"));
    this.chooseMap();
  }

  chooseMap() {
    const { source, target, layers, heads } = this.reading;
    const shape = { layers, heads, size: source.length * target.length };
    this.map = mapOf(this.weights, shape, this.layer, this.head);
    this.scale = scaleOf(this.map);
  }

  remap() {
    this.chooseMap();
    this.redraw();
  }

  get last() {
    return this.reading.target.length;
  }

  get step() {
    return Math.max(1, Math.min(this.last, this.model.get("step")));
  }

  get layer() {
    const layer = this.model.get("layer");
    return layer === null || layer >= this.reading.layers ? null : layer;
  }

  get head() {
    const head = this.model.get("head");
    return this.layer === null || head === null || head >= this.reading.heads ? null : head;
  }

  /** How the weights of target token t lie on the source. */
  row(t) {
    const S = this.reading.source.length;
    return this.map.subarray(t * S, (t + 1) * S);
  }

  /** How much each target token looks at source token s. */
  column(s) {
    return Float64Array.from(this.reading.target, (_, t) => this.map[t * this.reading.source.length + s]);
  }

  get written() {
    return written(this.reading, this.step);
  }

  /** "Step 3 of 6: ejemplo, looks at example 82 percent", and more than one where no one has half. */
  stepInWords(t = this.step - 1) {
    const { source, target } = this.reading;
    const row = this.row(t);
    const looks = strongest(row, row[strongest(row, 1)[0]] < 0.5 ? 2 : 1)
      .map((s) => `${spoken(source[s])} ${said(percent(row[s]))}`)
      .join(", ");
    return `Step ${t + 1} of ${this.last}: ${spoken(target[t])}, looks at ${looks}`;
  }

  /** Who of the target tokens that are written looks at source token s. */
  columnInWords(s) {
    const { source, target } = this.reading;
    const column = this.column(s).subarray(0, this.step);
    const looks = strongest(column, 2).map((t) => `${spoken(target[t])} ${said(percent(column[t]))}`);
    return `${spoken(source[s])}, looked at by ${looks.join(", ")}`;
  }

  // --- steps and time ---

  /** Takes effect here at once; Python hears of it after a pause. */
  change(values) {
    const fresh = Object.entries(values).filter(([name, value]) => this.model.get(name) !== value);
    if (fresh.length === 0) return;
    for (const [name, value] of fresh) this.model.set(name, value);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), TELL_MS);
  }

  tell() {
    if (this.telling === undefined) return;
    clearTimeout(this.telling);
    this.telling = undefined;
    this.model.save_changes();
  }

  goTo(step) {
    this.change({ step: Math.max(1, Math.min(this.last, step)) });
  }

  /** A step by hand ends the play. */
  moveTo(step) {
    this.stop();
    this.goTo(step);
    this.redraw();
  }

  play() {
    if (this.last === 1) return;
    if (this.step === this.last) this.goTo(1);
    this.playing = true;
    this.schedule();
    this.redraw();
  }

  stop() {
    clearTimeout(this.ticking);
    this.playing = false;
  }

  toggle() {
    if (!this.playing) return this.play();
    this.stop();
    this.redraw();
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.playing) this.schedule();
    this.redraw();
  }

  schedule() {
    clearTimeout(this.ticking);
    this.ticking = setTimeout(() => this.tick(), PLAY_MS / this.speed);
  }

  tick() {
    if (this.step + 1 >= this.last) this.stop();
    else this.schedule();
    this.goTo(this.step + 1);
  }

  // --- the talk with the kernel ---

  type(text) {
    this.draft = wellFormed(text);
    this.redraw();
  }

  /** At most one request is under way; of what is wanted meanwhile only the newest is asked for. */
  translate(text = this.draft) {
    this.draft = this.wanted = wellFormed(text);
    this.ask();
    this.redraw();
  }

  ask() {
    if (this.inFlight !== null || this.wanted === null) return;
    this.inFlight = { n: ++this.n, text: this.wanted };
    this.askedText = this.wanted;
    this.wanted = null;
    this.slow ??= setTimeout(() => this.say("translating…"), SLOW_MS);
    this.dead ??= setTimeout(() => this.say(DEAD), DEAD_MS);
    this.model.set("request", { ...this.inFlight });
    clearTimeout(this.telling);
    this.telling = undefined;
    this.model.save_changes();
  }

  receive() {
    const mine = this.inFlight !== null && this.model.get("reading").n === this.inFlight.n;
    // Not what was asked for last: another page's, or too late. The newest answer is on its way.
    if (this.inFlight !== null && !mine) return;
    this.inFlight = null;
    if (this.wanted !== null) return this.ask();
    this.stopTimers();
    this.status = "";
    if (!mine) {
      // Nothing asked for this one: `stepper.text = …` in Python, or another page.
      const text = this.model.get("text");
      if (this.draft === this.askedText) this.draft = text;
      this.askedText = text;
    }
    this.adopt();
    if (this.error === "") {
      this.stop();
      this.goTo(1);
      if (mine && !calm()) this.play();
      else if (mine) this.goTo(this.last); // all at once, for who wants nothing to move
    }
    this.redraw();
  }

  say(status) {
    this.status = status;
    this.redraw();
  }

  stopTimers() {
    clearTimeout(this.slow);
    clearTimeout(this.dead);
    this.slow = this.dead = undefined;
  }

  get busy() {
    return this.inFlight !== null;
  }

  redraw() {
    for (const view of this.views) view.draw();
  }
}

/** Whether this person has asked their system for less motion. */
const calm = () => globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? true;

// --- the view --------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function drawing(tag, attributes = {}) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// JupyterLab takes arrow keys, Enter and letters for itself unless the focused element says so.
const FOCUSABLE = { "data-lm-suppress-shortcuts": "true" };

const button = (text, attributes = {}) =>
  element("button", { type: "button", ...FOCUSABLE, ...attributes }, text);

function drawn(token) {
  const special = Object.hasOwn(SPECIAL, token);
  return element(
    "bdi",
    { class: special ? "lm-token lm-special" : "lm-token" },
    ...pieces(token).map(({ text, mark }) => element("span", mark ? { class: "lm-mark" } : {}, text)),
  );
}

/** Chips in a row; one is its tab stop, and the arrow keys move between those that are seen. */
class Chips {
  constructor(name) {
    this.list = element("ol", { class: `lm-chips lm-${name}`, role: "list" });
    this.chips = [];
    this.seen = 0;
    this.list.addEventListener("keydown", (event) => this.walk(event));
  }

  fill(tokens) {
    this.tab = 0;
    this.chips = tokens.map((token, place) => {
      const chip = element("button", { type: "button", class: "lm-chip", ...FOCUSABLE }, drawn(token));
      chip.place = place;
      chip.tabIndex = place === 0 ? 0 : -1;
      chip.addEventListener("focus", () => this.stopAt(place));
      return chip;
    });
    this.items = this.chips.map((chip) => element("li", {}, chip));
    this.list.replaceChildren(...this.items);
  }

  stopAt(place) {
    this.tab = place;
    this.chips.forEach((chip, other) => (chip.tabIndex = other === place ? 0 : -1));
  }

  show(seen) {
    this.seen = seen;
    this.items.forEach((item, place) => item.classList.toggle("lm-later", place >= seen));
    if (this.tab >= seen) this.stopAt(seen - 1);
  }

  walk(event) {
    const last = this.seen - 1;
    const places = { ArrowLeft: this.tab - 1, ArrowRight: this.tab + 1, Home: 0, End: last };
    if (!Object.hasOwn(places, event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.chips[Math.max(0, Math.min(last, places[event.key]))].focus();
  }

  /** Where a chip stands in the stage, in pixels. */
  middle(place) {
    const item = this.items[place];
    return item.offsetLeft + item.offsetWidth / 2;
  }
}

class View {
  constructor(session, el) {
    this.session = session;
    this.hovered = {};
    this.focused = {};
    this.makeControls();
    this.build();
    this.listen();
    el.append(this.root);
    session.views.add(this);
    this.draw();
    this.resized = new ResizeObserver(() => {
      this.drawLines();
      this.follow();
    });
    this.resized.observe(this.stage);
    this.resized.observe(this.inner);
  }

  makeControls() {
    const select = (...options) => element("select", FOCUSABLE, ...options);
    this.box = element("textarea", { rows: 1, dir: "auto", spellcheck: "false", ...FOCUSABLE });
    this.go = button("Translate", { class: "lm-go" });
    this.exampleButtons = this.session.examples.map((text) => button(text, { dir: "auto" }));
    this.back = button("Back");
    this.playButton = button("Play", { class: "lm-play" });
    this.next = button("Next");
    this.slider = element("input", { type: "range", min: 1, step: 1, ...FOCUSABLE });
    this.reading = element("output", { class: "lm-reading" });
    this.speed = select(...SPEEDS.map((speed) => element("option", { value: speed }, `${speed} ×`)));
    this.layer = select();
    this.head = select();
    this.message = element("p", { class: "lm-message", role: "status" });
    this.source = new Chips("source");
    this.target = new Chips("target");
    this.source.list.setAttribute("aria-label", "Source tokens; one in focus shows who looks at it");
    this.target.list.setAttribute("aria-label", "Target tokens; Enter goes to the step of one");
    this.lines = drawing("svg", { class: "lm-lines", "aria-hidden": "true" });
    this.translation = element("bdi", { dir: "auto" });
    this.room = element("bdi", { class: "lm-room", dir: "auto", "aria-hidden": "true" }); // for all of it
    this.step = element("p", { class: "lm-step" });
    this.table = element("table");
    this.sheet = element(
      "div",
      {
        class: "lm-sheet",
        tabindex: 0,
        role: "group",
        "aria-label": "Grid of attention; arrow keys change the step, the space bar plays",
        ...FOCUSABLE,
      },
      this.table,
    );
    this.readout = element("p", { class: "lm-readout" });
    this.legendEnd = element("span");
    this.candidateTitle = element("p", { class: "lm-candidate-title" });
    this.candidates = element("ol", { role: "list" });
    this.candidateNote = element("p", { class: "lm-muted" });
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
  }

  build() {
    const div = (name, ...children) => element("div", { class: name }, ...children);
    const label = (text, control, name = "") => element("label", { class: name }, text, control);
    const examples = element("div", { class: "lm-row", role: "group", "aria-label": "Examples" });
    examples.append(element("span", { class: "lm-muted" }, "Examples"), ...this.exampleButtons);
    examples.hidden = this.exampleButtons.length === 0;
    this.inner = div("lm-inner", this.source.list, this.lines, this.target.list);
    this.stage = div("lm-stage", this.inner);
    const rowName = (text) => element("span", { class: "lm-muted" }, text);
    this.root = element(
      "div",
      { class: "llmlab-translation-stepper", role: "group", "aria-label": "Translation stepper" },
      element("style", {}, STYLE),
      div("lm-ask", label("Sentence to translate", this.box, "lm-text"), this.go),
      examples,
      this.message,
      this.stage,
      div(
        "lm-written",
        rowName("Translation"),
        element("p", {}, this.translation, this.room),
      ),
      div(
        "lm-row lm-controls",
        this.back,
        this.playButton,
        this.next,
        label("Step", this.slider, "lm-slide"),
        this.reading,
        label("Speed", this.speed),
      ),
      div(
        "lm-row lm-heads",
        rowName("Attention of"),
        label("layer", this.layer),
        label("head", this.head),
      ),
      this.step,
      div(
        "lm-main",
        div(
          "lm-left",
          this.sheet,
          this.readout,
          div("lm-legend lm-muted", "0 %", div("lm-ramp"), this.legendEnd),
        ),
        div("lm-candidates", this.candidateTitle, this.candidates, this.candidateNote),
      ),
      this.live,
    );
  }

  listen() {
    const { session, box } = this;
    box.addEventListener("input", () => {
      session.type(box.value);
      this.fitBox();
    });
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      session.translate();
    });
    // JupyterLab takes every Enter in a cell's output away, at the box itself: it must not get there.
    this.root.addEventListener(
      "beforeinput",
      (event) => event.inputType === "insertLineBreak" && event.stopPropagation(),
      true,
    );
    this.go.addEventListener("click", () => session.translate());
    this.exampleButtons.forEach((node, i) =>
      node.addEventListener("click", () => session.translate(session.examples[i])),
    );
    this.back.addEventListener("click", () => session.moveTo(session.step - 1));
    this.next.addEventListener("click", () => session.moveTo(session.step + 1));
    this.playButton.addEventListener("click", () => session.toggle());
    this.slider.addEventListener("input", () => session.moveTo(Number(this.slider.value)));
    this.speed.addEventListener("change", () => session.setSpeed(Number(this.speed.value)));
    const place = ({ value }) => (value === "" ? null : Number(value));
    this.layer.addEventListener("change", () => {
      const layer = place(this.layer);
      session.change(layer === null ? { layer, head: null } : { layer });
    });
    this.head.addEventListener("change", () => session.change({ head: place(this.head) }));
    this.sheet.addEventListener("keydown", (event) => this.walk(event));
    for (const [name, chips] of [["row", this.target], ["column", this.source]]) {
      const over = (event) => event.target.closest?.(".lm-chip")?.place;
      chips.list.addEventListener("pointerover", (event) => this.point({ [name]: over(event) }));
      chips.list.addEventListener("pointerleave", () => this.point({}));
      chips.list.addEventListener("focusin", (event) => this.focusOn({ [name]: over(event) }));
      chips.list.addEventListener("focusout", () => this.focusOn({}));
      chips.list.addEventListener("click", (event) => {
        event.target.closest(".lm-chip")?.focus(); // not every browser focuses a clicked button
        if (name === "row" && over(event) !== undefined) session.moveTo(over(event) + 1);
      });
    }
    this.table.addEventListener("pointerover", (event) => this.point(event.target.closest("td, th")?.place ?? {}));
    this.table.addEventListener("pointerleave", () => this.point({}));
    this.table.addEventListener("click", (event) => {
      const row = event.target.closest("td, th")?.place?.row;
      if (row !== undefined) session.moveTo(row + 1);
    });
  }

  walk(event) {
    if (event.target !== this.sheet || event.ctrlKey || event.altKey || event.metaKey) return;
    const { session } = this;
    const moves = {
      ArrowRight: () => session.moveTo(session.step + 1),
      ArrowDown: () => session.moveTo(session.step + 1),
      ArrowLeft: () => session.moveTo(session.step - 1),
      ArrowUp: () => session.moveTo(session.step - 1),
      Home: () => session.moveTo(1),
      End: () => session.moveTo(session.last),
      " ": () => session.toggle(),
    };
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    moves[event.key]();
  }

  // --- pointing ---

  /** A row, a column, or a cell of the grid that is pointed at; a look, not a step. */
  point(place) {
    this.hovered = place;
    this.drawPicture();
  }

  focusOn(place) {
    this.focused = place;
    if (place.column !== undefined) this.say(this.session.columnInWords(place.column));
    if (place.row !== undefined) this.say(this.session.stepInWords(place.row));
    this.drawPicture();
  }

  /** What is pointed at, by hand before by key; rows that are not written yet cannot be. */
  get pointed() {
    const place = Object.values(this.hovered).some((it) => it !== undefined) ? this.hovered : this.focused;
    const { row, column } = place;
    return { row: row !== undefined && row < this.session.step ? row : undefined, column };
  }

  // --- drawing ---

  draw() {
    const { session } = this;
    if (this.box.value !== session.draft) {
      this.box.value = session.draft;
      this.fitBox();
    }
    const failed = session.error !== "" && !session.busy;
    this.message.textContent = session.status || (failed ? session.error : "");
    this.message.classList.toggle("lm-failed", failed && !session.status);
    this.root.setAttribute("aria-busy", session.busy);
    this.root.classList.toggle("lm-waiting", session.status !== "");
    if (this.shownReading !== session.reading) this.fill();
    this.drawControls();
    this.drawPicture();
    this.announce();
    const { step, last, playing } = session;
    // For those who watch from outside.
    Object.assign(this.root.dataset, { step, last, playing, settled: !session.busy });
    const detail = { n: session.reading.n, step };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  /** The box is as high as its text, up to four lines. */
  fitBox() {
    this.box.style.height = "";
    if (this.box.scrollHeight > this.box.clientHeight) {
      this.box.style.height = `${Math.min(100, this.box.scrollHeight + 2)}px`;
    }
  }

  /** Another sentence: chips, the grid's cells and the choices of a head are made anew. */
  fill() {
    const { reading } = this.session;
    const same = this.shownReading?.sentence === reading.sentence
      && this.shownReading.target.join("\0") === reading.target.join("\0")
      && this.shownReading.source.join("\0") === reading.source.join("\0")
      && this.shownReading.layers === reading.layers && this.shownReading.heads === reading.heads;
    this.shownReading = reading;
    if (same) return; // only a message is new; the focus stays where it is
    const { source, target, layers, heads } = reading;
    this.hovered = this.focused = {};
    this.source.fill(source);
    this.target.fill(target);
    const option = (text, value = text) => element("option", { value }, text);
    const counted = (count) => Array.from({ length: count }, (_, i) => option(String(i)));
    this.layer.replaceChildren(option("mean of all layers", ""), ...counted(layers));
    this.head.replaceChildren(option("mean", ""), ...counted(heads));
    this.slider.max = target.length;
    const heading = (token, place, scope) => {
      const node = element("th", { scope }, drawn(token));
      node.place = place;
      return node;
    };
    this.columnHeads = source.map((token, column) => heading(token, { column }, "col"));
    this.rows = target.map((token, row) => {
      const cells = source.map((_, column) => {
        const cell = element("td");
        cell.place = { row, column };
        return cell;
      });
      const node = element("tr", {}, heading(token, { row }, "row"), ...cells);
      return { node, cells };
    });
    const caption = element("caption", { class: "lm-spoken" });
    caption.textContent = "How many per cent of its attention each target token gives to each source token";
    this.table.replaceChildren(
      caption,
      element("thead", {}, element("tr", {}, element("td"), ...this.columnHeads)),
      element("tbody", {}, ...this.rows.map(({ node }) => node)),
    );
    this.shownMap = this.shownStep = undefined;
  }

  drawControls() {
    const { session } = this;
    const { step, last, playing, layer, head } = session;
    this.slider.value = step;
    this.slider.setAttribute("aria-valuetext", `${step} of ${last}: ${spoken(session.reading.target[step - 1])}`);
    this.reading.value = `${step} of ${last}`;
    this.playButton.textContent = playing ? "Pause" : "Play";
    this.playButton.setAttribute("aria-disabled", last === 1);
    this.back.setAttribute("aria-disabled", step === 1);
    this.next.setAttribute("aria-disabled", step === last);
    this.go.setAttribute("aria-disabled", session.busy);
    this.speed.value = session.speed;
    this.layer.value = layer ?? "";
    this.head.value = head ?? "";
    this.head.disabled = layer === null; // heads of different layers have nothing in common but a number
    this.translation.textContent = session.written || "…";
    this.room.textContent = written(session.reading, last);
  }

  drawPicture() {
    const { session } = this;
    const { step, scale } = session;
    const { row, column } = this.pointed;
    const shown = row ?? step - 1;
    const alone = column !== undefined && row === undefined;
    this.source.show(session.reading.source.length);
    this.target.show(step);
    const look = session.row(shown);
    const looked = alone ? session.column(column) : null;
    this.source.chips.forEach((chip, s) => {
      shade(chip, alone ? Number(s === column) * 0.999 : look[s] / scale);
      chip.classList.toggle("lm-current", s === column);
      chip.setAttribute("aria-label", `${spoken(session.reading.source[s])}, ${said(percent(look[s]))}`);
    });
    this.target.chips.forEach((chip, t) => {
      shade(chip, alone && t < step ? looked[t] / scale : 0);
      chip.classList.toggle("lm-current", !alone && t === shown);
      chip.toggleAttribute("aria-current", t === step - 1);
      chip.setAttribute("aria-label", spoken(session.reading.target[t]));
    });
    this.drawGrid(shown, { row, column });
    this.drawSentence(shown);
    this.drawCandidates(shown);
    this.drawReadout({ row, column });
    this.drawLines();
    if (this.shownStep !== step || this.shownMap !== session.map) this.follow();
    this.shownStep = step;
    this.shownMap = session.map;
  }

  drawGrid(shown, { row, column }) {
    const { session } = this;
    const { step, scale } = session;
    if (this.shownMap !== session.map) {
      this.rows.forEach(({ cells }, t) => {
        const look = session.row(t);
        cells.forEach((cell, s) => {
          cell.textContent = Math.round(100 * look[s]);
          shade(cell, look[s] / scale);
        });
      });
      this.legendEnd.textContent = percent(scale);
    }
    const fresh = this.shownStep !== undefined && this.shownStep !== step;
    const best = strongest(session.row(shown), 1)[0];
    this.rows.forEach(({ node }, t) => {
      node.classList.toggle("lm-later", t >= step);
      node.classList.toggle("lm-now", t === step - 1);
      node.classList.toggle("lm-shown", t === shown);
      if (t === step - 1) node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
      if (fresh) node.classList.toggle("lm-fresh", t === step - 1);
    });
    this.columnHeads.forEach((node, s) => {
      node.classList.toggle("lm-shown", s === (column ?? best));
    });
    const marked = column === undefined ? [] : this.rows.map(({ cells }) => cells[column]);
    for (const cell of this.marked ?? []) cell.classList.remove("lm-column");
    for (const cell of marked) cell.classList.add("lm-column");
    this.marked = marked;
  }

  drawSentence(shown) {
    const { session } = this;
    const { source, target } = session.reading;
    const look = session.row(shown);
    const places = strongest(look, 3).filter((s, rank) => rank === 0 || look[s] >= 0.05);
    this.step.replaceChildren(
      element("span", { class: "lm-muted" }, `Step ${shown + 1} of ${session.last}: `),
      drawn(target[shown]),
      " looks at ",
      ...places.flatMap((s, rank) => [rank ? ", " : "", drawn(source[s]), ` ${percent(look[s])}`]),
    );
  }

  drawCandidates(shown) {
    const { candidates, target } = this.session.reading;
    const best = candidates[shown];
    const chosen = best.findIndex(([token]) => token === target[shown]);
    this.candidateTitle.textContent = `Candidates for step ${shown + 1}`;
    this.candidates.replaceChildren(
      ...best.map(([token, probability], i) => {
        const fill = element("span", { class: "lm-fill" });
        fill.style.transform = `scaleX(${probability})`;
        return element(
          "li",
          i === chosen ? { class: "lm-chosen" } : {},
          element("span", { class: "lm-tick", "aria-hidden": "true" }, i === chosen ? "✓" : ""),
          drawn(token),
          element("span", { class: "lm-track", "aria-hidden": "true" }, fill),
          element("span", { class: "lm-share" }, percent(probability, 1)),
          element("span", { class: "lm-spoken" }, i === chosen ? ", chosen" : ""),
        );
      }),
    );
    const missing = best.length > 0 && chosen < 0;
    this.candidateNote.replaceChildren(
      ...(missing ? ["✓ ", drawn(target[shown]), " was chosen: not the likeliest here, but in a likelier whole"] : []),
    );
    if (best.length === 0) this.candidateNote.textContent = "none were given";
  }

  drawReadout({ row, column }) {
    const { session } = this;
    const { source, target } = session.reading;
    const parts = [];
    if (row !== undefined && column !== undefined) {
      parts.push(drawn(target[row]), " looks at ", drawn(source[column]), ` ${percent(session.row(row)[column], 1)}`);
    } else if (column !== undefined) {
      const look = session.column(column).subarray(0, session.step);
      const places = strongest(look, 3).filter((t, rank) => rank === 0 || look[t] >= 0.05);
      parts.push(drawn(source[column]), " is looked at by ");
      places.forEach((t, rank) => parts.push(rank ? ", " : "", drawn(target[t]), ` ${percent(look[t])}`));
    } else {
      parts.push("Rows: who looks. Columns: who is looked at. Point at a token to follow it.");
    }
    this.readout.replaceChildren(...parts);
  }

  /** From the token that looks to the tokens it looks at; from a source token, to all who look. */
  drawLines() {
    const { session, lines } = this;
    const { step, scale } = session;
    const { row, column } = this.pointed;
    const shown = row ?? step - 1;
    const alone = column !== undefined && row === undefined;
    const numbers = alone ? session.column(column).subarray(0, step) : session.row(shown);
    const fresh = !alone && row === undefined && this.lineStep !== undefined && this.lineStep !== step;
    this.lineStep = step;
    const paths = [];
    numbers.forEach((weight, place) => {
      if (weight < FAINT) return;
      const [from, to] = alone ? [column, place] : [place, shown];
      const [x, y] = [this.source.middle(from), this.target.middle(to)];
      const half = LINES_PX / 2;
      paths.push({
        d: `M ${x} 0 C ${x} ${half} ${y} ${half} ${y} ${LINES_PX}`,
        pathLength: 1,
        "stroke-width": (1 + (6 * weight) / scale).toFixed(2),
        "stroke-opacity": Math.min(1, weight / scale).toFixed(3),
      });
    });
    // Lines that stay where they are go on with what they do: they may still be growing.
    const key = JSON.stringify(paths);
    if (key === this.lineKey) return;
    this.lineKey = key;
    lines.replaceChildren(...paths.map((path) => drawing("path", path)));
    lines.classList.toggle("lm-fresh", fresh);
  }

  /** The present token and what it looks at are in sight; the page itself does not move. */
  follow() {
    const { session, stage, sheet } = this;
    const t = session.step - 1;
    const s = strongest(session.row(t), 1)[0];
    const edges = [this.target.items[t], this.source.items[s]].map((item) => [
      item.offsetLeft,
      item.offsetLeft + item.offsetWidth,
    ]);
    const [left, right] = [Math.min(...edges.flat()) - 8, Math.max(...edges.flat()) + 8];
    if (right - left > stage.clientWidth) {
      stage.scrollLeft = edges[0][0] - stage.clientWidth / 2; // too far apart: the token that looks
    } else if (left < stage.scrollLeft) {
      stage.scrollLeft = left;
    } else if (right > stage.scrollLeft + stage.clientWidth) {
      stage.scrollLeft = right - stage.clientWidth;
    }
    const { node, cells } = this.rows[t];
    const [head, name] = [this.table.tHead.offsetHeight, node.firstChild.offsetWidth];
    if (sheet.scrollTop > node.offsetTop - head) sheet.scrollTop = node.offsetTop - head;
    const bottom = node.offsetTop + node.offsetHeight + 3 - sheet.clientHeight;
    if (sheet.scrollTop < bottom) sheet.scrollTop = bottom;
    const cell = cells[s];
    if (sheet.scrollLeft > cell.offsetLeft - name) sheet.scrollLeft = cell.offsetLeft - name;
    const edge = cell.offsetLeft + cell.offsetWidth + 3 - sheet.clientWidth;
    if (sheet.scrollLeft < edge) sheet.scrollLeft = edge;
  }

  /** What is new is said, and nothing when the view is opened. */
  announce() {
    const { session } = this;
    const { reading, step } = session;
    const key = `${reading.n} ${step} ${session.layer} ${session.head}`;
    if (this.announced === undefined || this.announced === key || session.error) {
      this.announced ??= key;
      return;
    }
    this.announced = key;
    if (!session.playing) {
      clearTimeout(this.speaking);
      this.speaking = undefined;
      return this.say(this.words());
    }
    this.speaking ??= setTimeout(() => {
      this.speaking = undefined;
      this.say(this.words());
    }, SPOKEN_MS);
  }

  words() {
    const { session } = this;
    const end = session.step === session.last ? `. Translation: ${session.written}` : "";
    return session.stepInWords() + end;
  }

  say(words) {
    this.live.textContent = words;
  }

  close() {
    clearTimeout(this.speaking);
    this.resized.disconnect();
    this.session.views.delete(this);
    if (this.session.views.size === 0) this.session.stop();
    this.root.remove(); // its listeners go with it
  }
}

/** A ground whose strength is a share, with ink that is read on it. */
function shade(node, share) {
  node.style.setProperty("--lm-share", `${(100 * Math.min(1, share)).toFixed(1)}%`);
  node.classList.toggle("lm-much", share >= 0.6);
  node.classList.toggle("lm-most", share >= 0.93);
}

const DARK = `
  --lm-ink: var(--jp-ui-font-color1, #eeeeee);
  --lm-paper: var(--jp-layout-color0, #111111);
  --lm-line: var(--jp-border-color1, #616161);
  --lm-faint: var(--jp-border-color2, #424242);
  --lm-shade: var(--jp-layout-color2, #333333);
  --lm-focus: var(--jp-brand-color1, #64b5f6);
  --lm-error: var(--jp-error-color1, #ef9a9a);
  --lm-weight: rgb(86 180 233); --lm-now: #ffb54a;
  --lm-on-little: #ffffff; --lm-on-much: #000000; --lm-on-most: #000000;
`;

const STYLE = `
.llmlab-translation-stepper {
  --lm-ink: var(--jp-ui-font-color1, #212121);
  --lm-paper: var(--jp-layout-color0, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-faint: var(--jp-border-color2, #e0e0e0);
  --lm-shade: var(--jp-layout-color2, #eeeeee);
  --lm-focus: var(--jp-brand-color1, #1976d2);
  --lm-error: var(--jp-error-color1, #d32f2f);
  --lm-weight: rgb(0 114 178); --lm-now: #d55e00;
  --lm-on-little: #000000; --lm-on-much: #000000; --lm-on-most: #ffffff;
  --lm-muted: color-mix(in srgb, var(--lm-ink) 75%, var(--lm-paper));
  --lm-edge: color-mix(in srgb, var(--lm-ink) 55%, var(--lm-paper));
  --lm-code: var(--jp-code-font-family, ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace);
  position: relative; box-sizing: border-box; max-width: 1000px; padding: 4px;
  color: var(--lm-ink); background: var(--lm-paper);
  font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
body[data-jp-theme-light="false"] .llmlab-translation-stepper { ${DARK} }
@media (prefers-color-scheme: dark) {
  body:not([data-jp-theme-light]) .llmlab-translation-stepper { ${DARK} }
}
.llmlab-translation-stepper [hidden] { display: none !important; }
.llmlab-translation-stepper p { margin: 0; }
.llmlab-translation-stepper :is(textarea, button, select) {
  box-sizing: border-box; color: inherit; font: inherit;
  background: var(--lm-paper); border: 1px solid var(--lm-edge); border-radius: 3px;
}
.llmlab-translation-stepper button { padding: 3px 12px; cursor: pointer; }
.llmlab-translation-stepper button:hover { background: var(--lm-shade); }
.llmlab-translation-stepper select { padding: 2px 4px; }
.llmlab-translation-stepper select:disabled { color: var(--lm-muted); border-color: var(--lm-line); opacity: 1; }
.llmlab-translation-stepper [aria-disabled="true"] { color: var(--lm-muted); border-color: var(--lm-line); cursor: default; }
.llmlab-translation-stepper :is(textarea, button, select, input, .lm-sheet):focus-visible {
  outline: 2px solid var(--lm-focus); outline-offset: 1px;
}
.llmlab-translation-stepper .lm-ask { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 6px 8px; }
.llmlab-translation-stepper .lm-text { flex: 1 1 18em; }
.llmlab-translation-stepper textarea {
  display: block; width: 100%; margin-top: 2px; padding: 4px 8px; resize: vertical;
  font-size: 15px; line-height: 1.5; overflow-y: auto;
}
.llmlab-translation-stepper .lm-go { flex: none; padding: 6px 14px; }
.llmlab-translation-stepper .lm-row { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 8px; margin-top: 6px; }
.llmlab-translation-stepper .lm-row[role="group"] button { max-width: 100%; padding: 1px 10px; border-radius: 12px; overflow-wrap: anywhere; }
.llmlab-translation-stepper .lm-muted, .llmlab-translation-stepper .lm-mark { color: var(--lm-muted); }
.llmlab-translation-stepper .lm-message { min-height: 1.4em; margin: 4px 0; color: var(--lm-muted); overflow-wrap: anywhere; }
.llmlab-translation-stepper .lm-failed { color: color-mix(in srgb, var(--lm-error) 70%, var(--lm-ink)); }
.llmlab-translation-stepper .lm-token { font-family: var(--lm-code); white-space: pre; }
.llmlab-translation-stepper .lm-special { font-family: inherit; font-style: italic; }

.llmlab-translation-stepper .lm-stage { overflow-x: auto; overflow-y: hidden; padding: 3px 0; }
.llmlab-translation-stepper .lm-inner { position: relative; width: max-content; min-width: 100%; }
.llmlab-translation-stepper .lm-chips { display: flex; gap: 5px; margin: 0; padding: 3px; list-style: none; }
.llmlab-translation-stepper .lm-chips li { margin: 0; }
.llmlab-translation-stepper .lm-chip { display: block; padding: 3px 7px; font-size: 14px; border-color: var(--lm-edge); }
.llmlab-translation-stepper :is(.lm-chip, td) {
  color: var(--lm-on-little);
  background: color-mix(in srgb, var(--lm-weight) var(--lm-share, 0%), var(--lm-paper));
}
.llmlab-translation-stepper .lm-chip:hover { background: color-mix(in srgb, var(--lm-weight) var(--lm-share, 0%), var(--lm-paper)); }
.llmlab-translation-stepper .lm-chip .lm-mark { color: inherit; }
.llmlab-translation-stepper .lm-much { color: var(--lm-on-much); }
.llmlab-translation-stepper .lm-most { color: var(--lm-on-most); }
.llmlab-translation-stepper .lm-chip.lm-current { border-color: var(--lm-now); box-shadow: 0 0 0 1px var(--lm-now); }
.llmlab-translation-stepper li.lm-later { visibility: hidden; }
.llmlab-translation-stepper .lm-lines { display: block; width: 100%; height: ${LINES_PX}px; }
.llmlab-translation-stepper .lm-lines path { fill: none; stroke: var(--lm-weight); stroke-linecap: butt; stroke-dasharray: 1; }
.llmlab-translation-stepper .lm-written { display: flex; align-items: baseline; gap: 8px; margin-top: 4px; }
.llmlab-translation-stepper .lm-written p { display: grid; flex: 1; min-width: 0; font-size: 17px; min-height: 1.4em; overflow-wrap: anywhere; }
.llmlab-translation-stepper .lm-written bdi { grid-area: 1 / 1; }
.llmlab-translation-stepper .lm-room { visibility: hidden; }

.llmlab-translation-stepper .lm-controls { margin-top: 8px; padding-top: 8px; border-top: 1px solid var(--lm-faint); }
.llmlab-translation-stepper :is(.lm-controls, .lm-heads) label { display: flex; align-items: center; gap: 5px; }
.llmlab-translation-stepper .lm-play { min-width: 5.2em; font-weight: 600; }
.llmlab-translation-stepper .lm-slide { flex: 1 1 9em; max-width: 18em; margin-inline-start: 4px; }
.llmlab-translation-stepper input[type="range"] { flex: 1; min-width: 5em; margin: 0; accent-color: var(--lm-focus); }
.llmlab-translation-stepper .lm-reading { min-width: 4.4em; font-variant-numeric: tabular-nums; }

.llmlab-translation-stepper .lm-step { margin: 8px 0 6px; font-size: 15px; min-height: 1.4em; overflow-wrap: anywhere; }
.llmlab-translation-stepper .lm-step > .lm-token:first-of-type { font-weight: 600; }
.llmlab-translation-stepper .lm-main { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 12px 20px; }
.llmlab-translation-stepper .lm-left { flex: 0 1 auto; min-width: min(100%, 300px); max-width: 100%; }
.llmlab-translation-stepper .lm-sheet { position: relative; width: fit-content; max-width: 100%; max-height: 430px; overflow: auto; border: 1px solid var(--lm-line); border-radius: 3px; }
.llmlab-translation-stepper table { border-collapse: separate; border-spacing: 1px; color: inherit; font: inherit; margin: 0; }
.llmlab-translation-stepper caption { caption-side: bottom; }
.llmlab-translation-stepper :is(th, td) { padding: 0; font-weight: normal; border: 0; }
.llmlab-translation-stepper thead :is(th, td) { position: sticky; top: 0; z-index: 1; background: var(--lm-paper); vertical-align: bottom; }
.llmlab-translation-stepper tr > :first-child { position: sticky; left: 0; z-index: 1; background: var(--lm-paper); }
.llmlab-translation-stepper thead tr > :first-child { z-index: 2; }
.llmlab-translation-stepper thead .lm-token {
  display: block; margin: 0 auto; padding: 4px 0; max-height: 11em; overflow: hidden;
  writing-mode: vertical-rl; transform: rotate(180deg); line-height: 1.5;
}
.llmlab-translation-stepper tbody th { padding: 0 7px; text-align: end; white-space: nowrap; }
.llmlab-translation-stepper tbody td {
  position: relative; min-width: 28px; height: 25px; text-align: center; font-size: 12px;
  font-variant-numeric: tabular-nums; cursor: default;
}
.llmlab-translation-stepper tbody tr:not(.lm-now, .lm-shown) td:not(.lm-column) { color: transparent; }
.llmlab-translation-stepper tbody tr.lm-later > * { visibility: hidden; }
.llmlab-translation-stepper tbody tr.lm-later > td::before {
  content: ""; position: absolute; inset: 0; visibility: visible;
  box-shadow: inset 0 0 0 1px var(--lm-faint);
}
.llmlab-translation-stepper .lm-now > * { box-shadow: 0 -2px var(--lm-now), 0 2px var(--lm-now); }
.llmlab-translation-stepper .lm-now > th { box-shadow: inset 4px 0 var(--lm-now), 0 -2px var(--lm-now), 0 2px var(--lm-now); }
.llmlab-translation-stepper :is(.lm-now, .lm-shown) > th, .llmlab-translation-stepper th.lm-shown { font-weight: 700; }
.llmlab-translation-stepper thead th.lm-shown { box-shadow: inset 0 -3px var(--lm-weight); }
.llmlab-translation-stepper td.lm-column { outline: 1px solid var(--lm-edge); outline-offset: -1px; }
.llmlab-translation-stepper .lm-readout { width: 0; min-width: 100%; margin: 4px 0 2px; color: var(--lm-muted); min-height: 2.8em; overflow-wrap: anywhere; }
.llmlab-translation-stepper .lm-legend { display: flex; align-items: center; gap: 6px; }
.llmlab-translation-stepper .lm-ramp { width: 110px; height: 10px; border: 1px solid var(--lm-line); background: linear-gradient(to right, var(--lm-paper), var(--lm-weight)); }
.llmlab-translation-stepper .lm-candidates { flex: 1 1 240px; max-width: 340px; min-width: 0; }
.llmlab-translation-stepper .lm-candidate-title { margin: 0 0 4px; font-weight: 600; }
.llmlab-translation-stepper .lm-candidates ol { min-height: 125px; margin: 0; padding: 0; list-style: none; }
.llmlab-translation-stepper .lm-candidates li {
  position: relative; display: grid; grid-template-columns: 1em minmax(5em, 40%) 1fr 4.6em;
  align-items: center; gap: 6px; margin: 0; height: 25px;
}
.llmlab-translation-stepper .lm-candidates li .lm-token { overflow: hidden; text-overflow: ellipsis; text-align: start; }
.llmlab-translation-stepper .lm-chosen { font-weight: 700; }
.llmlab-translation-stepper .lm-tick { font-weight: 700; }
.llmlab-translation-stepper .lm-track { height: 12px; background: var(--lm-shade); }
.llmlab-translation-stepper .lm-fill { display: block; height: 100%; background: var(--lm-edge); transform-origin: left; }
.llmlab-translation-stepper .lm-chosen .lm-fill { background: var(--lm-now); }
.llmlab-translation-stepper .lm-share { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums; }
.llmlab-translation-stepper .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
@media (forced-colors: active) {
  body .llmlab-translation-stepper.llmlab-translation-stepper {
    --lm-ink: CanvasText; --lm-muted: CanvasText; --lm-paper: Canvas; --lm-line: CanvasText; --lm-edge: CanvasText;
    --lm-weight: CanvasText; --lm-now: Highlight; --lm-shade: Canvas; --lm-focus: Highlight;
  }
  .llmlab-translation-stepper .lm-now > * { border-block: 2px solid Highlight; }
  .llmlab-translation-stepper .lm-chip.lm-current { border: 2px solid Highlight; }
  .llmlab-translation-stepper thead th.lm-shown { border-bottom: 3px solid Highlight; }
  .llmlab-translation-stepper .lm-track { box-sizing: border-box; border: 1px solid CanvasText; }
  .llmlab-translation-stepper :is(.lm-fill, .lm-ramp) { forced-color-adjust: none; }
  .llmlab-translation-stepper .lm-legend { display: none; }
}
@media (prefers-reduced-motion: no-preference) {
  .llmlab-translation-stepper tr.lm-fresh > * { animation: llmlab-appear 300ms ease-out; }
  .llmlab-translation-stepper .lm-lines.lm-fresh path { animation: llmlab-flow 450ms ease-out; }
  .llmlab-translation-stepper .lm-chip { transition: background-color 150ms ease-out; }
}
@keyframes llmlab-appear { from { opacity: 0; } }
@keyframes llmlab-flow { from { stroke-dashoffset: 1; } }
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
