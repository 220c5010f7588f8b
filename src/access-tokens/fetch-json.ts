/** Maximum size of a response; real ones have a few hundred bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** The response of a service. */
export interface ServiceAnswer {
  status: number;
  /** Undefined unless it is a JSON object. */
  body: Readonly<Record<string, unknown>> | undefined;
}

/** A request to a service that verifies tokens. */
export interface Question {
  /** Its name in error messages, such as 'the homeserver'. */
  service: string;
  url: string;
  method: 'GET' | 'POST';
  headers: Readonly<Record<string, string>>;
  form?: URLSearchParams;
  timeoutMs: number;
}

/**
 * Sends the request and reads the whole response, so that the connection can be reused.
 *
 * Redirects are not followed: the token is for this service alone.
 *
 * @throws Error whose message says what went wrong, without any token or password
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

/** The error for a response that says nothing about the token. */
export function unusable(service: string, { status, body }: ServiceAnswer): Error {
  return new Error(`${service} answered ${status}${body ? '' : ' without a JSON object'}`);
}

async function readAll(response: Response): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // leaving the loop early closes the connection
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

/** fetch's own message is 'fetch failed'; the reason is in the code of its cause. */
function reasonOf(error: unknown, timeoutMs: number): string {
  const { name, message, cause } = error as Error & { cause?: { code?: unknown } };
  if (name === 'TimeoutError') return `not within ${timeoutMs} ms`;
  return typeof cause?.code === 'string' ? cause.code : message;
}
