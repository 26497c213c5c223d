// The browser's half of llmlab.viz.NextToken.
//
// The kernel sends all logits of one text; softmax, selection and drawing happen here, so the
// temperature slider needs no kernel. One Session per model holds what all its views share and
// speaks with the kernel; a View is one drawing of that session.

const PAUSE_MS = 20; // a held key or a paste is one request, not many
const SLOW_MS = 300; // answers quicker than this are not worth a word
const DEAD_MS = 10_000;
const SPOKEN_MS = 700; // a screen reader is told of the newest bars at most this often
const UNDO_STEPS = 200;
const SHOWN_CHARACTERS = 60; // of one token

// --- pure functions ---------------------------------------------------------------------------

/** Ids of the `count` largest logits, largest first, equal ones by lower id. */
export function topIds(logits, count) {
  const best = [];
  for (let id = 0; id < logits.length; id++) {
    // Ids come in rising order, so an equal logit never displaces one that is already in.
    if (best.length === count && !(logits[id] > logits[best[count - 1]])) continue;
    let place = best.length === count ? count - 1 : best.length;
    while (place > 0 && logits[best[place - 1]] < logits[id]) {
      best[place] = best[place - 1];
      place--;
    }
    best[place] = id;
  }
  return best;
}

/** softmax(logits / temperature); at 0 all mass is on the most likely token. */
export function probabilities(logits, temperature) {
  const top = topIds(logits, 1)[0];
  const result = new Float64Array(logits.length);
  if (!(temperature > 0)) {
    result[top] = 1;
    return result;
  }
  // Subtracting the largest logit keeps exp() from overflowing and changes no probability.
  let sum = 0;
  for (let id = 0; id < logits.length; id++) {
    sum += result[id] = Math.exp((logits[id] - logits[top]) / temperature);
  }
  for (let id = 0; id < logits.length; id++) result[id] /= sum;
  return result;
}

/** The id at which the running sum of probabilities passes `uniform`, a number in [0, 1). */
export function sampleId(probability, uniform) {
  let sum = 0;
  let last = 0;
  for (let id = 0; id < probability.length; id++) {
    if (probability[id] === 0) continue; // rounding must not pick what cannot happen
    sum += probability[id];
    last = id;
    if (uniform < sum) return id;
  }
  return last;
}

export function percent(probability) {
  const value = 100 * probability;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.05) return "<0.1 %";
  if (value >= 99.95) return ">99.9 %";
  return `${value.toFixed(1)} %`;
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
    if (count++ === SHOWN_CHARACTERS) {
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

/** What a screen reader says: "space Paris, 42.1 percent". */
export function spoken(token, probability) {
  const words = pieces(token).map((piece) => piece.words);
  const share = percent(probability).replace("<", "less than ").replace(">", "more than ");
  return `${words.join(" ")}, ${share.replace(" %", " percent")}`;
}

/** Half a surrogate pair cannot travel as utf-8; it becomes the replacement character. */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** Bytes from the kernel may start anywhere in their buffer; floats need a multiple of four. */
export function floats(view) {
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

// --- the session: text, history, and the talk with the kernel ------------------------------------

export class Session {
  constructor(model) {
    this.model = model;
    this.vocabulary = JSON.parse(new TextDecoder().decode(model.get("vocabulary")));
    this.text = this.answeredText = model.get("text");
    this.history = [];
    this.lastChange = "";
    this.status = "";
    this.inFlight = null;
    // Two pages may talk to one kernel: a random start keeps their request numbers apart.
    this.n = Math.floor(Math.random() * 2 ** 40);
    this.views = new Set();
    this.readAnswer();
    this.onAnswer = () => this.receive();
    this.onTemperature = () => this.redraw();
    this.onTop = () => {
      this.choose();
      this.redraw();
    };
    model.on("change:answer", this.onAnswer);
    model.on("change:temperature", this.onTemperature);
    model.on("change:top", this.onTop);
  }

  close() {
    this.model.off("change:answer", this.onAnswer);
    this.model.off("change:temperature", this.onTemperature);
    this.model.off("change:top", this.onTop);
    this.stopTimers();
    clearTimeout(this.pause);
  }

  /** True while the bars belong to the text in the box. */
  get settled() {
    return this.text === this.answeredText && this.error === "" && this.logits !== null;
  }

  /** How many bars there are. */
  get top() {
    return Math.min(this.model.get("top"), this.vocabulary.length);
  }

  get temperature() {
    return this.model.get("temperature");
  }

  /** Takes effect here at once; the kernel hears of it with the next request or `tellKernel`. */
  set temperature(value) {
    this.model.set("temperature", value);
  }

  tellKernel() {
    this.model.save_changes();
  }

  /** One burst of typing is one step back. */
  remember(change) {
    if (change !== "typing" || this.lastChange !== "typing") this.history.push(this.text);
    if (this.history.length > UNDO_STEPS) this.history.shift();
    this.lastChange = change;
  }

  change(text, change) {
    text = wellFormed(text);
    if (text === this.text) return;
    this.remember(change);
    this.moveTo(text);
  }

  undo() {
    this.lastChange = "undo";
    if (this.history.length) this.moveTo(this.history.pop());
  }

  moveTo(text) {
    this.text = text;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.ask(), this.lastChange === "typing" ? PAUSE_MS : 0);
    this.redraw();
  }

  append(id) {
    if (this.settled) this.change(this.text + this.vocabulary[id], "append");
  }

  sample() {
    if (!this.settled) return;
    this.append(sampleId(probabilities(this.logits, this.temperature), Math.random()));
  }

  /** At most one request is under way, so a slow model never works through a queue of old texts. */
  ask() {
    if (this.inFlight !== null || this.text === this.answeredText) return;
    this.inFlight = ++this.n;
    this.slow = setTimeout(() => this.say("computing…"), SLOW_MS);
    this.dead = setTimeout(
      () => this.say("the kernel is busy or stopped: run the cell again"),
      DEAD_MS,
    );
    this.model.set("request", { n: this.n, text: this.text });
    this.model.save_changes();
  }

  receive() {
    if (this.model.get("answer").n === this.inFlight) {
      this.inFlight = null;
      this.stopTimers();
      this.status = "";
    } else if (this.model.get("text") !== this.text) {
      // Nothing asked for this one: `widget.text = …` in Python, or another page.
      this.remember("kernel");
      this.text = this.model.get("text");
    }
    this.answeredText = this.model.get("text");
    this.readAnswer();
    this.redraw();
    this.ask(); // the text may have moved on meanwhile
  }

  readAnswer() {
    this.error = this.model.get("answer").error;
    const bytes = this.model.get("logits");
    this.logits = bytes.byteLength ? floats(bytes) : null;
    this.choose();
  }

  choose() {
    this.ids = this.logits ? topIds(this.logits, this.top) : [];
  }

  say(status) {
    this.status = status;
    this.redraw();
  }

  stopTimers() {
    clearTimeout(this.slow);
    clearTimeout(this.dead);
  }

  redraw() {
    for (const view of this.views) view.draw();
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

class View {
  constructor(session, el) {
    this.session = session;
    this.shownText = null;
    this.box = element("textarea", { rows: 2, dir: "auto", spellcheck: "false", ...FOCUSABLE });
    this.slider = element("input", { type: "range", min: 0, max: 2, step: 0.05, ...FOCUSABLE });
    this.reading = element("output", { class: "lm-reading" });
    this.sampleButton = element("button", { type: "button", ...FOCUSABLE }, "Sample");
    this.undoButton = element("button", { type: "button", ...FOCUSABLE }, "Undo");
    this.message = element("p", { class: "lm-message", role: "status" });
    this.others = element("p", { class: "lm-others" });
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
    this.rows = [];
    this.chosen = 0;
    this.list = element("ol", {
      class: "lm-bars",
      role: "list",
      "aria-label": "Most likely next tokens; Enter appends one",
    });
    this.root = element(
      "div",
      { class: "llmlab-next-token", role: "group", "aria-label": "Next token" },
      element("style", {}, STYLE),
      element("label", { class: "lm-text" }, "Text", this.box),
      element(
        "div",
        { class: "lm-controls" },
        element("label", {}, "Temperature", this.slider, this.reading),
        this.sampleButton,
        this.undoButton,
      ),
      this.message,
      this.list,
      this.others,
      this.live,
    );
    this.listen();
    el.append(this.root);
    session.views.add(this);
    this.draw();
  }

  /** Rows are made once and refilled, so the focus stays where it is when new bars come. */
  row(rank) {
    const token = element("bdi", { class: "lm-token" });
    const fill = element("span", { class: "lm-fill" });
    const share = element("span", { class: "lm-share" });
    const track = element("span", { class: "lm-track" }, fill);
    const button = element("button", { type: "button", ...FOCUSABLE }, token, track, share);
    button.addEventListener("click", () => {
      button.focus(); // not every browser focuses a clicked button
      this.session.append(this.session.ids[rank]);
    });
    button.addEventListener("focus", () => this.choose(rank));
    return { item: element("li", {}, button), button, token, fill, share };
  }

  listen() {
    const { session, box, slider } = this;
    box.addEventListener("input", () => {
      this.shownText = wellFormed(box.value);
      session.change(box.value, "typing");
    });
    // JupyterLab takes every Enter in a cell's output away, at the box itself: it must not get there.
    this.root.addEventListener(
      "beforeinput",
      (event) => event.inputType === "insertLineBreak" && event.stopPropagation(),
      true,
    );
    slider.addEventListener("input", () => (session.temperature = Number(slider.value)));
    // Python learns the temperature when the person is done, not once per step. For a pointer that
    // is `change`: not every browser focuses a slider that is dragged. A key causes a `change` per
    // step, but it needs the focus, so `focusout` will come.
    let byKey = false;
    slider.addEventListener("keydown", () => (byKey = true));
    slider.addEventListener("pointerdown", () => (byKey = false));
    slider.addEventListener("change", () => byKey || session.tellKernel());
    slider.addEventListener("focusout", () => {
      byKey = false;
      session.tellKernel();
    });
    this.sampleButton.addEventListener("click", () => session.sample());
    this.undoButton.addEventListener("click", () => session.undo());
    this.list.addEventListener("keydown", (event) => this.walk(event));
  }

  /** As many rows as there are bars; the focus stays in the list when its row goes. */
  fitRows() {
    const { top } = this.session;
    if (this.rows.length === top) return;
    while (this.rows.length < top) {
      this.rows.push(this.row(this.rows.length));
      this.list.append(this.rows.at(-1).item);
    }
    const gone = this.rows.splice(top);
    const focused = gone.some((row) => row.button.matches(":focus"));
    this.choose(Math.min(this.chosen, top - 1));
    if (focused) this.rows[this.chosen].button.focus();
    for (const row of gone) row.item.remove();
  }

  /** One bar is the list's tab stop; the arrow keys move between bars. */
  choose(rank) {
    this.rows.forEach((row, other) => (row.button.tabIndex = other === rank ? 0 : -1));
    this.chosen = rank;
  }

  walk(event) {
    const last = this.rows.length - 1;
    const steps = { ArrowUp: this.chosen - 1, ArrowDown: this.chosen + 1, Home: 0, End: last };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.rows[Math.min(last, Math.max(0, steps[event.key]))].button.focus();
  }

  draw() {
    const { session } = this;
    this.fitRows();
    if (session.text !== this.shownText) this.box.value = this.shownText = session.text;
    this.slider.value = session.temperature;
    this.reading.value = session.temperature.toFixed(2);
    this.sampleButton.setAttribute("aria-disabled", !session.settled);
    this.undoButton.setAttribute("aria-disabled", session.history.length === 0);
    const failed = session.error !== "" && session.text === session.answeredText;
    this.message.textContent = session.status || (failed ? session.error : "");
    this.message.classList.toggle("lm-failed", failed && !session.status);
    this.list.hidden = this.others.hidden = session.logits === null;
    this.root.classList.toggle("lm-old", failed || session.status !== "");
    this.list.setAttribute("aria-busy", !session.settled && !failed);
    if (session.logits !== null) this.drawBars();
    // For those who watch from outside: do these bars, or this message, belong to this text?
    this.root.dataset.settled = session.text === session.answeredText;
    if (session.text !== session.answeredText) return;
    const detail = { n: session.model.get("answer").n, text: session.text };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  drawBars() {
    const { session } = this;
    const probability = probabilities(session.logits, session.temperature);
    let rest = 1;
    this.rows.forEach((row, rank) => {
      const id = session.ids[rank];
      const token = session.vocabulary[id];
      const drawn = pieces(token);
      rest -= probability[id];
      row.token.replaceChildren(
        ...drawn.map(({ text, mark }) => element("span", mark ? { class: "lm-mark" } : {}, text)),
      );
      row.button.title = drawn.map(({ text }) => text).join("");
      row.button.setAttribute("aria-label", spoken(token, probability[id]));
      row.fill.style.transform = `scaleX(${probability[id]})`;
      row.share.textContent = percent(probability[id]);
    });
    const count = session.vocabulary.length - this.rows.length;
    const noun = count === 1 ? "token" : "tokens";
    const mass = percent(rest < 1e-9 ? 0 : rest);
    this.others.textContent = `${count.toLocaleString("en")} other ${noun}: ${mass}`;
    const first = session.ids[0];
    this.summary = `Most likely next: ${spoken(session.vocabulary[first], probability[first])}`;
    this.speaking ??= setTimeout(() => {
      this.speaking = undefined;
      this.live.textContent = this.summary;
    }, SPOKEN_MS);
  }

  close() {
    clearTimeout(this.speaking);
    this.session.views.delete(this);
    this.root.remove(); // its listeners go with it
  }
}

const STYLE = `
.llmlab-next-token {
  --lm-ink: var(--jp-ui-font-color1, #212121);
  --lm-muted: var(--jp-ui-font-color2, #616161);
  --lm-paper: var(--jp-layout-color1, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-shade: var(--jp-layout-color2, #eeeeee);
  --lm-bar: var(--jp-brand-color1, #1976d2);
  --lm-error: var(--jp-error-color1, #d32f2f);
  box-sizing: border-box; max-width: 44em; padding: 4px;
  color: var(--lm-ink); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
@media (prefers-color-scheme: dark) {
  .llmlab-next-token {
    --lm-ink: var(--jp-ui-font-color1, #eeeeee);
    --lm-muted: var(--jp-ui-font-color2, #bdbdbd);
    --lm-paper: var(--jp-layout-color1, #1e1e1e);
    --lm-line: var(--jp-border-color1, #616161);
    --lm-shade: var(--jp-layout-color2, #333333);
    --lm-bar: var(--jp-brand-color1, #64b5f6);
    --lm-error: var(--jp-error-color1, #ef9a9a);
  }
}
.llmlab-next-token [hidden] { display: none; }
.llmlab-next-token textarea, .llmlab-next-token button {
  box-sizing: border-box; color: inherit; background: var(--lm-paper);
  border: 1px solid var(--lm-line); border-radius: 3px;
}
.llmlab-next-token textarea {
  display: block; width: 100%; margin-top: 2px; padding: 4px 6px; resize: vertical;
  font: 14px/1.5 var(--jp-code-font-family, monospace);
}
.llmlab-next-token button { font: inherit; padding: 3px 10px; cursor: pointer; }
.llmlab-next-token [aria-disabled="true"] { color: var(--lm-muted); cursor: default; }
.llmlab-next-token :is(textarea, button, input):focus-visible {
  outline: 2px solid var(--lm-bar); outline-offset: 1px;
}
.llmlab-next-token .lm-controls {
  display: flex; flex-wrap: wrap; align-items: center; gap: 6px 8px; margin: 8px 0;
}
.llmlab-next-token .lm-controls label { display: flex; align-items: center; gap: 6px; flex: 1 1 15em; }
.llmlab-next-token input[type="range"] { flex: 1; min-width: 6em; accent-color: var(--lm-bar); }
.llmlab-next-token .lm-reading { width: 2.5em; font-variant-numeric: tabular-nums; }
.llmlab-next-token .lm-message { min-height: 1.4em; margin: 0 0 4px; color: var(--lm-muted); overflow-wrap: anywhere; }
.llmlab-next-token .lm-failed { color: var(--lm-error); }
.llmlab-next-token .lm-bars { list-style: none; margin: 0; padding: 0; }
.llmlab-next-token .lm-bars li { margin: 0; }
.llmlab-next-token .lm-bars button {
  display: grid; grid-template-columns: minmax(6em, 28%) 1fr 4.5em; align-items: center; gap: 8px;
  width: 100%; padding: 2px 4px; border-color: transparent; text-align: start; background: none;
}
.llmlab-next-token .lm-bars button:focus-visible { outline-offset: -2px; }
.llmlab-next-token .lm-bars button:hover { background: var(--lm-shade); }
.llmlab-next-token .lm-token {
  overflow: hidden; text-overflow: ellipsis; text-align: left; white-space: pre;
  font-family: var(--jp-code-font-family, monospace);
}
.llmlab-next-token .lm-mark, .llmlab-next-token .lm-others { color: var(--lm-muted); }
.llmlab-next-token .lm-track { height: 14px; background: var(--lm-shade); }
.llmlab-next-token .lm-fill {
  display: block; height: 100%; background: var(--lm-bar); transform-origin: left;
}
.llmlab-next-token .lm-share { text-align: end; font-variant-numeric: tabular-nums; }
.llmlab-next-token .lm-others { margin: 4px; text-align: end; }
.llmlab-next-token.lm-old :is(.lm-bars, .lm-others) { opacity: 0.5; filter: grayscale(1); }
.llmlab-next-token .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
}
@media (forced-colors: active) {
  .llmlab-next-token .lm-track { box-sizing: border-box; border: 1px solid ButtonText; }
  .llmlab-next-token .lm-fill { forced-color-adjust: none; background: Highlight; }
}
@media (prefers-reduced-motion: no-preference) {
  .llmlab-next-token .lm-fill { transition: transform 80ms ease-out; }
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
