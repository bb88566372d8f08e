// The OpenAI SDK for Node: a loop with one tool, streamed.   npm install openai

import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.PROXY_URL ?? "http://127.0.0.1:4000"}/v1`,
  apiKey: process.env.PROXY_API_KEY ?? "unused",
  // For one request alone: create({...}, { headers: { "correlation-id": ... } })
  defaultHeaders: { "correlation-id": process.env.CORRELATION_ID ?? "conversation-123" },
});

const getWeather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    parse: JSON.parse,
    function: ({ city }) => `${city}: 25 °C, sunny`,
  },
};

try {
  const runner = client.chat.completions.runTools({
    model: "stackspot-ai-chat",
    messages: [{ role: "user", content: "What is the weather in Recife?" }],
    tools: [getWeather],
    stream: true,
  });
  runner.on("content", (text) => process.stdout.write(text));
  await runner.done();
  process.stdout.write("\n");
} catch (error) {
  if (!(error instanceof OpenAI.OpenAIError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
