// The end of a saved page's script: opens the explorer on the state that is saved in the page.
// It stands behind attention_explorer.js, whose default export is `makeExplorer` here.

/** What the explorer asks for and sets as if there were a kernel; nobody answers a request. */
class SavedModel {
  constructor(traits) {
    this.traits = traits;
    this.listeners = new Map();
  }

  get(name) {
    return this.traits[name];
  }

  set(name, value) {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    for (const listener of [...(this.listeners.get(`change:${name}`) ?? [])]) listener();
  }

  on(event, listener) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(listener);
  }

  off(event, listener) {
    this.listeners.get(event)?.delete(listener);
  }

  save_changes() {}
}

/** Deflated bytes in base64, as the view that a kernel's bytes arrive as. */
async function unpacked(base64) {
  const deflated = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new DataView(await new Response(stream).arrayBuffer());
}

const { traits, arrays } = JSON.parse(document.getElementById("saved").textContent);
for (const [name, base64] of Object.entries(arrays)) traits[name] = await unpacked(base64);
const model = new SavedModel(traits);
const explorer = makeExplorer();
await explorer.initialize?.({ model });
await explorer.render({ model, el: document.getElementById("explorer") });
