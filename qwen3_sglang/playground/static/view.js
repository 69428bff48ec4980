// Results -> elements. Every text becomes a text node: nothing that a document holds is ever read as HTML.

const SPOKEN = { special: "special token ", broken: "broken special token, plain text " };

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(attribute, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** One result; `prompt` is the part that all share, `open` whether its prompt is shown. */
export function row(result, place, text, prompt, open) {
  const score = result.score.toFixed(4);
  const fill = element("div", { class: "fill" });
  fill.style.width = `${result.score * 100}%`; // by script: the page's policy allows no style attributes
  return element(
    "li",
    { class: `row${result.why ? " dropped" : ""}`, "data-index": result.index },
    element("span", { class: "place", "aria-hidden": "true" }, String(place)),
    element(
      "div",
      { class: "body" },
      element(
        "div",
        { class: "measure" },
        element("span", { class: "score" }, element("span", { class: "sr-only" }, "P(yes) "), score),
        element("div", { class: "bar", "aria-hidden": "true" }, fill, element("div", { class: "mark" })),
      ),
      element("p", { class: "text" }, chunkOf(result, text)),
      facts(result),
      promptDetails(result, prompt, open),
    ),
  );
}

function facts(result) {
  const line = element("p", { class: "facts" }, `document ${result.index + 1}`);
  if (result.tokens !== null) line.append(` · ${plural(result.tokens, "token")}`);
  line.append(` · logit ${logit(result)}`);
  if (result.why) line.append(" · ", element("span", { class: "why" }, result.why === "min_score" ? "below min_score" : "beyond top_n"));
  if (result.chunk) line.append(` · best of ${plural(result.chunk.scored, "chunk")}: characters ${result.chunk.start}–${result.chunk.end}`);
  if (result.truncated) line.append(" ", element("span", { class: "tag" }, "cut: its end wasn’t scored"));
  return line;
}

/** What has the score: the document, or its best chunk. Offsets count characters, and some take two of a string's. */
function chunkOf(result, text) {
  return result.chunk ? [...text].slice(result.chunk.start, result.chunk.end).join("") : text;
}

function logit(result) {
  if (result.logit === null) return result.score > 0.5 ? "+∞" : "−∞";
  return `${result.logit < 0 ? "−" : "+"}${Math.abs(result.logit).toFixed(2)}`;
}

function promptDetails(result, prompt, open) {
  const name = `document ${result.index + 1}`;
  const details = element("details", { class: "prompt", open }, element("summary", {}, "Prompt", element("span", { class: "sr-only" }, ` of ${name}`)));
  const fill = () => {
    if (details.childElementCount === 1) details.append(promptView(result, prompt, name));
  };
  if (open) fill();
  details.addEventListener("toggle", fill, { once: true });
  return details;
}

function promptView(result, prompt, name) {
  const parts = [...prompt.before, ...result.document, ...prompt.after];
  const kinds = new Set(parts.map((part) => part.kind));
  const legend = element("p", { class: "legend" }, element("span", { class: "special" }, "special token"));
  if (kinds.has("broken")) legend.append(element("span", { class: "broken" }, "broken special token: plain text"));
  for (const kind of ["instruction", "query", "document"]) legend.append(element("span", { class: kind }, kind));
  const copy = element("button", { type: "button", class: "link copy" }, "Copy prompt");
  copy.addEventListener("click", async () => {
    const done = await copyText(parts.map((part) => part.text).join(""));
    copy.textContent = done ? "Copied" : "Copying isn’t allowed here";
  });
  legend.append(copy);
  const text = element("pre", { tabindex: "0", role: "region", "aria-label": `Prompt of ${name}` }, ...parts.map(promptPart));
  return element("div", {}, legend, text);
}

function promptPart(part) {
  const shown = element("span", { class: part.kind });
  if (part.kind in SPOKEN) shown.append(element("span", { class: "sr-only" }, SPOKEN[part.kind]));
  shown.append(part.text);
  return shown;
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https, on another address than loopback, there is only the old way.
    const field = element("textarea", { class: "sr-only", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return done;
  }
}
