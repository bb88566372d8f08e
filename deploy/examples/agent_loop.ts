// An agent loop of one's own in TypeScript: no library but fetch. It shows the session id, a model that is chosen
// while the loop runs, a time-out, error classes, usage, and the model that really answered.
//
//   node agent_loop.ts          with Node 22.18 or newer; before it: npx tsx agent_loop.ts

export type Message = {
  role: "system" | "user" | "assistant" | "tool";
  content: string | null;
  tool_calls?: ToolCall[];
  tool_call_id?: string;
};
export type ToolCall = { id: string; type: "function"; function: { name: string; arguments: string } };
export type Usage = { promptTokens: number; completionTokens: number; totalTokens: number };
export type Tool = {
  description: string;
  parameters: object;
  run: (input: Record<string, unknown>) => string | Promise<string>;
};
export type Answer = { message: Message; finishReason: string; model: string; usage?: Usage };
export type ProviderConfig = { baseUrl: string; model: string; apiKey?: string; timeout?: number };
export type CallOptions = {
  messages: Message[];
  tools?: Record<string, Tool>;
  sessionId?: string;
  onText?: (text: string) => void;
};

/** Any failure of a call. `retryAfter` is in seconds; `code` is the proxy's, as its README lists them. */
export class ProviderError extends Error {
  readonly code?: string;
  readonly status?: number;
  readonly retryAfter?: number;

  constructor(message: string, details: { code?: string | null; status?: number; retryAfter?: number } = {}) {
    super(message);
    this.name = new.target.name;
    this.code = details.code ?? undefined;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
  }
}
export class ConnectionFailed extends ProviderError {} // no answer at all, or one that broke off
export class TimedOut extends ProviderError {}
export class InvalidRequest extends ProviderError {} // 4xx: the request or the caller's key
export class RateLimited extends ProviderError {} // 429: try again after `retryAfter`
export class UpstreamFailed extends ProviderError {} // 5xx, or an error in the middle of the stream

type ErrorBody = { message: string; code: string | null };
type Frame = {
  error?: ErrorBody;
  model: string;
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
  choices: {
    finish_reason: string | null;
    delta: {
      content?: string | null;
      tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[];
    };
  }[];
};

export class Provider {
  #config: ProviderConfig;

  constructor(config: ProviderConfig) {
    this.#config = config;
  }

  /** Takes effect with the next call: `provider.updateConfig({ model: "stackspot-ai-code" })`. */
  updateConfig(changes: Partial<ProviderConfig>): void {
    this.#config = { ...this.#config, ...changes };
  }

  /** One answer, streamed. The session id is the correlation id, and stands in the proxy's logs and traces. */
  async call({ messages, tools = {}, sessionId = crypto.randomUUID(), onText }: CallOptions): Promise<Answer> {
    const { baseUrl, model, apiKey, timeout = 120_000 } = this.#config;
    const offered = Object.entries(tools).map(([name, { description, parameters }]) => ({
      type: "function",
      function: { name, description, parameters },
    }));
    try {
      const response = await fetch(`${baseUrl}/chat/completions`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "correlation-id": sessionId,
          ...(apiKey && { authorization: `Bearer ${apiKey}` }),
        },
        body: JSON.stringify({
          model,
          messages,
          ...(offered.length > 0 && { tools: offered }),
          stream: true,
          stream_options: { include_usage: true },
          metadata: { session_id: sessionId },
        }),
        signal: AbortSignal.timeout(timeout),
      });
      if (!response.ok || !response.body) throw await refusal(response);
      return await collect(response.body, onText);
    } catch (error) {
      if (error instanceof ProviderError) throw error;
      const { name, message } = error as Error;
      if (name === "TimeoutError") throw new TimedOut(`no whole answer within ${timeout} ms`);
      throw new ConnectionFailed(message);
    }
  }
}

/** Asks, runs the tools that are called and sends their results back, until an answer calls none. */
export async function runAgent(provider: Provider, options: CallOptions, steps = 10): Promise<Answer> {
  const messages = [...options.messages];
  const sessionId = options.sessionId ?? crypto.randomUUID();
  for (let step = 0; step < steps; step++) {
    const answer = await provider.call({ ...options, messages, sessionId });
    const calls = answer.message.tool_calls ?? [];
    if (calls.length === 0) return answer;
    messages.push(answer.message);
    for (const call of calls) {
      const tool = options.tools?.[call.function.name];
      const content = tool ? await tool.run(JSON.parse(call.function.arguments)) : "There is no such tool.";
      messages.push({ role: "tool", tool_call_id: call.id, content });
    }
  }
  throw new ProviderError(`no answer after ${steps} steps`);
}

async function refusal(response: Response): Promise<ProviderError> {
  const body = (await response.json().catch(() => null)) as { error: ErrorBody } | null;
  const { message, code } = body?.error ?? { message: response.statusText, code: null };
  const retryAfter = Number(response.headers.get("retry-after")) || undefined;
  const details = { code, status: response.status, retryAfter };
  if (response.status === 429) return new RateLimited(message, details);
  return response.status < 500 ? new InvalidRequest(message, details) : new UpstreamFailed(message, details);
}

async function collect(body: ReadableStream<Uint8Array>, onText?: (text: string) => void): Promise<Answer> {
  const calls: ToolCall[] = [];
  let content = "";
  let finishReason = "";
  let model = "";
  let usage: Usage | undefined;
  for await (const frame of frames(body)) {
    if (frame.error) throw new UpstreamFailed(frame.error.message, frame.error);
    model = frame.model;
    if (frame.usage) {
      const { prompt_tokens, completion_tokens, total_tokens } = frame.usage;
      usage = { promptTokens: prompt_tokens, completionTokens: completion_tokens, totalTokens: total_tokens };
    }
    for (const { delta, finish_reason } of frame.choices) {
      finishReason = finish_reason ?? finishReason;
      if (delta.content) {
        content += delta.content;
        onText?.(delta.content);
      }
      for (const { index, id, function: made } of delta.tool_calls ?? []) {
        const call = (calls[index] ??= { id: id ?? "", type: "function", function: { name: "", arguments: "" } });
        call.function.name += made?.name ?? "";
        call.function.arguments += made?.arguments ?? "";
      }
    }
  }
  const message: Message = { role: "assistant", content: content || null };
  if (calls.length > 0) message.tool_calls = calls;
  return { message, finishReason, model, usage };
}

/** The frames of a stream; one that stops before [DONE] has broken off. */
async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const events = (rest + decoder.decode(read.value, { stream: true })).split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) {
        if (event === "data: [DONE]") return;
        if (!event.startsWith("data: ")) continue; // a comment that keeps the connection alive
        const frame = JSON.parse(event.slice("data: ".length)) as Frame;
        yield frame;
      }
    }
  } finally {
    await reader.cancel();
  }
  throw new ConnectionFailed("the stream broke off");
}

async function main(): Promise<void> {
  const provider = new Provider({
    baseUrl: process.env.PROXY_URL ?? "http://127.0.0.1:4000", // a /v1 behind it does as well
    model: "stackspot-ai-code",
    apiKey: process.env.PROXY_API_KEY,
    timeout: 30_000,
  });
  provider.updateConfig({ model: "stackspot-ai-chat" });
  const answer = await runAgent(provider, {
    sessionId: process.env.CORRELATION_ID ?? "conversation-123",
    messages: [{ role: "user", content: "What is the weather in Recife?" }],
    tools: {
      get_weather: {
        description: "The weather in a city.",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
        run: ({ city }) => `${city}: 25 °C, sunny`,
      },
    },
    onText: (text) => process.stdout.write(text),
  });
  console.log(`\n${answer.model}, ${answer.usage?.totalTokens} tokens`);
}

if (process.argv[1] === import.meta.filename) {
  main().catch((error: unknown) => {
    if (!(error instanceof ProviderError)) throw error;
    console.error(`${error.name} ${error.code ?? ""}: ${error.message}`);
    process.exitCode = 1;
  });
}
