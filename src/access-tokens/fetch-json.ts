/** The largest answer that is read; real ones have a few hundred bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** What a service answered. */
export interface ServiceAnswer {
  status: number;
  /** The JSON object that came, if one did. */
  body: Readonly<Record<string, unknown>> | undefined;
}

/** How to ask a service that knows tokens. */
export interface Question {
  /** What messages call it, such as 'the homeserver'. */
  service: string;
  url: string;
  method: 'GET' | 'POST';
  headers: Readonly<Record<string, string>>;
  form?: URLSearchParams;
  timeoutMs: number;
}

/**
 * Asks over a connection that is kept for the next question, and reads the answer to its end.
 *
 * No redirect is followed: the token is for this service alone.
 *
 * @throws Error whose message says what went wrong, and holds neither a token nor a password
 */
export async function fetchJson(question: Question): Promise<ServiceAnswer> {
  const { service, url, method, headers, form, timeoutMs } = question;
  try {
    const response = await fetch(url, {
      method,
      headers: { Accept: 'application/json', ...headers },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      ...(form && { body: form }),
    });
    const bytes = await readAll(response);
    if (bytes === undefined) throw new Error(`more than ${MAX_ANSWER_BYTES} bytes`);
    return { status: response.status, body: jsonObject(bytes) };
  } catch (error) {
    throw new Error(`${service} did not answer (${reasonOf(error, timeoutMs)})`, { cause: error });
  }
}

/** The error of an answer that says nothing about the token. */
export function unusable(service: string, { status, body }: ServiceAnswer): Error {
  return new Error(`${service} answered ${status}${body ? '' : ', and no JSON object'}`);
}

async function readAll(response: Response): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // leaving the loop early gives the connection up
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function jsonObject(bytes: Buffer): ServiceAnswer['body'] {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** fetch's own message is 'fetch failed'; why is in the code of its cause. */
function reasonOf(error: unknown, timeoutMs: number): string {
  const { name, message, cause } = error as Error & { cause?: { code?: unknown } };
  if (name === 'TimeoutError') return `not within ${timeoutMs} ms`;
  return typeof cause?.code === 'string' ? cause.code : message;
}
