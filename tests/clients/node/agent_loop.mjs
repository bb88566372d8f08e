// The agent loop of deploy/examples/agent_loop.ts, compiled to the module given, against two proxies: that of all
// tests, and one whose callers have keys.

import { run, url } from "./cases.mjs";

const [, guarded, module] = process.argv.slice(2);
const example = await import(module);
const { Provider, ProviderError, runAgent } = example;

const provider = (more) => new Provider({ baseUrl: url, model: "stackspot-chat", ...more });
const asked = (id, more) => ({ sessionId: id, messages: [{ role: "user", content: "Qual o tempo?" }], ...more });
const parameters = { type: "object", properties: { city: { type: "string" } } };

/** The error's class among the example's, and what it tells. */
async function raised(call) {
  try {
    return { answer: await call() };
  } catch (error) {
    const { name, code, status, retryAfter, message } = error;
    return { name, code, status, retryAfter, message, ours: error instanceof ProviderError };
  }
}

await run("agent-loop", {
  loop: async (id) => {
    const ran = [];
    const texts = [];
    const run = (input) => ran.push(input) && "25°C";
    const tools = { get_weather: { description: "The weather", parameters, run } };
    const answer = await runAgent(provider(), asked(id, { tools, onText: (text) => texts.push(text) }));
    return { answer, ran, texts };
  },
  limit: (id) => {
    const tools = { get_weather: { description: "The weather", parameters, run: () => "25°C" } };
    return raised(() => runAgent(provider(), asked(id, { tools }), 2));
  },
  models: async (id) => {
    const one = provider();
    const first = await one.call(asked(id));
    one.updateConfig({ model: "stackspot-code" });
    return [first.model, (await one.call(asked(id))).model];
  },
  with_v1: async (id) => (await provider({ baseUrl: `${url}/v1` }).call(asked(id))).message,

  timed_out: (id) => raised(() => provider({ timeout: 300 }).call(asked(id))),
  no_such_model: (id) => raised(() => provider({ model: "gpt-4" }).call(asked(id))),
  wrong_key: (id) => raised(() => provider({ baseUrl: guarded, apiKey: "wrong" }).call(asked(id))),
  rate_limited: (id) => {
    const limited = provider({ baseUrl: guarded, apiKey: "planted-caller-key" });
    return raised(async () => [await limited.call(asked(id)), await limited.call(asked(id))]);
  },
  refused: (id) => raised(() => provider().call(asked(id))),
  cut: (id) => raised(() => provider().call(asked(id))),
  nobody_there: (id) => raised(() => provider({ baseUrl: "http://127.0.0.1:1" }).call(asked(id))),
});
