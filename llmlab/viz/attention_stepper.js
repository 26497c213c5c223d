// The browser's half of llmlab.viz.AttentionStepper.
//
// Queries, keys and values come once, as 32-bit numbers; all arithmetic happens here, in 64 bits,
// so every step, switch and written-over score needs no kernel. One Session per model holds what
// all its views share; a View is one drawing of it: a table with a row for each key, whose columns
// appear step by step.

const TELL_MS = 250; // Python hears of a change after such a pause
const SPOKEN_MS = 700; // a screen reader is told of a score that is being typed after such a pause
const SHOWN_PRODUCTS = 9; // numbers of a vector that are written out; the others are summed up
const SHOWN_LABEL = 14; // characters of one token
const SPOKEN_NUMBERS = 16; // of a vector
const STRIP_PX = 80; // how wide a vector is drawn, about
const PARTED_PX = 6; // cells of such a width have a line between them
const STEPS = ["q·k", "scale", "mask", "softmax", "weighted sum"];

// --- numbers and tokens ---------------------------------------------------------------------------

/** T, S, D, W, then q (T, D), k (S, D), v (S, W) and, a byte a cell, whom each query may see. */
export function read(view) {
  const [T, S, D, W] = [0, 4, 8, 12].map((place) => view.getUint32(place, true));
  let place = 16;
  const floats = (count) =>
    Float64Array.from({ length: count }, () => view.getFloat32((place += 4) - 4, true));
  const [q, k, v] = [floats(T * D), floats(S * D), floats(S * W)];
  const seen = Uint8Array.from({ length: T * S }, () => view.getUint8(place++));
  return { T, S, D, W, q, k, v, seen };
}

/** The products that a score q·k is the sum of. */
export function products({ D, q, k }, query, key) {
  return Array.from({ length: D }, (_, i) => q[query * D + i] * k[key * D + i]);
}

const total = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

/**
 * The present query's row after every step. `edits` are [query, key, score], scores that stand in
 * for q·k. The largest score is subtracted before exp(), which changes no weight and cannot overflow.
 */
export function attend(data, { query, scaled, masked, edits }) {
  const { S, D, W, v, seen } = data;
  const root = Math.sqrt(D);
  const dots = Array.from({ length: S }, (_, key) => total(products(data, query, key)));
  const scores = [...dots];
  const edited = new Set();
  for (const [row, key, score] of edits) {
    if (row !== query) continue;
    scores[key] = score;
    edited.add(key);
  }
  const divided = scores.map((score) => (scaled ? score / root : score));
  const hidden = divided.map((_, key) => !seen[query * S + key]);
  const kept = divided.map((score, key) => (masked && hidden[key] ? -Infinity : score));
  const largest = Math.max(...kept);
  const powers = kept.map((score) => Math.exp(score - largest));
  const sum = total(powers);
  const weights = powers.map((power) => power / sum);
  const output = Array.from({ length: W }, (_, i) => total(weights.map((w, s) => w * v[s * W + i])));
  return { root, dots, scores, edited, divided, hidden, kept, largest, powers, sum, weights, output };
}

/** A number as people read it. */
export function shown(number, digits = 2) {
  if (!Number.isFinite(number)) return number < 0 ? "−∞" : "∞";
  const size = Math.abs(number);
  let text = number.toFixed(digits);
  if (size >= 1e4) text = number.toExponential(1);
  else if (size > 0 && size < 1e-4) text = number.toExponential(0);
  else if (size > 0 && size < 0.5 * 10 ** -digits) text = number.toPrecision(1);
  return text.replaceAll("-", "−");
}

/** The same without zeros at the end: the root of 4 is 2. */
export const brief = (number) => shown(number).replace(/\.?0+$/, "");

/** The number that a text stands for; null if it is none, or too large for one. */
export function parsed(text) {
  const plain = text.trim().replaceAll("−", "-");
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return null;
  return Number.isFinite(Number(plain)) ? Number(plain) : null;
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
export function pieces(token) {
  if (token === "") return [{ text: "(empty)", mark: true, words: "empty token" }];
  const result = [];
  let count = 0;
  for (const character of token) {
    if (count++ === SHOWN_LABEL) {
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
      result.push({ text: character, mark: false, words: character });
    }
  }
  return result;
}

export const spoken = (token) => pieces(token).map(({ words }) => words).join(" ");

// --- sentences --------------------------------------------------------------------------------------

/** What the present step does, with its numbers. */
export function stepSentence(step, row, { scaled, masked }) {
  const hidden = row.hidden.filter(Boolean).length;
  const width = Math.round(row.root ** 2);
  const does = [
    () => "multiply query and key number by number, and add up",
    () =>
      scaled
        ? `divide by ${brief(row.root)}, the root of ${width}`
        : "the scale is off, so the scores stay as they are",
    () => {
      if (!masked) return "the mask is off, so every key stays";
      if (!hidden) return "the mask hides no key from this query";
      return `the mask hides ${hidden === 1 ? "1 key: its score becomes" : `${hidden} keys: their scores become`} −∞`;
    },
    () => "softmax: exp of every score, divided by the sum of them all",
    () => "every value times its weight, added up",
  ];
  return `Step ${step + 1}: ${does[step]()}`;
}

/** What is broken by a switch that is off, and which scores are no q·k. */
export function notes(data, state, causal) {
  const row = attend(data, state);
  const result = [];
  if (!state.scaled) {
    const before = Math.max(...attend(data, { ...state, scaled: true }).weights);
    const after = Math.max(...row.weights);
    result.push(
      data.D === 1
        ? "The width is 1, and so is its root: the scale changes nothing."
        : `Without the scale, the largest weight goes from ${shown(before)} to ${shown(after)}.`,
    );
  }
  if (!state.masked) {
    const share = total(row.weights.filter((_, key) => row.hidden[key]));
    if (!row.hidden.some(Boolean)) {
      result.push("This query may see every key: without the mask nothing changes.");
    } else if (causal) {
      result.push(
        `Without the mask, the future is visible: later tokens get ${shown(share)} of the weight.`,
      );
    } else {
      result.push(`Without the mask, hidden keys are visible: they get ${shown(share)} of the weight.`);
    }
  }
  const count = row.edited.size;
  if (count) result.push(`${count} score${count === 1 ? " is" : "s are"} written over by hand.`);
  return result;
}

/** Places to write out and, if there are too many, what the others add up to. */
export function selected(numbers) {
  const places = numbers.map((_, i) => i);
  if (numbers.length <= SHOWN_PRODUCTS) return { places, others: 0, rest: 0 };
  const size = (i) => Math.abs(numbers[i]);
  const chosen = places.sort((a, b) => size(b) - size(a) || a - b).slice(0, SHOWN_PRODUCTS - 1);
  const left = places.slice(SHOWN_PRODUCTS - 1).sort((a, b) => a - b);
  return {
    places: chosen.sort((a, b) => a - b),
    others: left.length,
    rest: total(left.map((i) => numbers[i])),
  };
}

// --- the session: what all views share ------------------------------------------------------------

const STATE = ["query", "step", "scaled", "masked", "edits"];

export class Session {
  constructor(model) {
    this.model = model;
    this.data = read(model.get("numbers"));
    const words = JSON.parse(new TextDecoder().decode(model.get("words")));
    Object.assign(this, { tokens: words.tokens, keys: words.keys, causal: words.causal });
    this.views = new Set();
    this.key = Math.min(this.state.query, this.data.S - 1); // whose arithmetic is written out
    this.onChange = () => this.compute();
    for (const name of STATE) model.on(`change:${name}`, this.onChange);
    this.compute();
  }

  close() {
    for (const name of STATE) this.model.off(`change:${name}`, this.onChange);
    this.tell();
  }

  get state() {
    return Object.fromEntries(STATE.map((name) => [name, this.model.get(name)]));
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

  goTo(step) {
    this.change("step", Math.max(0, Math.min(STEPS.length - 1, step)));
  }

  ask(query) {
    this.change("query", Math.max(0, Math.min(this.data.T - 1, query)));
  }

  /** The key whose arithmetic is written out. */
  look(key) {
    const next = Math.max(0, Math.min(this.data.S - 1, key));
    if (next === this.key) return;
    this.key = next;
    for (const view of this.views) view.draw();
  }

  /** Another score in place of q·k, for the present query. */
  write(key, score) {
    const { query, edits } = this.state;
    const others = edits.filter(([row, column]) => row !== query || column !== key);
    this.change("edits", [...others, [query, key, score]].sort((a, b) => a[0] - b[0] || a[1] - b[1]));
  }

  /** Back to q·k for every key of the present query. */
  reset() {
    const { query, edits } = this.state;
    const others = edits.filter(([row]) => row !== query);
    if (others.length < edits.length) this.change("edits", others);
  }

  compute() {
    this.row = attend(this.data, this.state);
    for (const view of this.views) view.draw();
  }

  get stepSentence() {
    return stepSentence(this.state.step, this.row, this.state);
  }

  get notes() {
    return notes(this.data, this.state, this.causal);
  }
}

// --- the view --------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// JupyterLab takes arrow keys, Enter and letters for itself unless the focused element says so.
const FOCUSABLE = { "data-lm-suppress-shortcuts": "true" };

function drawn(token) {
  return element(
    "bdi",
    { class: "lm-token" },
    ...pieces(token).map(({ text, mark }) =>
      element("span", mark ? { class: "lm-mark" } : {}, text),
    ),
  );
}

/** Numbers as a strip of coloured cells, which tell their number to who points at them. */
class Vector {
  constructor(name, count) {
    this.name = name;
    this.cell = Math.max(1.5, Math.min(16, Math.floor(STRIP_PX / count)));
    this.cells = element("span");
    this.node = element("span", { class: "lm-vector", role: "img" }, this.cells);
    this.node.style.width = `${this.cell * count}px`;
    this.node.style.setProperty("--lm-cell", `${this.cell}px`);
    this.node.classList.toggle("lm-parted", this.cell >= PARTED_PX);
    this.node.vector = this;
  }

  draw(numbers, scale) {
    this.numbers = numbers;
    const gap = this.cell >= PARTED_PX ? 1 : 0;
    const stops = Array.from(numbers, (number, i) => {
      const share = Math.min(1, Math.abs(number) / scale);
      const colour = `rgb(var(--lm-${number < 0 ? "minus" : "plus"}) / ${share.toFixed(3)})`;
      const [from, to] = [i * this.cell, (i + 1) * this.cell];
      return `${colour} ${from}px ${to - gap}px, transparent ${to - gap}px ${to}px`;
    });
    this.cells.style.backgroundImage = `linear-gradient(to right, ${stops.join(", ")})`;
    const some = Array.from(numbers.slice(0, SPOKEN_NUMBERS), (number) => shown(number));
    const more = numbers.length - some.length;
    if (more > 0) some.push(`and ${more} more`);
    this.node.setAttribute("aria-label", `${this.name}: ${some.join(", ")}`);
  }

  /** A part of the value is a part of its colour; the root, for the eye, which sees little of 0.05. */
  fade(weight) {
    this.cells.style.opacity = Math.sqrt(weight);
  }

  at(x) {
    const place = Math.max(0, Math.min(this.numbers.length - 1, Math.floor(x / this.cell)));
    return `${this.name}, number ${place + 1} of ${this.numbers.length}: ${shown(this.numbers[place], 4)}`;
  }
}

class View {
  constructor(session, el) {
    this.session = session;
    this.name = `llmlab-query-${Math.random()}`; // radio buttons of one name are one choice
    const { data } = session;
    const largest = (...lists) => Math.max(...lists.map((list) => Math.max(...list.map(Math.abs)))) || 1;
    this.scale = largest(data.q, data.k);
    this.valueScale = largest(data.v);
    this.step = element("p", { class: "lm-step" });
    this.note = element("p", { class: "lm-note" });
    this.message = element("p", { class: "lm-message", "aria-live": "polite" });
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
    this.detail = element("div", { class: "lm-detail" });
    this.tip = element("div", { class: "lm-tip", "aria-hidden": "true", hidden: "" });
    this.back = element("button", { type: "button", ...FOCUSABLE }, "Back");
    this.next = element("button", { type: "button", ...FOCUSABLE }, "Next");
    this.resetButton = element("button", { type: "button", ...FOCUSABLE }, "Reset scores");
    this.scaled = element("input", { type: "checkbox", ...FOCUSABLE });
    this.masked = element("input", { type: "checkbox", ...FOCUSABLE });
    this.marks = STEPS.map((name, i) => element("li", {}, `${i + 1} ${name}`));
    this.sheet = element(
      "div",
      {
        class: "lm-sheet",
        tabindex: 0,
        role: "group",
        "aria-label":
          "Steps; left and right change the step, up and down the key, page up and down the query",
        ...FOCUSABLE,
      },
      this.table(),
    );
    this.root = element(
      "div",
      { class: "llmlab-attention-stepper", role: "group", "aria-label": "Attention stepper" },
      element("style", {}, STYLE),
      this.queryChoice(),
      element(
        "div",
        { class: "lm-controls" },
        this.back,
        this.next,
        element("ol", { class: "lm-steps", "aria-hidden": "true" }, ...this.marks),
        element("label", {}, this.scaled, "Scale"),
        element("label", {}, this.masked, "Mask"),
        this.resetButton,
      ),
      element("p", { class: "lm-hint lm-muted" }, "← → steps, ↑ ↓ keys"),
      this.step,
      this.note,
      this.sheet,
      this.message,
      this.detail,
      this.live,
      this.tip,
    );
    this.listen();
    el.append(this.root);
    session.views.add(this);
    this.draw();
  }

  /** The text of the queries; a token is chosen to be the one that looks. */
  queryChoice() {
    this.radios = this.session.tokens.map((token, i) =>
      element("input", {
        type: "radio",
        name: this.name,
        value: i,
        "aria-label": spoken(token),
        ...FOCUSABLE,
      }),
    );
    return element(
      "fieldset",
      { class: "lm-queries" },
      element("legend", {}, "Who looks (query)"),
      ...this.radios.map((radio, i) => element("label", {}, radio, drawn(this.session.tokens[i]))),
    );
  }

  table() {
    const { session } = this;
    const { S, D, W } = session.data;
    const column = (step) => ({ class: `lm-column lm-column-${step}` });
    const head = (step, text) => {
      this.heads.push({ step, node: element("th", { scope: "col", ...column(step) }, text) });
      return this.heads.at(-1).node;
    };
    this.heads = [];
    this.queryVector = new Vector("query", D);
    this.queryName = element("th", { scope: "row" });
    this.operations = [0, 1, 2, 3, 3, 4].map((step) => element("td", column(step)));
    this.rows = session.keys.map((token, key) => {
      const vector = new Vector(`key ${spoken(token)}`, D);
      const value = new Vector(`value of ${spoken(token)}`, W);
      vector.draw(session.data.k.slice(key * D, (key + 1) * D), this.scale);
      value.draw(session.data.v.slice(key * W, (key + 1) * W), this.valueScale);
      const input = element("input", {
        type: "text",
        inputmode: "decimal",
        autocomplete: "off",
        spellcheck: "false",
        "aria-label": `Score of ${spoken(token)}`,
        ...FOCUSABLE,
      });
      const cells = [1, 2, 3].map((step) => element("td", { ...column(step) }));
      const share = element("span", { class: "lm-share" });
      const fill = element("span", { class: "lm-fill" });
      const weight = element("td", column(3), share, element("span", { class: "lm-track" }, fill));
      const name = element("th", { scope: "row" }, drawn(token));
      const row = element(
        "tr",
        {},
        name,
        element("td", {}, vector.node),
        element("td", column(0), input),
        ...cells,
        weight,
        element("td", column(4), value.node),
      );
      return { row, name, input, cells, share, fill, weight, value };
    });
    this.sum = element("td", column(3));
    this.weightSum = element("td", column(3));
    this.result = new Vector("output", W);
    return element(
      "table",
      {},
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "col" }, "key"),
          element("th", { scope: "col" }, "vector"),
          head(0, "q·k"),
          head(1, "scaled"),
          head(2, "masked"),
          head(3, "exp"),
          head(3, "weight"),
          head(4, "value"),
        ),
        element(
          "tr",
          { class: "lm-query" },
          this.queryName,
          element("td", {}, this.queryVector.node),
          ...this.operations,
        ),
      ),
      element("tbody", {}, ...this.rows.map(({ row }) => row)),
      element(
        "tfoot",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "row", ...column(3) }, "sum"),
          ...[0, 1, 2, 3].map(() => element("td", column(3))),
          this.sum,
          this.weightSum,
          element("td", column(4), this.result.node),
        ),
      ),
    );
  }

  listen() {
    const { session } = this;
    this.back.addEventListener("click", () => session.goTo(session.state.step - 1));
    this.next.addEventListener("click", () => session.goTo(session.state.step + 1));
    this.resetButton.addEventListener("click", () => {
      this.message.textContent = "";
      session.reset();
    });
    this.scaled.addEventListener("change", () => session.change("scaled", this.scaled.checked));
    this.masked.addEventListener("change", () => session.change("masked", this.masked.checked));
    this.radios.forEach((radio, i) => radio.addEventListener("change", () => session.ask(i)));
    this.rows.forEach(({ row, input }, key) => {
      row.addEventListener("click", () => session.look(key));
      input.addEventListener("focus", () => {
        input.select();
        session.look(key);
      });
      input.addEventListener("input", () => this.type(key));
      input.addEventListener("keydown", (event) => this.walkScores(event, key));
      input.addEventListener("focusout", () => {
        this.typing = undefined;
        session.tell();
        this.draw();
      });
    });
    // JupyterLab takes every Enter in a cell's output away, at the box itself: it must not get there.
    this.root.addEventListener(
      "beforeinput",
      (event) => event.inputType === "insertLineBreak" && event.stopPropagation(),
      true,
    );
    this.root.addEventListener("keydown", (event) => this.walk(event));
    this.root.addEventListener("pointermove", (event) => this.point(event));
    this.root.addEventListener("pointerleave", () => (this.tip.hidden = true));
    // The sentence is as wide as the sheet, and what is done here changes no size of it.
    this.resized = new ResizeObserver(() => {
      this.fit();
      this.reveal();
    });
    this.resized.observe(this.step);
  }

  /** A score is taken as soon as it is a number; until then the last one stays. */
  type(key) {
    const { session } = this;
    const { input } = this.rows[key];
    const score = parsed(input.value);
    this.typing = key; // what stands in the box stays until it is left
    if (score === null) {
      const typed = input.value.length > 30 ? `${input.value.slice(0, 30)}…` : input.value;
      const what = typed.trim() === "" ? "An empty box" : `“\u2068${typed}\u2069”`;
      const why = /^[+-]?[\d.]+e\+?\d+$/i.test(typed.trim()) ? "too large" : "no number";
      this.message.textContent =
        `${what} is ${why}; the score stays ${shown(session.row.scores[key])}. ` +
        "Type a number such as 1.5 or −2.";
      input.setAttribute("aria-invalid", "true");
      return;
    }
    this.message.textContent = "";
    session.write(key, score);
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const weight = shown(session.row.weights[key], 3);
      this.live.textContent = `Score of ${spoken(session.keys[key])} is ${score}, its weight ${weight}`;
    }, SPOKEN_MS);
  }

  walkScores(event, key) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    event.stopPropagation(); // the sheet has other plans for arrows
    if (event.key === "Escape" || event.key === "Enter") {
      event.preventDefault();
      this.typing = undefined;
      this.draw();
      this.rows[key].input.select();
    }
    const next = { ArrowUp: key - 1, ArrowDown: key + 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.rows[Math.max(0, Math.min(this.rows.length - 1, next))].input.focus();
  }

  walk(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.matches("[type=text], [type=radio]")) return; // they have their own use for arrows
    const { session } = this;
    const { step, query } = session.state;
    const moves = {
      ArrowRight: () => session.goTo(step + 1),
      ArrowLeft: () => session.goTo(step - 1),
      ArrowDown: () => session.look(session.key + 1),
      ArrowUp: () => session.look(session.key - 1),
    };
    if (event.target === this.sheet) {
      Object.assign(moves, {
        Home: () => session.look(0),
        End: () => session.look(this.rows.length - 1),
        PageDown: () => session.ask(query + 1),
        PageUp: () => session.ask(query - 1),
      });
    }
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    moves[event.key]();
  }

  /** The number under the pointer, beside it. */
  point(event) {
    const vector = event.target.parentNode?.vector;
    this.tip.hidden = vector === undefined;
    if (vector === undefined) return;
    this.tip.textContent = vector.at(event.offsetX);
    const box = this.root.getBoundingClientRect();
    const left = event.clientX - box.left + 12;
    this.tip.style.left = `${Math.max(0, Math.min(left, box.width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${event.clientY - box.top + 16}px`;
  }

  draw() {
    const { session } = this;
    const { row, state, data } = session;
    const { query, step } = state;
    this.root.dataset.step = step;
    this.radios[query].checked = true;
    this.scaled.checked = state.scaled;
    this.masked.checked = state.masked;
    this.back.setAttribute("aria-disabled", step === 0);
    this.next.setAttribute("aria-disabled", step === STEPS.length - 1);
    this.resetButton.setAttribute("aria-disabled", row.edited.size === 0);
    for (const head of this.heads) {
      head.node.classList.toggle("lm-later", head.step > step);
      head.node.classList.toggle("lm-present", head.step === step);
    }
    this.marks.forEach((mark, i) => mark.classList.toggle("lm-now", i === step));
    this.drawSentences();
    this.queryName.replaceChildren("query ", drawn(session.tokens[query]));
    this.queryVector.draw(data.q.slice(query * data.D, (query + 1) * data.D), this.scale);
    this.drawOperations();
    const longest = Math.max(...row.scores.map((score) => shown(score).length));
    this.sheet.style.setProperty("--lm-score", `${Math.max(5, 0.8 * longest - 0.2)}em`);
    this.rows.forEach((_, key) => this.drawRow(key));
    this.sum.textContent = shown(row.sum, 3);
    this.weightSum.textContent = shown(total(row.weights), 3);
    this.result.draw(row.output, this.valueScale);
    this.detail.replaceChildren(...this.arithmetic());
    this.follow();
    const detail = { query, step, weights: row.weights };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  drawSentences() {
    const { session } = this;
    const { query } = session.state;
    const sentence = session.stepSentence;
    this.step.textContent = sentence;
    this.note.textContent = session.notes.join(" ");
    const words = {
      query: `Query ${spoken(session.tokens[query])}`,
      step: sentence.replaceAll("−∞", "minus infinity"),
      notes: this.note.textContent,
      key: `Key ${spoken(session.keys[session.key])}: ${this.equation().replaceAll("−", "minus ")}`,
    };
    // Only what is new is said, and nothing when the view is opened.
    const before = this.said ?? words;
    const fresh = Object.keys(words).filter((name) => words[name] !== before[name]);
    this.said = words;
    if (fresh.includes("query") || fresh.includes("step")) this.message.textContent = "";
    // The arithmetic of the key changes with almost everything; it is said when nothing else is.
    const said = fresh.length > 1 ? fresh.filter((name) => name !== "key") : fresh;
    if (said.length && this.typing === undefined) {
      clearTimeout(this.speaking);
      this.live.textContent = said.map((name) => words[name]).join(". ");
    }
  }

  drawOperations() {
    const { row, state } = this.session;
    const [dot, scale, mask, exp, weight, value] = this.operations;
    dot.textContent = "Σ q × k";
    scale.textContent = state.scaled ? `÷ ${brief(row.root)}` : "off";
    mask.textContent = state.masked ? (this.session.causal ? "later: −∞" : "hidden: −∞") : "off";
    const sign = row.largest < 0 ? "+" : "−";
    exp.textContent = `exp(s ${sign} ${shown(Math.abs(row.largest))})`;
    weight.textContent = `÷ ${shown(row.sum, 3)}`;
    value.textContent = "× weight";
  }

  drawRow(key) {
    const { session } = this;
    const { row, state } = session;
    const { row: node, input, cells, share, fill, weight, value } = this.rows[key];
    const hidden = row.hidden[key];
    node.classList.toggle("lm-chosen", key === session.key);
    node.classList.toggle("lm-masked", hidden && state.masked);
    node.classList.toggle("lm-exposed", hidden && !state.masked);
    if (key === session.key) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
    if (this.typing !== key) {
      const score = shown(row.scores[key]);
      if (input.value !== score) input.value = score;
      input.removeAttribute("aria-invalid");
    } else if (parsed(input.value) !== null) {
      input.removeAttribute("aria-invalid");
    }
    input.title = row.edited.has(key) ? `written over; q·k is ${row.dots[key]}` : row.dots[key];
    input.tabIndex = key === session.key ? 0 : -1;
    input.classList.toggle("lm-edited", row.edited.has(key));
    const numbers = [row.divided[key], row.kept[key], row.powers[key]];
    cells.forEach((cell, i) => {
      cell.textContent = shown(numbers[i], i === 2 ? 3 : 2);
      cell.title = numbers[i] === -Infinity ? "masked" : numbers[i];
    });
    share.textContent = shown(row.weights[key], 3);
    weight.title = row.weights[key];
    fill.style.transform = `scaleX(${row.weights[key]})`;
    value.fade(row.weights[key]);
  }

  /** The present step's arithmetic for the chosen key, in a line. */
  equation() {
    const { session } = this;
    const { row, state, key, data } = session;
    const score = shown(row.scores[key]);
    const root = brief(row.root);
    switch (state.step) {
      case 0: {
        const sum = shown(row.dots[key]);
        return row.edited.has(key) ? `q·k = ${sum}, written over: ${score}` : `q·k = ${sum}`;
      }
      case 1:
        if (!state.scaled) return `${score}, not divided by ${root}`;
        return `${score} ÷ √${data.D} = ${score} ÷ ${root} = ${shown(row.divided[key])}`;
      case 2:
        if (!row.hidden[key]) return `this key may be seen, the score stays ${shown(row.kept[key])}`;
        if (!state.masked) return `hidden by the mask, if it were on; now ${shown(row.kept[key])}`;
        return `${session.causal ? "later than the query" : "hidden"}, so ${shown(row.divided[key])} becomes −∞`;
      case 3: {
        const sign = row.largest < 0 ? "+" : "−";
        const power = shown(row.powers[key], 3);
        const inside = `${shown(row.kept[key])} ${sign} ${shown(Math.abs(row.largest))}`;
        return `exp(${inside}) = ${power}, and ${power} ÷ ${shown(row.sum, 3)} = ${shown(row.weights[key], 3)}`;
      }
      default:
        return `its value × ${shown(row.weights[key], 3)} goes into the sum`;
    }
  }

  /** The line, and where vectors are combined their numbers one by one. */
  arithmetic() {
    const { session } = this;
    const { row, state, key, data, tokens, keys } = session;
    const { D, W } = data;
    const line = element(
      "p",
      {},
      element("span", { class: "lm-muted" }, "query "),
      drawn(tokens[state.query]),
      element("span", { class: "lm-muted" }, ", key "),
      drawn(keys[key]),
      element("span", { class: "lm-muted" }, ": "),
      this.equation(),
    );
    if (state.step === 0) {
      const product = products(data, state.query, key);
      const { places, others, rest } = selected(product);
      const q = data.q.slice(state.query * D, (state.query + 1) * D);
      const k = data.k.slice(key * D, (key + 1) * D);
      const last = ["sum", "", "", shown(total(product))];
      const table = grid(
        [
          ["query", q],
          ["× key", k],
          ["= product", product],
        ],
        places,
        others ? [`${others} others`, "", "", shown(rest)] : null,
        last,
      );
      return [line, table];
    }
    if (state.step === 4) {
      const value = data.v.slice(key * W, (key + 1) * W);
      const { places, others } = selected(row.output);
      const part = Array.from(value, (number) => number * row.weights[key]);
      const table = grid(
        [
          ["value", value],
          [`× ${shown(row.weights[key], 3)}`, part],
          ["sum of all keys", row.output],
        ],
        places,
        others ? [`${others} others`, "…", "…", "…"] : null,
      );
      return [line, table];
    }
    return [line];
  }

  /** The chosen row and the present column are in sight; the page itself does not move. */
  follow() {
    const { sheet } = this;
    this.fit();
    const { row } = this.rows[this.session.key];
    const [head, foot] = ["thead", "tfoot"].map((tag) => sheet.querySelector(tag).offsetHeight);
    const [top, bottom] = [row.offsetTop - head, row.offsetTop + row.offsetHeight + foot];
    if (sheet.scrollTop > top) sheet.scrollTop = top;
    if (sheet.scrollTop < bottom - sheet.clientHeight) sheet.scrollTop = bottom - sheet.clientHeight;
    const { step } = this.session.state;
    if (step === this.shownStep) return;
    this.shownStep = step;
    this.reveal();
  }

  /** Where each column in sight begins and ends, without the first one, which stays where it is. */
  columns() {
    const [first, ...cells] = this.rows[0].row.children;
    const fixed = first.getBoundingClientRect().width;
    const from = this.sheet.firstChild.getBoundingClientRect().left + fixed;
    const columns = cells
      .map((cell) => ({ cell, box: cell.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 0)
      .map(({ cell, box }) => ({ cell, start: box.left - from, end: box.right - from }));
    return { columns, fixed, room: this.sheet.clientWidth - fixed };
  }

  /**
   * Where not all columns have room, that of the vectors is seen in the first step only and that of
   * the values after it. If this does not do, the sheet scrolls from column to column; a margin lets
   * the last of them, too, begin where the first one ends.
   */
  fit() {
    const { sheet, root } = this;
    const left = sheet.scrollLeft;
    sheet.style.setProperty("--lm-rest", "0px");
    root.classList.remove("lm-folded");
    root.classList.toggle("lm-folded", sheet.firstChild.offsetWidth > sheet.clientWidth);
    const { columns, fixed, room } = this.columns();
    if (columns.length === 0) return; // not on the page yet, or hidden
    const over = columns.at(-1).end - room;
    const last = columns.find(({ start }) => start >= over) ?? columns.at(-1);
    sheet.style.setProperty("--lm-fixed", `${fixed}px`);
    if (over > 1) sheet.style.setProperty("--lm-rest", `${Math.max(0, last.start - over)}px`);
    sheet.scrollLeft = left;
  }

  /** The present step's last column is in sight, and no column is half behind the first one. */
  reveal() {
    const { columns, room } = this.columns();
    if (columns.length === 0) return;
    const name = `lm-column-${this.session.state.step}`;
    const present = columns.findLast(({ cell }) => cell.classList.contains(name));
    const enough = columns.find(({ start }) => start >= present.end - room - 1);
    this.sheet.scrollLeft = Math.min(present.start, enough?.start ?? present.start);
  }

  close() {
    clearTimeout(this.speaking);
    this.resized.disconnect();
    this.session.views.delete(this);
    this.root.remove(); // its listeners go with it
  }
}

/** Rows of numbers with names, some of their places as columns. */
function grid(rows, places, ...more) {
  const ends = more.filter((column) => column !== null);
  const head = [
    element("td"),
    ...places.map((i) => element("th", { scope: "col" }, i + 1)),
    ...ends.map(([name]) => element("th", { scope: "col" }, name)),
  ];
  return element(
    "table",
    { class: "lm-grid" },
    element("thead", {}, element("tr", {}, ...head)),
    element(
      "tbody",
      {},
      ...rows.map(([name, numbers], r) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, name),
          ...places.map((i) => element("td", { title: numbers[i] }, shown(numbers[i]))),
          ...ends.map((column) => element("td", {}, column[r + 1])),
        ),
      ),
    ),
  );
}

const STYLE = `
.llmlab-attention-stepper {
  --lm-ink: var(--jp-ui-font-color1, #212121);
  --lm-paper: var(--jp-layout-color1, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-faint: var(--jp-border-color2, #e0e0e0);
  --lm-shade: var(--jp-layout-color2, #eeeeee);
  --lm-focus: var(--jp-brand-color1, #1976d2);
  --lm-error: var(--jp-error-color1, #d32f2f);
  --lm-muted: color-mix(in srgb, var(--lm-ink) 75%, var(--lm-paper));
  /* Seen on every ground, that of the chosen row, too. */
  --lm-edge: color-mix(in srgb, var(--lm-ink) 58%, transparent);
  --lm-part: color-mix(in srgb, var(--lm-ink) 22%, transparent);
  --lm-hatch: color-mix(in srgb, var(--lm-ink) 15%, transparent);
  --lm-plus: 213 94 0;
  --lm-minus: 0 114 178;
  position: relative; box-sizing: border-box; max-width: 66em; padding: 4px;
  color: var(--lm-ink); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
@media (prefers-color-scheme: dark) {
  .llmlab-attention-stepper {
    --lm-ink: var(--jp-ui-font-color1, #eeeeee);
    --lm-paper: var(--jp-layout-color1, #1e1e1e);
    --lm-line: var(--jp-border-color1, #616161);
    --lm-faint: var(--jp-border-color2, #424242);
    --lm-shade: var(--jp-layout-color2, #333333);
    --lm-focus: var(--jp-brand-color1, #64b5f6);
    --lm-error: var(--jp-error-color1, #ef9a9a);
    --lm-plus: 255 140 60;
    --lm-minus: 86 180 233;
  }
}
body[data-jp-theme-light="true"] .llmlab-attention-stepper {
  --lm-plus: 213 94 0; --lm-minus: 0 114 178;
}
body[data-jp-theme-light="false"] .llmlab-attention-stepper {
  --lm-plus: 255 140 60; --lm-minus: 86 180 233;
}
.llmlab-attention-stepper [hidden] { display: none; }
.llmlab-attention-stepper p { margin: 0; }
.llmlab-attention-stepper fieldset { min-width: 0; margin: 0; padding: 0; border: 0; }
.llmlab-attention-stepper legend { padding: 0; color: var(--lm-muted); }
.llmlab-attention-stepper .lm-queries label { position: relative; display: inline-block; margin: 2px 2px 0 0; }
.llmlab-attention-stepper .lm-queries input { position: absolute; opacity: 0; inset: 0; width: 100%; height: 100%; margin: 0; cursor: pointer; }
.llmlab-attention-stepper .lm-queries bdi {
  display: block; padding: 1px 6px; border: 1px solid var(--lm-faint); border-radius: 3px;
}
.llmlab-attention-stepper .lm-queries input:hover + bdi { border-color: var(--lm-muted); }
.llmlab-attention-stepper .lm-queries input:checked + bdi {
  border-color: var(--lm-focus); box-shadow: inset 0 -2px var(--lm-focus); font-weight: 600;
}
.llmlab-attention-stepper .lm-queries input:focus-visible + bdi,
.llmlab-attention-stepper :is(button, .lm-sheet, input):focus-visible {
  outline: 2px solid var(--lm-focus); outline-offset: 1px;
}
.llmlab-attention-stepper .lm-token { font-family: var(--jp-code-font-family, monospace); white-space: pre; }
.llmlab-attention-stepper .lm-mark { color: var(--lm-muted); font-weight: normal; }
.llmlab-attention-stepper .lm-muted { color: var(--lm-muted); }
.llmlab-attention-stepper .lm-controls {
  display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px; margin: 10px 0 2px;
}
.llmlab-attention-stepper .lm-hint { margin: 0 0 6px; }
.llmlab-attention-stepper .lm-controls label { display: flex; align-items: center; gap: 4px; }
.llmlab-attention-stepper .lm-controls input { accent-color: var(--lm-focus); margin: 0; }
.llmlab-attention-stepper button {
  padding: 3px 12px; color: inherit; font: inherit; cursor: pointer;
  background: var(--lm-paper); border: 1px solid var(--lm-line); border-radius: 3px;
}
.llmlab-attention-stepper [aria-disabled="true"] { color: var(--lm-muted); border-color: var(--lm-faint); cursor: default; }
.llmlab-attention-stepper .lm-steps { display: flex; flex-wrap: wrap; gap: 2px 12px; margin: 0 auto 0 4px; padding: 0; list-style: none; color: var(--lm-muted); }
.llmlab-attention-stepper .lm-steps li { border-bottom: 2px solid transparent; }
.llmlab-attention-stepper .lm-steps .lm-now { color: var(--lm-ink); border-color: var(--lm-focus); }
.llmlab-attention-stepper .lm-step { margin: 0 0 2px; font-size: 15px; font-weight: 600; }
.llmlab-attention-stepper .lm-sheet {
  position: relative; max-height: 30em; overflow: auto; background: var(--lm-paper);
  scroll-snap-type: x mandatory; scroll-padding-inline-start: var(--lm-fixed);
  border: 1px solid var(--lm-faint); border-radius: 3px;
}
.llmlab-attention-stepper table {
  border-collapse: separate; border-spacing: 0; color: inherit; font: inherit;
  font-variant-numeric: tabular-nums;
}
.llmlab-attention-stepper .lm-sheet table { min-width: 100%; padding-inline-end: var(--lm-rest); }
.llmlab-attention-stepper .lm-sheet tbody td { scroll-snap-align: start; }
.llmlab-attention-stepper :is(th, td) {
  padding: 2px 5px; text-align: end; white-space: nowrap; font-weight: normal;
}
.llmlab-attention-stepper .lm-sheet :is(th, td) { background: var(--lm-paper); }
.llmlab-attention-stepper .lm-sheet :is(th, td):is(:first-child, :nth-child(2), :last-child) { text-align: start; }
.llmlab-attention-stepper .lm-sheet tr > :first-child { position: sticky; left: 0; z-index: 1; }
.llmlab-attention-stepper .lm-sheet :is(thead, tfoot) { position: sticky; z-index: 2; }
.llmlab-attention-stepper .lm-sheet thead { top: 0; }
.llmlab-attention-stepper .lm-sheet tfoot { bottom: 0; }
.llmlab-attention-stepper .lm-sheet thead th { color: var(--lm-muted); }
.llmlab-attention-stepper .lm-sheet .lm-query > * { border-bottom: 1px solid var(--lm-line); color: var(--lm-muted); }
.llmlab-attention-stepper .lm-sheet .lm-query .lm-token { color: var(--lm-ink); font-weight: 600; }
.llmlab-attention-stepper .lm-sheet tfoot > tr > * { border-top: 1px solid var(--lm-line); }
.llmlab-attention-stepper .lm-sheet tfoot th { color: var(--lm-muted); }
.llmlab-attention-stepper .lm-vector {
  display: inline-block; height: 14px; vertical-align: middle; outline: 1px solid var(--lm-edge);
}
.llmlab-attention-stepper .lm-parted {
  background-image: repeating-linear-gradient(
    to right, transparent 0 calc(var(--lm-cell) - 1px), var(--lm-part) calc(var(--lm-cell) - 1px) var(--lm-cell)
  );
}
.llmlab-attention-stepper.lm-folded[data-step="0"] .lm-sheet :is(th, td):last-child,
.llmlab-attention-stepper.lm-folded:not([data-step="0"]) .lm-sheet :is(th, td):nth-child(2) { display: none; }
.llmlab-attention-stepper .lm-vector > span { display: block; height: 100%; }
.llmlab-attention-stepper .lm-sheet .lm-chosen > * { background: var(--lm-shade); }
.llmlab-attention-stepper .lm-sheet .lm-chosen > th { box-shadow: inset 3px 0 var(--lm-focus); }
.llmlab-attention-stepper .lm-sheet input {
  box-sizing: border-box; width: var(--lm-score); padding: 0 3px; color: inherit; font: inherit; text-align: end;
  font-variant-numeric: tabular-nums; background: transparent; border: 1px solid var(--lm-edge); border-radius: 2px;
}
.llmlab-attention-stepper .lm-sheet input:hover { border-color: var(--lm-muted); }
.llmlab-attention-stepper .lm-sheet input:focus { background: var(--lm-paper); }
.llmlab-attention-stepper .lm-sheet input.lm-edited { font-weight: 600; border-color: var(--lm-focus); }
.llmlab-attention-stepper .lm-sheet input[aria-invalid] { border-color: var(--lm-error); }
.llmlab-attention-stepper .lm-share { display: inline-block; min-width: 3.4em; }
.llmlab-attention-stepper .lm-track { display: inline-block; width: 44px; height: 10px; margin-inline-start: 6px; background: var(--lm-part); }
.llmlab-attention-stepper .lm-fill { display: block; height: 100%; background: var(--lm-focus); transform-origin: left; }
.llmlab-attention-stepper .lm-exposed > th { text-decoration: underline 2px var(--lm-error); text-underline-offset: 3px; }
.llmlab-attention-stepper[data-step="2"] .lm-masked > .lm-column-2 { font-weight: 600; }
.llmlab-attention-stepper:not([data-step="0"], [data-step="1"]) .lm-masked > :is(.lm-column-2, .lm-column-3, .lm-column-4) {
  color: var(--lm-muted);
  background-image: repeating-linear-gradient(135deg, var(--lm-hatch) 0 1px, transparent 1px 6px);
}
.llmlab-attention-stepper .lm-later { opacity: 0.85; }
.llmlab-attention-stepper[data-step="0"] :is(td, tfoot th):is(.lm-column-1, .lm-column-2, .lm-column-3, .lm-column-4),
.llmlab-attention-stepper[data-step="1"] :is(td, tfoot th):is(.lm-column-2, .lm-column-3, .lm-column-4),
.llmlab-attention-stepper[data-step="2"] :is(td, tfoot th):is(.lm-column-3, .lm-column-4),
.llmlab-attention-stepper[data-step="3"] td.lm-column-4 { visibility: hidden; }
.llmlab-attention-stepper .lm-sheet thead th.lm-present { color: var(--lm-ink); font-weight: 600; }
.llmlab-attention-stepper .lm-note { min-height: 1.4em; margin: 0 0 6px; }
.llmlab-attention-stepper .lm-message { min-height: 1.4em; margin: 4px 0 0; color: color-mix(in srgb, var(--lm-error) 70%, var(--lm-ink)); overflow-wrap: anywhere; }
.llmlab-attention-stepper .lm-detail { min-height: 8.2em; overflow-x: auto; }
.llmlab-attention-stepper .lm-grid { margin-top: 4px; }
.llmlab-attention-stepper .lm-grid :is(th, td) { padding: 0 7px; }
.llmlab-attention-stepper .lm-grid th { color: var(--lm-muted); text-align: end; }
.llmlab-attention-stepper .lm-grid tbody tr:last-child td { border-top: 1px solid var(--lm-line); }
.llmlab-attention-stepper .lm-tip {
  position: absolute; z-index: 2; padding: 1px 6px; pointer-events: none; white-space: nowrap;
  color: var(--lm-ink); background: var(--lm-paper); border: 1px solid var(--lm-line); border-radius: 3px;
}
.llmlab-attention-stepper .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
}
@media (forced-colors: active) {
  .llmlab-attention-stepper .lm-vector { forced-color-adjust: none; background-color: white; outline-color: CanvasText; --lm-part: rgb(0 0 0 / 0.25); --lm-plus: 213 94 0; --lm-minus: 0 114 178; }
  .llmlab-attention-stepper .lm-track { box-sizing: border-box; border: 1px solid ButtonText; }
  .llmlab-attention-stepper .lm-fill { forced-color-adjust: none; background: Highlight; }
  .llmlab-attention-stepper .lm-steps li:not(.lm-now) { border-color: Canvas; }
  .llmlab-attention-stepper .lm-steps .lm-now { border-color: Highlight; }
  .llmlab-attention-stepper .lm-queries input:checked + bdi { border: 2px solid Highlight; }
  .llmlab-attention-stepper .lm-chosen > th { border-inline-start: 3px solid Highlight; }
}
@media (prefers-reduced-motion: no-preference) {
  .llmlab-attention-stepper .lm-fill { transition: transform 120ms ease-out; }
  .llmlab-attention-stepper tbody .lm-column-4 .lm-vector > span { transition: opacity 120ms ease-out; }
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
