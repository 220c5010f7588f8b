// Traces of the server by OpenTelemetry, which is none of its dependencies: docs/monitoring.md says what
// to install. It masks secrets and ids of users: by default the instrumentations put the
// query string, which may hold an access token, and whole statements with the keys in them into spans.
import { register } from 'node:module';

// before anything else is loaded: ES modules can be changed only while they are
register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);

const [
  { NodeSDK },
  { HttpInstrumentation },
  { ExpressInstrumentation, ExpressLayerType },
  { MySQL2Instrumentation },
  { UndiciInstrumentation },
] = await Promise.all([
  import('@opentelemetry/sdk-node'),
  import('@opentelemetry/instrumentation-http'),
  import('@opentelemetry/instrumentation-express'),
  import('@opentelemetry/instrumentation-mysql2'),
  import('@opentelemetry/instrumentation-undici'),
]);

const sdk = new NodeSDK({
  instrumentations: [
    new HttpInstrumentation({
      ignoreIncomingRequestHook: ({ url = '' }) => /^\/(health|metrics)/.test(url),
      // paths hold the ids of rooms and sessions; the route, which the span is named after, does not
      requestHook: (span) =>
        span.setAttributes({ 'url.path': '…', 'url.query': '…', 'url.full': '…' }),
    }),
    new ExpressInstrumentation({
      ignoreLayersType: [ExpressLayerType.MIDDLEWARE, ExpressLayerType.ROUTER],
    }),
    new MySQL2Instrumentation({
      maskStatement: true,
      // the default one leaves a text as it is that has a line break in it
      maskStatementHook: (statement) => statement.replace(/'(?:[^'\\]|\\[^])*'/g, '?'),
    }),
    // the questions to the homeserver; of bridges, their query names the user
    new UndiciInstrumentation({
      requestHook: (span) => span.setAttributes({ 'url.full': '…', 'url.query': '…' }),
    }),
  ],
});
sdk.start();

// the server ends its process itself: what was collected is sent while it finishes its requests
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void sdk.shutdown());
