// Vercel's AI SDK: a loop with one tool, streamed.   npm install ai @ai-sdk/openai-compatible zod

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { isStepCount, streamText, tool } from "ai";
import { z } from "zod";

const stackspot = createOpenAICompatible({
  name: "stackspot",
  baseURL: `${process.env.PROXY_URL ?? "http://127.0.0.1:4000"}/v1`,
  apiKey: process.env.PROXY_API_KEY ?? "unused",
  // For one call alone: streamText({ ..., headers: { "correlation-id": ... } })
  headers: { "correlation-id": process.env.CORRELATION_ID ?? "conversation-123" },
  includeUsage: true,
  supportsStructuredOutputs: true,
});

const result = streamText({
  model: stackspot("stackspot-ai-chat"),
  prompt: "What is the weather in Recife?",
  tools: {
    get_weather: tool({
      description: "The weather in a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => `${city}: 25 °C, sunny`,
    }),
  },
  stopWhen: isStepCount(5),
  maxRetries: 0, // the proxy retries what can be mended; the SDK would repeat anything above 499
  onError: () => {}, // they come as parts of the stream, too
});

for await (const part of result.stream) {
  if (part.type === "text-delta") process.stdout.write(part.text);
  if (part.type === "error") {
    console.error(part.error.data?.error?.code ?? part.error.code, part.error.message);
    process.exitCode = 1;
  }
}
process.stdout.write("\n");
