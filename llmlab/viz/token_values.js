// The browser's half of llmlab.viz.TokenValues.
//
// The kernel sends the tokens and all rows of values once; choosing another row needs no kernel.
// One Session per model holds what all its views share; a View is one drawing of that session.

// --- pure functions ---------------------------------------------------------------------------

/** The largest number of all rows, which has the full colour. */
export function largest(rows) {
  let most = 0;
  for (const { kind, values } of rows) {
    if (kind === "number") for (const value of values) most = Math.max(most, value ?? 0);
  }
  return most;
}

/** How strongly a token is coloured, 0 to 1. */
export function strength(value, most) {
  if (value === null) return 0;
  if (typeof value === "boolean") return value ? 1 : 0;
  return most ? value / most : 0;
}

/** What stands below a token; as in token_values.py. */
export function written(value) {
  if (value === null || value === false) return "";
  if (value === true) return "✓";
  return value < 9.95 ? value.toFixed(1) : value.toFixed(0);
}

/** What is said of a token in one row, in words. */
export function said({ name, kind, values }, place, unit) {
  const value = values[place];
  if (value === null) return `${name}: –`;
  if (kind === "yes") return `${name}: ${value ? "yes" : "no"}`;
  return `${name}: ${value.toFixed(2)} ${unit}`.trimEnd();
}

const WORDS = { "␣": "space", "⏎": "newline", "⇥": "tab" };

/** A label for those who listen. */
export function spoken(label) {
  const words = label.replace(/[␣⏎⇥]/gu, (sign) => ` ${WORDS[sign]} `);
  return words.replace(/ +/gu, " ").trim();
}

// --- the session --------------------------------------------------------------------------------

export class Session {
  constructor(model) {
    this.model = model;
    this.labels = model.get("labels");
    this.breaks = model.get("breaks");
    this.rows = model.get("rows");
    this.unit = model.get("unit");
    this.most = largest(this.rows);
    this.views = new Set();
    this.onShown = () => this.redraw();
    model.on("change:shown", this.onShown);
  }

  close() {
    this.model.off("change:shown", this.onShown);
  }

  get row() {
    return this.rows.find(({ name }) => name === this.model.get("shown")) ?? this.rows[0];
  }

  show(name) {
    this.model.set("shown", name);
    this.model.save_changes();
    this.redraw();
  }

  /** Everything about one token, the row in sight first. */
  describe(place) {
    const { rows, row, unit } = this;
    const ordered = [row, ...rows.filter((other) => other !== row)];
    return ordered.map((each) => said(each, place, unit)).join(", ");
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
    this.chosen = 0;
    // Radio buttons of one name are one choice, in the whole page: other widgets count anew.
    const group = `llmlab-token-values-${Math.random()}`;
    this.radios = session.rows.map(({ name }) => {
      const radio = element("input", { type: "radio", name: group, ...FOCUSABLE });
      radio.addEventListener("change", () => session.show(name));
      return radio;
    });
    this.choices = element(
      "div",
      { class: "lm-choices", role: "radiogroup", "aria-label": "What the colours say" },
      ...session.rows.map(({ name }, n) => element("label", {}, this.radios[n], name)),
    );
    this.choices.hidden = session.rows.length < 2;
    this.tokens = session.labels.map((label, place) => this.token(label, place));
    this.list = element("div", { class: "lm-tokens", role: "list", "aria-label": "Tokens" });
    this.tokens.forEach(({ box }, place) => {
      this.list.append(box);
      if (session.breaks[place]) this.list.append(element("br"));
    });
    this.detail = element("p", { class: "lm-detail" });
    this.root = element(
      "div",
      { class: "llmlab-token-values", role: "group", "aria-label": "Tokens and their values" },
      element("style", {}, STYLE),
      this.choices,
      this.list,
      this.detail,
    );
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.list.addEventListener("pointerleave", () => this.describe(this.focused()));
    el.append(this.root);
    session.views.add(this);
    this.choose(0);
    this.draw();
  }

  token(label, place) {
    const name = element("bdi", { class: "lm-label" });
    name.textContent = label;
    const number = element("span", { class: "lm-number" });
    const box = element("span", { class: "lm-token", role: "listitem", ...FOCUSABLE }, name, number);
    box.addEventListener("focus", () => {
      this.choose(place);
      this.describe(place);
    });
    box.addEventListener("pointerenter", () => this.describe(place));
    box.addEventListener("click", () => box.focus());
    return { box, number };
  }

  focused() {
    const place = this.tokens.findIndex(({ box }) => box.matches(":focus"));
    return place < 0 ? null : place;
  }

  /** One token is the list's tab stop; the arrow keys move between tokens. */
  choose(place) {
    this.tokens.forEach(({ box }, other) => (box.tabIndex = other === place ? 0 : -1));
    this.chosen = place;
  }

  walk(event) {
    const last = this.tokens.length - 1;
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
    this.tokens[Math.min(last, Math.max(0, steps[event.key]))].box.focus();
  }

  describe(place) {
    const { session } = this;
    this.detail.textContent =
      place === null
        ? "Point at a token, or walk through them with the arrow keys."
        : `${place + 1} of ${session.labels.length}: “${session.labels[place]}”, ` +
          session.describe(place);
  }

  draw() {
    const { session } = this;
    const { row, most } = session;
    session.rows.forEach((each, n) => (this.radios[n].checked = each === row));
    this.tokens.forEach(({ box, number }, place) => {
      const value = row.values[place];
      box.style.setProperty("--lm-strength", `${Math.round(100 * strength(value, most))}%`);
      number.textContent = written(value);
      box.setAttribute(
        "aria-label",
        `${spoken(session.labels[place])}, ${session.describe(place)}`,
      );
    });
    this.describe(this.focused());
    const detail = { shown: row.name };
    this.root.dispatchEvent(new CustomEvent("llmlab:drawn", { bubbles: true, detail }));
  }

  close() {
    this.session.views.delete(this);
    this.root.remove(); // its listeners go with it
  }
}

const STYLE = `
.llmlab-token-values {
  --lm-ink: var(--jp-ui-font-color0, #000000);
  --lm-muted: var(--jp-ui-font-color2, #616161);
  --lm-line: var(--jp-border-color1, #bdbdbd);
  --lm-focus: var(--jp-brand-color1, #1976d2);
  --lm-hue: #d55e00;
  box-sizing: border-box; max-width: 60em; padding: 4px;
  color: var(--lm-ink); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}
@media (prefers-color-scheme: dark) {
  .llmlab-token-values {
    --lm-ink: var(--jp-ui-font-color0, #ffffff);
    --lm-muted: var(--jp-ui-font-color2, #bdbdbd);
    --lm-line: var(--jp-border-color1, #616161);
    --lm-focus: var(--jp-brand-color1, #64b5f6);
  }
}
.llmlab-token-values [hidden] { display: none; }
.llmlab-token-values .lm-choices { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 6px; }
.llmlab-token-values label { display: flex; align-items: center; gap: 4px; cursor: pointer; }
.llmlab-token-values input { margin: 0; accent-color: var(--lm-focus); }
.llmlab-token-values .lm-tokens { line-height: 1; }
.llmlab-token-values .lm-token {
  display: inline-flex; flex-direction: column; align-items: center; vertical-align: top;
  box-sizing: border-box; min-width: 24px; max-width: 100%; min-height: 40px;
  margin: 0 2px 4px 0; padding: 3px 4px;
  border: 1px solid var(--lm-line); border-radius: 3px; cursor: default; overflow: hidden;
  background: color-mix(in srgb, var(--lm-hue) calc(var(--lm-strength) * 0.6), transparent);
}
.llmlab-token-values .lm-label {
  font: 14px/1.2 var(--jp-code-font-family, monospace); white-space: pre; max-width: 100%;
  overflow: hidden; text-overflow: ellipsis;
}
.llmlab-token-values .lm-number {
  min-height: 1.2em; font-size: 11px; line-height: 1.2; font-variant-numeric: tabular-nums;
}
.llmlab-token-values :is(.lm-token, input):focus-visible {
  outline: 2px solid var(--lm-focus); outline-offset: 1px;
}
.llmlab-token-values .lm-detail {
  min-height: 2.8em; margin: 4px 0 0; color: var(--lm-muted); overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums;
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
