// The browser's half of llmlab.viz.LeaveOneOut.
//
// The kernel sends the probability of a text, and of the text without each of its words; how much
// a word moves the answer is computed and coloured here. One Session per model holds what all its
// views share and speaks with the kernel; a View is one drawing of that session.

const PAUSE_MS = 150; // a text is read once for each of its words, so not at every key
const SLOW_MS = 300; // answers quicker than this are not worth a word
const DEAD_MS = 20_000;
const SPOKEN_MS = 700; // a screen reader is told of the newest answer at most this often
const UNDO_STEPS = 200;
const LEAST = 1e-6; // as in leave_one_out.py
const FULL = 2; // log-odds: a word that moves the answer by less never has the full colour

// --- pure functions ---------------------------------------------------------------------------

/** ln(p / (1 - p)), with p kept away from 0 and 1. */
export function logOdds(probability) {
  const kept = Math.min(Math.max(probability, LEAST), 1 - LEAST);
  return Math.log(kept) - Math.log1p(-kept);
}

/** By how much each word raises the log-odds. */
export function influences({ probability, words }) {
  const whole = logOdds(probability);
  return words.map(([, without]) => whole - logOdds(without));
}

/** How strongly each word is coloured, 0 to 1: beside the strongest of the text. */
export function strengths(moved) {
  const most = Math.max(FULL, ...moved.map(Math.abs));
  return moved.map((value) => Math.abs(value) / most);
}

export function percent(probability) {
  const value = 100 * probability;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.05) return "<0.1 %";
  if (value >= 99.95) return ">99.9 %";
  return `${value.toFixed(1)} %`;
}

/** The spaces around a word, and the word. */
export function parts(piece) {
  const [, before, word, after] = /^(\s*)(.*?)(\s*)$/su.exec(piece);
  return { before, word, after };
}

/** The text without one of its words, as the kernel leaves it out. */
export function without(words, place) {
  return words
    .filter((_, other) => other !== place)
    .map(([piece]) => piece)
    .join("")
    .trimStart();
}

/** What a word does, in a sentence. */
export function sentence({ probability, words }, place, label) {
  const [piece, less] = words[place];
  const now = percent(probability);
  const then = percent(less);
  const { word } = parts(piece);
  if (now === then) return `without “${word}”: ${label} ${then}, as now`;
  return `without “${word}”: ${label} ${then}, not ${now}`;
}

/** Text that can travel as utf-8: half a surrogate pair becomes the replacement character. */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

// --- the session: text, history, and the talk with the kernel -----------------------------------

export class Session {
  constructor(model) {
    this.model = model;
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
    this.onThreshold = () => this.redraw();
    model.on("change:answer", this.onAnswer);
    model.on("change:threshold", this.onThreshold);
  }

  close() {
    this.model.off("change:answer", this.onAnswer);
    this.model.off("change:threshold", this.onThreshold);
    this.stopTimers();
    clearTimeout(this.pause);
  }

  /** True while the colours belong to the text in the box. */
  get settled() {
    return this.text === this.answeredText && this.error === "" && this.reading !== null;
  }

  get labels() {
    return this.model.get("labels");
  }

  get threshold() {
    return this.model.get("threshold");
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

  /** Take a word out of the text. */
  remove(place) {
    if (!this.settled || this.reading.words.length < 2) return;
    this.change(without(this.reading.words, place), "remove");
  }

  moveTo(text) {
    this.text = text;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.ask(), this.lastChange === "typing" ? PAUSE_MS : 0);
    this.redraw();
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
    const reading = this.model.get("reading");
    this.reading = reading.words ? reading : null;
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

// --- the view -----------------------------------------------------------------------------------

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
    this.shownReading = null;
    this.words = [];
    this.chosen = 0;
    const [first, second] = session.labels;
    this.box = element("textarea", { rows: 3, dir: "auto", spellcheck: "false", ...FOCUSABLE });
    this.fill = element("span", { class: "lm-fill" });
    this.tick = element("span", { class: "lm-tick" });
    this.meter = element(
      "span",
      {
        class: "lm-track",
        role: "meter",
        "aria-label": `Probability of ${second}`,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
      },
      this.fill,
      this.tick,
    );
    this.verdict = element("output", { class: "lm-verdict" });
    this.undoButton = element("button", { type: "button", ...FOCUSABLE }, "Undo");
    this.message = element("p", { class: "lm-message", role: "status" });
    this.list = element("div", {
      class: "lm-words",
      role: "list",
      dir: "auto",
      "aria-label": "The words and what each does; Enter takes one out",
    });
    this.detail = element("p", { class: "lm-detail" });
    this.live = element("p", { class: "lm-spoken", "aria-live": "polite" });
    this.root = element(
      "div",
      { class: "llmlab-leave-one-out", role: "group", "aria-label": "Leave one word out" },
      element("style", {}, STYLE),
      element("label", { class: "lm-text" }, "Text", this.box),
      element("div", { class: "lm-row" }, first, this.meter, second, this.verdict, this.undoButton),
      this.message,
      this.list,
      element(
        "p",
        { class: "lm-legend" },
        element("span", { class: "lm-key lm-towards" }, `speaks for ${second}`),
        element("span", { class: "lm-key lm-away" }, `speaks for ${first}`),
      ),
      this.detail,
      this.live,
    );
    this.listen();
    el.append(this.root);
    session.views.add(this);
    this.draw();
  }

  listen() {
    const { session, box } = this;
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
    this.undoButton.addEventListener("click", () => session.undo());
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.list.addEventListener("pointerleave", () => this.describe(this.focused()));
  }

  button(place) {
    const button = element("button", { type: "button", class: "lm-word", ...FOCUSABLE });
    button.addEventListener("click", () => {
      button.focus(); // not every browser focuses a clicked button
      this.session.remove(place);
    });
    button.addEventListener("focus", () => {
      this.choose(place);
      this.describe(place);
    });
    button.addEventListener("pointerenter", () => this.describe(place));
    return button;
  }

  /** Which word has the focus, or null. */
  focused() {
    const place = this.words.findIndex((word) => word.matches(":focus"));
    return place < 0 ? null : place;
  }

  /** One word is the list's tab stop; the arrow keys move between words. */
  choose(place) {
    this.words.forEach((word, other) => (word.tabIndex = other === place ? 0 : -1));
    this.chosen = place;
  }

  walk(event) {
    const last = this.words.length - 1;
    const steps = {
      ArrowLeft: this.chosen - 1,
      ArrowUp: this.chosen - 1,
      ArrowRight: this.chosen + 1,
      ArrowDown: this.chosen + 1,
      Home: 0,
      End: last,
    };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.words[Math.min(last, Math.max(0, steps[event.key]))].focus();
  }

  describe(place) {
    const { reading, labels } = this.session;
    this.detail.textContent =
      place === null || reading === null || place >= reading.words.length
        ? "Point at a word to see what the model says without it; click to take it out."
        : sentence(reading, place, labels[1]);
  }

  draw() {
    const { session } = this;
    if (session.text !== this.shownText) this.box.value = this.shownText = session.text;
    this.undoButton.setAttribute("aria-disabled", session.history.length === 0);
    const failed = session.error !== "" && session.text === session.answeredText;
    this.message.textContent = session.status || (failed ? session.error : "");
    this.message.classList.toggle("lm-failed", failed && !session.status);
    this.root.classList.toggle("lm-old", failed || session.text !== session.answeredText);
    this.list.setAttribute("aria-busy", !session.settled && !failed);
    this.list.hidden = this.meter.hidden = session.reading === null;
    if (session.reading !== null) this.drawReading();
    // For those who watch from outside: do these colours, or this message, belong to this text?
    this.root.dataset.settled = session.text === session.answeredText;
    if (session.text !== session.answeredText) return;
    const detail = { n: session.model.get("answer").n, text: session.text };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  drawReading() {
    const { reading, labels, threshold } = this.session;
    const share = percent(reading.probability);
    const label = labels[reading.probability >= threshold ? 1 : 0];
    this.meter.setAttribute("aria-valuenow", (100 * reading.probability).toFixed(1));
    this.meter.setAttribute("aria-valuetext", `${share}: ${label}`);
    this.fill.style.transform = `scaleX(${reading.probability})`;
    this.tick.style.left = `${100 * threshold}%`;
    this.tick.title = `from ${percent(threshold)} on it counts as ${labels[1]}`;
    this.verdict.value = `${share}: ${label}`;
    if (reading !== this.shownReading) this.drawWords();
    this.summary = `${label}, ${share.replace("<", "less than ").replace(">", "more than ")}`;
    this.speaking ??= setTimeout(() => {
      this.speaking = undefined;
      this.live.textContent = this.summary;
    }, SPOKEN_MS);
  }

  drawWords() {
    const { reading, labels } = this.session;
    const hadFocus = this.focused();
    const moved = influences(reading);
    const strength = strengths(moved);
    this.words = [];
    const children = [];
    reading.words.forEach(([piece], place) => {
      const { before, word, after } = parts(piece);
      const button = this.button(place);
      button.textContent = word;
      button.style.setProperty("--lm-strength", `${Math.round(100 * strength[place])}%`);
      button.classList.add(moved[place] < 0 ? "lm-away" : "lm-towards");
      button.setAttribute("aria-label", `${word}: ${sentence(reading, place, labels[1])}`);
      this.words.push(button);
      children.push(before, element("span", { role: "listitem" }, button), after);
    });
    this.list.replaceChildren(...children);
    this.shownReading = reading;
    this.choose(Math.min(hadFocus ?? this.chosen, this.words.length - 1));
    if (hadFocus !== null) this.words[this.chosen].focus();
    else this.describe(null);
  }

  close() {
    clearTimeout(this.speaking);
    this.session.views.delete(this);
    this.root.remove(); // its listeners go with it
  }
}

const STYLE = `
.llmlab-leave-one-out {
  --lm-ink: var(--jp-ui-font-color1, #212121);
  --lm-muted: var(--jp-ui-font-color2, #616161);
  --lm-paper: var(--jp-layout-color1, #ffffff);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-shade: var(--jp-layout-color2, #eeeeee);
  --lm-focus: var(--jp-brand-color1, #1976d2);
  --lm-error: var(--jp-error-color1, #d32f2f);
  --lm-second: #d55e00;
  --lm-first: #0072b2;
  box-sizing: border-box; max-width: 44em; padding: 4px;
  color: var(--lm-ink); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
@media (prefers-color-scheme: dark) {
  .llmlab-leave-one-out {
    --lm-ink: var(--jp-ui-font-color1, #eeeeee);
    --lm-muted: var(--jp-ui-font-color2, #bdbdbd);
    --lm-paper: var(--jp-layout-color1, #1e1e1e);
    --lm-line: var(--jp-border-color1, #616161);
    --lm-shade: var(--jp-layout-color2, #333333);
    --lm-focus: var(--jp-brand-color1, #64b5f6);
    --lm-error: var(--jp-error-color1, #ef9a9a);
  }
}
.llmlab-leave-one-out [hidden] { display: none; }
.llmlab-leave-one-out textarea, .llmlab-leave-one-out .lm-row button {
  box-sizing: border-box; color: inherit; background: var(--lm-paper);
  border: 1px solid var(--lm-line); border-radius: 3px;
}
.llmlab-leave-one-out textarea {
  display: block; width: 100%; margin-top: 2px; padding: 4px 6px; resize: vertical;
  font: 14px/1.5 var(--jp-code-font-family, monospace);
}
.llmlab-leave-one-out .lm-row button { font: inherit; padding: 3px 10px; cursor: pointer; }
.llmlab-leave-one-out [aria-disabled="true"] { color: var(--lm-muted); cursor: default; }
.llmlab-leave-one-out :is(textarea, button):focus-visible {
  outline: 2px solid var(--lm-focus); outline-offset: 1px;
}
.llmlab-leave-one-out .lm-row { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 8px; margin: 8px 0; }
.llmlab-leave-one-out .lm-track {
  position: relative; flex: 1 1 8em; height: 14px; background: var(--lm-shade);
}
.llmlab-leave-one-out .lm-fill {
  display: block; height: 100%; background: var(--lm-second); transform-origin: left;
}
.llmlab-leave-one-out .lm-tick {
  position: absolute; top: -3px; bottom: -3px; width: 2px; margin-left: -1px; background: var(--lm-ink);
}
.llmlab-leave-one-out .lm-verdict {
  min-width: 8em; font-weight: 600; font-variant-numeric: tabular-nums;
}
.llmlab-leave-one-out .lm-message { min-height: 1.4em; margin: 0 0 4px; color: var(--lm-muted); overflow-wrap: anywhere; }
.llmlab-leave-one-out .lm-failed { color: var(--lm-error); }
.llmlab-leave-one-out .lm-words {
  padding: 4px 6px; border: 1px solid var(--lm-line); border-radius: 3px;
  line-height: 2; white-space: pre-wrap; overflow-wrap: anywhere;
}
.llmlab-leave-one-out .lm-word {
  margin: 0; padding: 1px 2px; border: 0; border-radius: 2px; color: inherit; cursor: pointer;
  font: inherit; font-size: 14px; text-align: start; white-space: normal; overflow-wrap: anywhere;
}
.llmlab-leave-one-out .lm-towards {
  --lm-hue: var(--lm-second); text-decoration: underline solid; text-underline-offset: 3px;
}
.llmlab-leave-one-out .lm-away {
  --lm-hue: var(--lm-first); text-decoration: underline dotted; text-underline-offset: 3px;
}
.llmlab-leave-one-out .lm-word {
  background: color-mix(in srgb, var(--lm-hue) calc(var(--lm-strength) * 0.6), transparent);
  text-decoration-color: color-mix(in srgb, var(--lm-hue) var(--lm-strength), transparent);
  text-decoration-thickness: 2px;
}
.llmlab-leave-one-out .lm-legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 6px 0 0; color: var(--lm-muted); }
.llmlab-leave-one-out .lm-key { text-decoration-color: var(--lm-hue); text-decoration-thickness: 2px; }
.llmlab-leave-one-out .lm-detail { min-height: 1.4em; margin: 4px 0; overflow-wrap: anywhere; }
.llmlab-leave-one-out.lm-old :is(.lm-words, .lm-row .lm-track, .lm-verdict, .lm-detail) { opacity: 0.5; }
.llmlab-leave-one-out .lm-spoken {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
}
@media (forced-colors: active) {
  .llmlab-leave-one-out .lm-track { box-sizing: border-box; border: 1px solid ButtonText; }
  .llmlab-leave-one-out .lm-fill { forced-color-adjust: none; background: Highlight; }
  .llmlab-leave-one-out .lm-tick { forced-color-adjust: none; background: ButtonText; }
}
@media (prefers-reduced-motion: no-preference) {
  .llmlab-leave-one-out .lm-fill { transition: transform 80ms ease-out; }
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
