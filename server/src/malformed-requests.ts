import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

const HEADERS = [
  'Content-Type: application/json; charset=utf-8',
  'Access-Control-Allow-Origin: *',
  'Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS',
  'Access-Control-Allow-Headers: X-Requested-With, Content-Type, Authorization',
  'Access-Control-Expose-Headers: Retry-After',
  'Connection: close',
];

/** What Node would answer itself, without a body: requests that it cannot parse, or that take too long. */
const ANSWERS: Readonly<Record<string, [status: string, errcode: string, error: string]>> = {
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'M_TOO_LARGE',
    'The URL and the headers are too large.',
  ],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'M_UNKNOWN', 'The request took too long.'],
};

const LINGER_MS = 1_000;

/** Has the server answer in the form of Matrix errors also what never reaches a route. */
export function answerMalformedRequests(server: Server): void {
  /** Node reports each piece that follows the first fault again. */
  const answered = new WeakSet<Duplex>();
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (answered.has(socket)) return;
    answered.add(socket);
    afterAnswers(socket, () => {
      refuse(error, socket);
    });
  });
  // an expectation other than 100-continue is ignored
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    server.emit('request', request, response);
  });
}

/** The answer that is under way on a connection. */
const answerOn = (socket: Duplex) =>
  (socket as Duplex & { _httpMessage?: ServerResponse })._httpMessage;

/**
 * Waits for the responses to complete requests: only the bytes after them are malformed.
 * Told at once, it would be taken for the answer to the first of them, which may have stored keys.
 */
function afterAnswers(socket: Duplex, then: () => void): void {
  const answer = answerOn(socket);
  if (answer?.req.complete) answer.once('close', () => afterAnswers(socket, then));
  else then();
}

function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  // the client is gone, or a response has begun, which more text would garble
  if (error.code === 'ECONNRESET' || !socket.writable || answerOn(socket)?.headersSent) {
    socket.destroy();
    return;
  }
  const [status, errcode, text] = ANSWERS[error.code ?? ''] ?? [
    '400 Bad Request',
    'M_UNRECOGNIZED',
    'The request is not valid HTTP.',
  ];
  const body = JSON.stringify({ errcode, error: text });
  const head = [`HTTP/1.1 ${status}`, ...HEADERS, `Content-Length: ${body.length}`];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  // the client has its answer, and may leave its side open for ever
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
