// openai-node's calls against the proxy at the URL given, with the correlation id among the client's headers.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { Tools, run, url } from "./cases.mjs";

const LIMITED = process.argv[3]; // a proxy whose account nobody else uses
const SAO_PAULO = { type: "object", properties: { nome: { type: "string" } }, required: ["nome"] };
const BY_ID = { type: "object", properties: { id: { type: "string" } }, required: ["id"] };
const QUESTION = { model: "stackspot-chat", messages: [{ role: "user", content: "Qual o tempo em São Paulo?" }] };
const STREAM = { ...QUESTION, stream: true };
const REPORT = zodResponseFormat(z.object({ cidade: z.string(), graus: z.number() }), "report");

const client = (id, more) =>
  new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: "unused",
    maxRetries: 0,
    defaultHeaders: id ? { "correlation-id": id } : {},
    ...more,
  });
const chat = (id, more) => client(id, more).chat.completions;

/** A completion's parts that the test looks at. */
function whole({ model, choices, usage }) {
  const [{ message, finish_reason }] = choices;
  return {
    model,
    content: message.content,
    finish_reason,
    calls: (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
    usage: usage && [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
  };
}

/** What a stream brought: its chunks, and the error that it ended with. */
async function listen(stream) {
  const chunks = [];
  const error = await raised(async () => {
    for await (const chunk of stream) chunks.push(chunk);
  });
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return {
    ...error,
    pieces: choices.map((choice) => choice.delta.content).filter(Boolean),
    finish_reasons: choices.map((choice) => choice.finish_reason).filter(Boolean),
    usages: chunks.map((chunk) => chunk.usage && [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]),
    choices: chunks.map((chunk) => chunk.choices.length),
  };
}

/** The error of a call: its class among the SDK's, and what it says. */
async function raised(call) {
  try {
    await call();
    return { raised: null };
  } catch (error) {
    const { status, code, type, param, message } = error;
    const headers = error.headers ?? new Headers();
    return {
      raised: error.constructor.name,
      is_api_error: error instanceof OpenAI.APIError,
      status,
      code,
      type,
      param,
      message,
      retry_after: headers.get("retry-after"),
      correlation_id: headers.get("correlation-id"),
      request_id: error.requestID,
    };
  }
}

/** Tools as `runTools` wants them. */
function runnable(tools) {
  const definition = (name, parameters) => ({
    type: "function",
    function: { name, description: name, parameters, parse: JSON.parse, function: tools[name] },
  });
  return [
    definition("buscar_cidade", SAO_PAULO),
    definition("buscar_tempo", BY_ID),
    definition("listar_cidades", { type: "object", properties: {} }),
  ];
}

/** A tool loop from the question to the last word. */
async function loop(id, more) {
  const tools = new Tools();
  const runner = chat(id).runTools({ ...QUESTION, ...more, tools: runnable(tools) });
  const content = await runner.finalContent();
  const { prompt_tokens, completion_tokens, total_tokens } = await runner.totalUsage();
  return {
    content,
    ran: tools.ran,
    steps: runner.allChatCompletions().map((completion) => whole(completion)),
    roles: runner.messages.map((message) => message.role),
    total_usage: [prompt_tokens, completion_tokens, total_tokens],
  };
}

/** Leaves a call that would go on for long; how long it had lasted by then. */
async function leave(call) {
  const began = performance.now();
  const error = await call();
  return { ...error, seconds: (performance.now() - began) / 1000 };
}

await run("openai-node", {
  whole: async (id) => whole(await chat(id).create(QUESTION)),
  streamed: async (id) => listen(await chat(id).create(STREAM)),
  streamed_with_usage: async (id) =>
    listen(await chat(id).create({ ...STREAM, stream_options: { include_usage: true } })),
  header_of_one_call: async (id) =>
    whole(await chat(null).create(QUESTION, { headers: { "correlation-id": id } })),
  base_url_without_v1: async (id) => whole(await chat(id, { baseURL: url }).create(QUESTION)),
  session: async (id) => {
    const { response } = await chat(id)
      .create({ ...QUESTION, session_id: "task-123", metadata: { agent: "looopy" } })
      .withResponse();
    return { ignored: response.headers.get("x-proxy-ignored-params") };
  },

  helper: async (id) => {
    const stream = chat(id).stream({ ...QUESTION, stream_options: { include_usage: true } });
    const events = { "content.delta": [], "content.done": [], finalContent: [], end: [] };
    stream.on("content.delta", ({ delta }) => events["content.delta"].push(delta));
    stream.on("content.done", ({ content }) => events["content.done"].push(content));
    stream.on("finalContent", (content) => events.finalContent.push(content));
    stream.on("end", () => events.end.push(true));
    return { final: whole(await stream.finalChatCompletion()), events };
  },
  helper_calls: async (id) => {
    const events = { deltas: {}, done: [] };
    const stream = chat(id)
      .stream({ ...QUESTION, tools: runnable(new Tools()) })
      .on("tool_calls.function.arguments.delta", ({ index, arguments_delta }) => {
        events.deltas[index] = (events.deltas[index] ?? "") + arguments_delta;
      })
      .on("tool_calls.function.arguments.done", (done) => events.done.push([done.index, done.name, done.arguments]));
    const final = await stream.finalChatCompletion();
    return { final: whole(final), events, ids: final.choices[0].message.tool_calls.map((call) => call.id) };
  },

  run_tools: (id) => loop(id),
  run_tools_streamed: (id) => loop(id, { stream: true, stream_options: { include_usage: true } }),
  parse: async (id) => {
    const completion = await chat(id).parse({ ...QUESTION, response_format: REPORT });
    return completion.choices[0].message.parsed;
  },
  parse_streamed: async (id) => {
    const completion = await chat(id).stream({ ...QUESTION, response_format: REPORT }).finalChatCompletion();
    return completion.choices[0].message.parsed;
  },

  models: async () => {
    const models = [];
    for await (const { id, object, owned_by } of client(null).models.list()) models.push([id, object, owned_by]);
    return models;
  },
  unknown_model_retrieved: () => raised(() => client(null).models.retrieve("gpt-5")),

  no_id: () => raised(() => chat(null).create(QUESTION)),
  no_id_streamed: () => raised(() => chat(null).create(STREAM)),
  unknown_model: (id) => raised(() => chat(id).create({ ...QUESTION, model: "gpt-5" })),
  wrong_field: (id) => raised(() => chat(id).create({ ...QUESTION, temperature: 7 })),
  rate_limit: (id) => raised(() => chat(id, { baseURL: `${LIMITED}/v1` }).create(QUESTION)),
  refused: (id) => raised(() => chat(id).create(STREAM)),
  hopeless: (id) => raised(() => chat(id, { maxRetries: 2 }).create(QUESTION)),

  cut: (id) => raised(() => chat(id).create(QUESTION)),
  cut_streamed: async (id) => listen(await chat(id).create(STREAM)),
  ended_streamed: async (id) => listen(await chat(id).create(STREAM)),
  error_streamed: async (id) => listen(await chat(id).create(STREAM)),
  cut_helper: (id) => raised(() => chat(id).stream(QUESTION).finalChatCompletion()),
  cut_run_tools: async (id) => {
    const tools = new Tools();
    const runner = chat(id).runTools({ ...STREAM, tools: runnable(tools) });
    return { ...(await raised(() => runner.finalContent())), ran: tools.ran };
  },

  break_off: (id) =>
    leave(async () => {
      for await (const chunk of await chat(id).create(STREAM)) if (chunk.choices[0].delta.content) break;
    }),
  abort_helper: (id) =>
    leave(() => {
      const stream = chat(id).stream(QUESTION);
      stream.once("content", () => stream.abort());
      return raised(() => stream.finalChatCompletion());
    }),
  abort_whole: (id) =>
    leave(() => {
      const leaving = new AbortController();
      setTimeout(() => leaving.abort(), 300);
      return raised(() => chat(id).create(QUESTION, { signal: leaving.signal }));
    }),
});
