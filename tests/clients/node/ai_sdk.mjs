// The calls of Vercel's AI SDK against the proxy at the URL given, with the correlation id among the provider's headers.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, ToolLoopAgent, generateObject, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

import { Tools, run, url } from "./cases.mjs";

const QUESTION = { prompt: "Qual o tempo em São Paulo e em Brasília?", maxRetries: 0, onError: () => {} };
const REPORT = z.object({ cidade: z.string(), graus: z.number() });

/** A model whose requests carry the correlation id. */
const model = (id) =>
  createOpenAICompatible({
    name: "stackspot",
    baseURL: `${url}/v1`,
    apiKey: "unused",
    headers: id ? { "correlation-id": id } : {},
    includeUsage: true,
    supportsStructuredOutputs: true,
  })("stackspot-chat");

const settings = (id, more) => ({ ...QUESTION, model: model(id), ...more });
const structured = (id) => settings(id, { output: Output.object({ schema: REPORT }) });

/** Tools as the SDK wants them. */
function offered(tools) {
  const offer = (name, inputSchema) => tool({ description: name, inputSchema, execute: tools[name] });
  return {
    buscar_cidade: offer("buscar_cidade", z.object({ nome: z.string() })),
    buscar_tempo: offer("buscar_tempo", z.object({ id: z.string() })),
    listar_cidades: offer("listar_cidades", z.object({})),
  };
}

const tokens = (usage) => [usage.inputTokens, usage.outputTokens, usage.totalTokens];

/** What the test looks at of a generation, streamed or not. */
async function told(result) {
  const steps = await result.steps;
  return {
    text: await result.text,
    finish_reason: await result.finishReason,
    usage: tokens(await result.usage),
    steps: steps.map((step) => ({
      text: step.text,
      calls: step.toolCalls.map(({ toolName, input }) => [toolName, input]),
      results: step.toolResults.map(({ output }) => output),
      finish_reason: step.finishReason,
      usage: tokens(step.usage),
      model: step.response.modelId,
    })),
  };
}

/** An error as a caller sees it: of a response, or of an event in a stream. */
function described(error) {
  const code = APICallError.isInstance(error) ? error.data?.error?.code : error.code;
  return { raised: error.name, message: error.message, status: error.statusCode, code };
}

async function raised(promise) {
  try {
    await promise;
    return { raised: null };
  } catch (error) {
    return described(error);
  }
}

/** What a stream's parts told, read to the end. */
async function listen(result) {
  const parts = [];
  for await (const part of result.stream) parts.push(part);
  return {
    types: parts.map((part) => part.type),
    text: parts.filter((part) => part.type === "text-delta").map((part) => part.text).join(""),
    errors: parts.filter((part) => part.type === "error").map((part) => described(part.error)),
    finish_reasons: parts.filter((part) => part.type === "finish").map((part) => part.finishReason),
  };
}

/** A tool loop of at most so many steps. */
async function loop(id, generate, steps = 5) {
  const tools = new Tools();
  const result = await generate(settings(id, { tools: offered(tools), stopWhen: isStepCount(steps) }));
  return { ...(await told(result)), ran: tools.ran };
}

await run("ai-sdk", {
  generate: async (id) => told(await generateText(settings(id))),
  stream: async (id) => told(streamText(settings(id))),
  stream_parts: (id) => listen(streamText(settings(id))),
  header_of_one_call: async (id) =>
    told(await generateText({ ...settings(null), headers: { "correlation-id": id } })),

  generate_steps: (id) => loop(id, generateText),
  stream_steps: (id) => loop(id, streamText),
  agent_steps: (id) => loop(id, ({ prompt, ...rest }) => new ToolLoopAgent(rest).generate({ prompt })),
  agent_stream_steps: (id) => loop(id, ({ prompt, ...rest }) => new ToolLoopAgent(rest).stream({ prompt })),
  generate_limit: (id) => loop(id, generateText, 2),
  stream_limit: (id) => loop(id, streamText, 2),
  generate_no_arguments: (id) => loop(id, generateText),
  stream_no_arguments: (id) => loop(id, streamText),
  required: (id) => loop(id, (more) => generateText({ ...more, toolChoice: "required" }), 1),
  stream_required: (id) => loop(id, (more) => streamText({ ...more, toolChoice: "required" }), 1),
  stream_parts_of_calls: (id) =>
    listen(streamText(settings(id, { tools: offered(new Tools()), stopWhen: isStepCount(5) }))),

  output: async (id) => (await generateText(structured(id))).output,
  output_fenced: async (id) => (await generateText(structured(id))).output,
  output_repaired: async (id) => (await generateText(structured(id))).output,
  output_streamed: async (id) => {
    const result = streamText(structured(id));
    const partial = [];
    for await (const object of result.partialOutputStream) partial.push(object);
    return { output: await result.output, last: partial.at(-1) };
  },
  generate_object: async (id) => (await generateObject(settings(id, { schema: REPORT }))).object,
  output_hopeless: (id) => raised(generateText(structured(id))),

  generate_cut: (id) => raised(generateText(settings(id))),
  stream_cut: (id) => listen(streamText(settings(id))),
  stream_ended: (id) => listen(streamText(settings(id))),
  stream_cut_after_call: async (id) => {
    const tools = new Tools();
    const result = streamText(settings(id, { tools: offered(tools), stopWhen: isStepCount(5) }));
    return { ...(await listen(result)), ran: tools.ran };
  },

  generate_refused: (id) => raised(generateText(settings(id))),
  stream_refused: async (id) => {
    const result = streamText(settings(id));
    return { ...(await listen(result)), text_awaited: await raised(result.text) };
  },
  generate_no_id: () => raised(generateText(settings(null))),
  stream_no_id: () => listen(streamText(settings(null))),

  stream_abort: async (id) => {
    const leaving = new AbortController();
    const began = performance.now();
    const types = [];
    for await (const part of streamText(settings(id, { abortSignal: leaving.signal })).stream) {
      types.push(part.type);
      if (part.type === "text-delta") leaving.abort();
    }
    return { types, seconds: (performance.now() - began) / 1000 };
  },
});
