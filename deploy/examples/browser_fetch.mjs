// A browser's own fetch: no library, no build. Pages of another origin need it listed in `proxy.cors_origins`.
//
//   import { chat } from "./browser_fetch.mjs";
//   for await (const text of chat([{ role: "user", content: "Hello!" }])) output.append(text);

/** The texts of an answer as they come. Throws what the proxy says, also in the middle of a stream. */
export async function* chat(
  messages,
  { url = "", model = "stackspot-ai-chat", correlationId = crypto.randomUUID(), key, signal } = {},
) {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "correlation-id": correlationId,
      ...(key && { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify({ model, messages, stream: true }),
    signal, // an AbortController's: aborting also ends the generation at StackSpot
  });
  if (!response.ok) throw asError((await response.json()).error, response.status);

  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const events = (rest + read.value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (!event.startsWith("data: ")) continue; // a comment that keeps the connection alive
        const data = event.slice("data: ".length);
        if (data === "[DONE]") {
          ended = true;
          continue;
        }
        const { error, choices } = JSON.parse(data);
        if (error) throw asError(error);
        const text = choices[0]?.delta.content;
        if (text) yield text;
      }
    }
  } finally {
    await reader.cancel();
  }
  if (!ended) throw new Error("the connection broke off");
}

function asError({ message, code, type }, status) {
  return Object.assign(new Error(message), { code, type, status });
}
