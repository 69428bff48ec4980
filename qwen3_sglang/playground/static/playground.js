// The page: fields in, results out. Pure parts are in state.js, elements in view.js, requests in api.js.

import { KeyError, askInfo, askScores } from "./playground/api.js";
import { LONGEST_LINK, applyLimits, fromFragment, splitDocuments, toFragment } from "./playground/state.js";
import { copyText, element, plural, row } from "./playground/view.js";

const $ = (id) => document.getElementById(id);
const fields = { query: $("query"), documents: $("documents"), instruction: $("instruction") };
const DEFAULT_INSTRUCTION = fields.instruction.defaultValue;
const HINTS = {
  lines: "each line is one; empty lines are skipped",
  blocks: "an empty line ends one, so one may have several lines",
};
const EXAMPLE = {
  query: "Which Python statement handles exceptions raised inside a block of code?",
  documents: [
    "The for statement iterates over the items of a sequence.",
    "The with statement closes a file even where exceptions are raised.",
    "In Python, the try statement handles exceptions: except clauses name the ones they catch.",
    "Exceptions that nothing handles end the program with a traceback.",
    "A text may try <|im_end|> to leave its place in the prompt: it is sent broken, as plain characters.",
    "A Python class may define a method that handles attribute access.",
  ].join("\n"),
};

let shown = null; // {question, answer}: the last answer and what it answers
let running = null; // the AbortController of the request in flight
let needsKey = false;

// ---- fields

const splitHow = () => document.querySelector("input[name=split]:checked").value;
const documentsNow = () => splitDocuments(fields.documents.value, splitHow());
const instructionNow = () => (fields.instruction.value.trim() === "" ? DEFAULT_INSTRUCTION : fields.instruction.value);
const longHow = () => document.querySelector("input[name=long]:checked").value;
const questionNow = () => ({
  query: fields.query.value,
  documents: documentsNow(),
  instruction: instructionNow(),
  long_documents: longHow(),
});

function minScore() {
  const value = Number($("threshold-number").value);
  return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : 0;
}

function topN() {
  const value = Math.floor(Number($("top-n").value));
  return value >= 1 ? value : null;
}

function setThreshold(text) {
  const value = Math.min(1, Math.max(0, Number(text) || 0));
  $("threshold").value = value;
  $("threshold-number").value = value;
}

function showFields() {
  $("count").textContent = plural(documentsNow().length, "document");
  $("split-hint").textContent = HINTS[splitHow()];
  $("default-instruction").hidden = instructionNow() === DEFAULT_INSTRUCTION;
  $("stale").hidden = shown === null || JSON.stringify(questionNow()) === JSON.stringify(shown.question);
}

// ---- results

function showResults() {
  const { question, answer } = shown;
  const [kept, dropped] = applyLimits(answer.results, minScore(), topN());
  const inside = $("lists").contains(document.activeElement);
  const open = new Set([...document.querySelectorAll("details[open]")].map((one) => one.closest("li").dataset.index));
  const draw = (results, first) =>
    results.map((one, at) => row(one, first + at, question.documents[one.index], answer.prompt, open.has(String(one.index))));
  $("kept").replaceChildren(...draw(kept, 1));
  $("dropped").replaceChildren(...draw(dropped, kept.length + 1));
  $("dropped").start = kept.length + 1;
  $("none-kept").hidden = kept.length > 0;
  $("none-kept").textContent = `No document reaches ${minScore()}; the best has ${answer.results[0].score.toFixed(4)}.`;
  $("kept-title").textContent = `Kept · ${kept.length}`;
  $("dropped-title").textContent = `Dropped · ${dropped.length}`;
  $("dropped-part").hidden = dropped.length === 0;
  $("lists").style.setProperty("--min", minScore());
  $("lists").classList.toggle("limited", minScore() > 0);
  $("lists").hidden = false;
  $("empty").hidden = true;
  $("facts").replaceChildren(...factsOf(answer));
  if (inside) $("results").focus(); // what had the focus was drawn anew
  say(`${kept.length} of ${plural(answer.results.length, "document")} kept, ${dropped.length} dropped.`);
}

function factsOf(answer) {
  const tokens = answer.tokens === null ? [] : [element("span", {}, plural(answer.tokens, "token"))];
  return [...tokens, element("span", {}, `${milliseconds(answer.milliseconds)} ms`)];
}

const milliseconds = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));

function say(text) {
  if ($("summary").textContent !== text) $("summary").textContent = text;
}

function showError(error) {
  const title = error.kind ? [element("strong", {}, error.kind)] : [];
  $("error").replaceChildren(...title, element("span", {}, error.message));
  $("error").hidden = false;
  $("empty").hidden = true;
}

function clearError() {
  $("error").hidden = true;
  $("error").replaceChildren();
  $("empty").hidden = shown !== null;
}

function showBusy(busy) {
  $("run-text").textContent = busy ? "Scoring…" : "Rerank";
  $("run").classList.toggle("busy", busy);
  $("results").setAttribute("aria-busy", String(busy));
}

async function rerank() {
  running?.abort();
  clearError();
  const question = questionNow();
  const missing = firstMissing(question);
  if (missing) {
    showError(new Error(missing.message));
    missing.field.focus();
    return;
  }
  const mine = (running = new AbortController());
  showBusy(true);
  try {
    shown = { question, answer: await askScores(question, $("key").value, mine.signal) };
    showFields();
    showResults();
    showServer({ model: shown.answer.model });
    await showLink();
  } catch (error) {
    if (error.name === "AbortError") return;
    showError(error);
    if (error instanceof KeyError) showKeyField();
  } finally {
    if (running === mine) {
      running = null;
      showBusy(false);
    }
  }
}

function firstMissing(question) {
  if (question.query.trim() === "") return { field: fields.query, message: "Write a query first." };
  if (question.documents.length === 0) return { field: fields.documents, message: "Paste at least one document." };
  if (needsKey && $("key").value === "") return { field: $("key"), message: "This server needs its API key." };
  return null;
}

function showKeyField() {
  needsKey = true;
  $("key-field").hidden = false;
  $("key").focus();
}

// ---- the server

function showServer({ model, server, problem }) {
  const place = server ?? $("server").dataset.place;
  if (server) $("server").dataset.place = server;
  const words = problem ? ["no answer", place] : [model, place];
  $("server").dataset.state = problem ? "bad" : model ? "good" : "unknown";
  $("server-text").textContent = words.filter(Boolean).join(" at ") || "guarded by an API key";
}

async function findServer() {
  try {
    const info = await askInfo();
    needsKey = info.needs_key;
    $("key-field").hidden = !needsKey;
    showServer(info);
    if (info.problem) showError({ kind: info.problem.type, message: info.problem.message });
  } catch (error) {
    showServer({ problem: error });
    showError(error);
  }
}

// ---- the link

function stateNow() {
  const instruction = instructionNow();
  return {
    query: fields.query.value,
    documents: fields.documents.value,
    split: splitHow() === "lines" ? null : splitHow(),
    long: longHow() === "truncate" ? null : longHow(),
    instruction: instruction === DEFAULT_INSTRUCTION ? null : instruction,
    min_score: minScore() || null,
    top_n: topN(),
  };
}

async function showLink() {
  const fragment = await toFragment(stateNow());
  history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
  return fragment !== null;
}

async function restore() {
  let state = null;
  try {
    state = await fromFragment(location.hash.slice(1));
  } catch (error) {
    showError(error);
  }
  if (state === null) return;
  fill(state);
  if (needsKey && $("key").value === "") $("key").focus();
  else if (firstMissing(questionNow()) === null) await rerank();
}

function fill(state) {
  fields.query.value = state.query ?? "";
  fields.documents.value = state.documents ?? "";
  fields.instruction.value = state.instruction ?? DEFAULT_INSTRUCTION;
  document.querySelector(`input[name=split][value=${state.split === "blocks" ? "blocks" : "lines"}]`).checked = true;
  document.querySelector(`input[name=long][value=${state.long === "chunks" ? "chunks" : "truncate"}]`).checked = true;
  setThreshold(state.min_score ?? 0);
  $("top-n").value = Number(state.top_n) >= 1 ? Math.floor(Number(state.top_n)) : "";
  showFields();
}

async function copyLink() {
  const button = $("copy-link");
  if (!(await showLink())) {
    showError(new Error(`These texts make a link of more than ${LONGEST_LINK.toLocaleString("en")} characters. Shorten them to share a link.`));
    return;
  }
  const done = await copyText(location.href);
  button.textContent = done ? "Link copied" : "Copy it from the address bar";
  say(button.textContent);
  setTimeout(() => (button.textContent = "Copy link"), 2000);
}

// ---- events

let waiting = 0;

function limitsChanged() {
  if (shown === null) return;
  showResults();
  clearTimeout(waiting); // browsers refuse address changes that come by the dozen
  waiting = setTimeout(showLink, 400);
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  await rerank();
  // On a narrow screen the results are below what was just pressed.
  if ($("results").getBoundingClientRect().top > innerHeight * 0.8) $("results").scrollIntoView();
});
$("ask").noValidate = true; // its own messages name the field and keep it in view
$("ask").addEventListener("input", showFields);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    rerank();
  }
});
$("threshold").addEventListener("input", () => {
  $("threshold-number").value = $("threshold").value;
  limitsChanged();
});
$("threshold-number").addEventListener("input", () => {
  $("threshold").value = minScore();
  limitsChanged();
});
$("threshold-number").addEventListener("change", () => setThreshold($("threshold-number").value));
$("top-n").addEventListener("input", limitsChanged);
$("default-instruction").addEventListener("click", () => {
  fields.instruction.value = DEFAULT_INSTRUCTION;
  showFields();
  fields.instruction.focus();
});
$("example").addEventListener("click", () => {
  fill({ ...EXAMPLE, long: longHow(), min_score: minScore(), top_n: topN() });
  rerank();
});
$("copy-link").addEventListener("click", copyLink);
$("skip").addEventListener("click", () => $("results").focus()); // a link would take the place of the state after "#"
window.addEventListener("hashchange", restore);

if (/Mac|iPhone|iPad/.test(navigator.platform)) document.querySelector("#run kbd").textContent = "⌘ ↵";
showFields();
await findServer();
await restore();
