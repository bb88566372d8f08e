// The calls of deploy/examples/browser_fetch.mjs, whose path is given: Node has the same fetch as browsers.

import { run, url } from "./cases.mjs";

const { chat } = await import(process.argv[3]);
const ask = (id, more) => chat([{ role: "user", content: "Bom dia!" }], { url, correlationId: id, ...more });

/** The texts, when they came, and the error behind them. */
async function listen(stream) {
  const texts = [];
  const times = [];
  try {
    for await (const text of stream) {
      texts.push(text);
      times.push(performance.now());
    }
    return { texts, times };
  } catch ({ message, code, status, name }) {
    return { texts, error: { message, code, status, name } };
  }
}

await run("browser", {
  stream: (id) => listen(ask(id)),
  cut: (id) => listen(ask(id)),
  refused: (id) => listen(ask(id)),
  wrong_id: () => listen(ask("not an id")),
  leave: async (id) => {
    for await (const text of ask(id)) if (text) return text;
  },
  abort: async (id) => {
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), 300);
    return listen(ask(id, { signal: leaving.signal }));
  },
  own_id: async () => (await listen(chat([{ role: "user", content: "Oi" }], { url }))).texts.join(""),
});
