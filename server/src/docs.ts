import type { ServerResponse } from 'node:http';
import { Controller, Get, type INestApplication, Redirect } from '@nestjs/common';
import {
  ApiExcludeController,
  DocumentBuilder,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { DOCS_PATH } from './listening.js';
import { version } from './version.js';

/** Name of the scheme for access tokens. */
export const SECURITY_SCHEME = 'accessToken';

/** The OpenAPI document, from the decorators of controllers and DTOs. */
export function openApiDocument(app: INestApplication): OpenAPIObject {
  const description = [
    "Matrix's server-side key backup: clients store the encrypted keys of messages here, and users",
    'who lost all of their devices get them back.',
    '',
    'Try it: press **Authorize** and paste an access token. The examples use backup `1`, the',
    'first one of a user, and work as they are: create it, store keys, read them back, and delete the',
    'backup last. Later backups have other version ids: replace `1` with the one that `POST version` returns.',
  ].join('\n');
  return SwaggerModule.createDocument(
    app,
    new DocumentBuilder()
      .setOpenAPIVersion('3.1.0')
      .setTitle('Matrix key backup')
      .setDescription(description)
      .setVersion(version)
      .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
      .addTag('End-to-end encryption', 'Encrypted message keys, kept on the server.')
      .addSecurity(SECURITY_SCHEME, {
        type: 'http',
        scheme: 'bearer',
        description:
          'The access token of a Matrix client. Without token verification, the server prints one at start.',
      })
      .build(),
  );
}

/** Swagger UI loads its own files, sets styles of elements and embeds images; it needs nothing from elsewhere. */
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Frame-Options': 'DENY',
  'X-Content-Type-Options': 'nosniff',
};

/** Serves the document and Swagger UI. */
export function serveDocs(app: INestApplication): void {
  const paths = ['', '-json', '-yaml'].map((suffix) => `/${DOCS_PATH}${suffix}`);
  app.use(paths, (_: unknown, response: ServerResponse, next: () => void) => {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    next();
  });
  SwaggerModule.setup(DOCS_PATH, app, () => openApiDocument(app), {
    customSiteTitle: 'Matrix key backup',
    swaggerOptions: {
      tryItOutEnabled: true,
      displayRequestDuration: true,
    },
  });
}

/** Sends who opens the server in a browser to Swagger UI. */
@Controller()
@ApiExcludeController()
export class HomeController {
  @Get()
  @Redirect(`/${DOCS_PATH}`)
  home(): void {
    // the decorator does it
  }
}
