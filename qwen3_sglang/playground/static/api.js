// The playground's API: one question, one answer; every failure is an Error with a message to show.

export class KeyError extends Error {}

export async function askInfo() {
  return read(await reach("playground/api/info", {}));
}

export async function askScores(question, key, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  return read(await reach("playground/api/rerank", { method: "POST", headers, body: JSON.stringify(question), signal }));
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (options.headers?.Authorization && /header|ByteString|ISO-8859/i.test(error.message)) {
      throw new KeyError("The key has a character that no key can have: copy it again.");
    }
    throw new Error("The playground’s own server doesn’t answer. Is it still running?");
  }
}

async function read(response) {
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Not JSON: the status has to do.
  }
  if (response.ok && body) return body;
  if (response.status === 401) throw new KeyError("The server wants its API key, and this wasn’t it.");
  const failure = new Error(body?.error?.message ?? body?.message ?? `The server answered ${response.status} ${response.statusText}`);
  failure.kind = body?.error?.type ?? body?.type;
  throw failure;
}
