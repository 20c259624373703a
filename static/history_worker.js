// Asks the server about the past, one question at a time, and turns the answer into columns. A worker of its own: neither
// the picture nor the live stream waits for it.
import { buffersOf, packAnswer } from './history_answer.js';

const ANSWER_MS_MAX = 30_000;

let asked = null;

self.onmessage = ({ data }) => {
  asked?.abort();
  asked = null;
  if (data.address !== undefined) answer(data);
};

async function answer({ id, address, host }) {
  const abort = new AbortController();
  asked = abort;
  const timer = setTimeout(() => abort.abort(new Error(`no answer within ${ANSWER_MS_MAX / 1000} s`)), ANSWER_MS_MAX);
  try {
    const response = await fetch(address, { signal: abort.signal });
    const document = await response.json().catch((error) => Promise.reject(abort.signal.reason ?? error));
    const refusal = response.ok ? document.error : document;
    if (refusal) throw new Error(wordsOf(refusal), { cause: response.status });
    const packed = packAnswer(document, host);
    self.postMessage({ id, packed }, buffersOf(packed));
  } catch (error) {
    // An aborted question is nobody's any more.
    if (asked === abort) self.postMessage({ id, words: error instanceof TypeError ? 'the server does not answer' : error.message, status: error.cause ?? null });
  } finally {
    clearTimeout(timer);
  }
}

function wordsOf({ error, expected }) {
  return expected ? `${error}; expected ${expected}` : `${error}`;
}
