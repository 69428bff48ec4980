// What the page is about, as plain data: split into documents, cut by limits, written into a link and read back.

export const LONGEST_LINK = 64_000; // characters after "#": every current browser takes that many
const READABLE = 1_500; // longer ones are compressed
const LARGEST = 8 * 1024 * 1024; // bytes a compressed link may grow to

/** The documents in a text: one a line, or separated by empty lines. Blank ones are skipped, others left as they are. */
export function splitDocuments(text, how) {
  const pieces = how === "blocks" ? text.split(/\n(?:[^\S\n]*\n)+/) : text.split("\n");
  const whole = how === "blocks" ? pieces.map((piece) => piece.replace(/^(?:[^\S\n]*\n)+|\n+$/g, "")) : pieces;
  return whole.filter((piece) => piece.trim() !== "");
}

/** [kept, dropped] of results that come best first: min_score first, then top_n, as RerankClient does. */
export function applyLimits(results, minScore, topN) {
  const kept = [];
  const dropped = [];
  for (const result of results) {
    if (result.score < minScore) dropped.push({ ...result, why: "min_score" });
    else if (topN !== null && kept.length >= topN) dropped.push({ ...result, why: "top_n" });
    else kept.push(result);
  }
  return [kept, dropped];
}

/** The state as what follows "#"; null where it is too long for a link. */
export async function toFragment(state) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value !== null && value !== "") fields.set(name, value);
  const plain = fields.toString();
  if (plain.length <= READABLE) return plain;
  const packed = typeof CompressionStream === "undefined" ? plain : `z=${await pack(plain)}`;
  return packed.length <= LONGEST_LINK ? packed : null;
}

/** The state in what follows "#"; null where there is none. Throws an Error where it is damaged. */
export async function fromFragment(fragment) {
  const plain = fragment.startsWith("z=") ? await unpack(fragment.slice(2)) : fragment;
  const fields = new URLSearchParams(plain);
  return fields.has("query") || fields.has("documents") ? Object.fromEntries(fields) : null;
}

async function pack(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function unpack(text) {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
    const decoder = new TextDecoder("utf-8", { fatal: true });
    let plain = "";
    let size = 0;
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      size += read.value.length;
      if (size > LARGEST) throw new Error("too large"); // a few bytes can be made to grow without end
      plain += decoder.decode(read.value, { stream: true });
    }
    return plain + decoder.decode();
  } catch {
    throw new Error("The link is damaged: part of it is missing. Copy it again, whole.");
  }
}
