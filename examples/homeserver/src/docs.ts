import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

/** Name of the security scheme of Matrix's routes in the OpenAPI document, those of the key backup among them. */
export const MATRIX_SECURITY_SCHEME = 'accessToken';

/** Name of the security scheme of the admin routes in the OpenAPI document. */
export const ADMIN_SECURITY_SCHEME = 'adminToken';

/** Swagger UI at `/docs`, with our operations and those of the key backup. */
export function serveDocs(app: INestApplication): void {
  const document = new DocumentBuilder()
    .setTitle('Example homeserver')
    .setVersion('0.0.0')
    .addTag('Session management')
    .addTag('Account management')
    .addTag('End-to-end encryption')
    .addTag('Admin')
    // addBearerAuth would document JSON Web Tokens
    .addSecurity(MATRIX_SECURITY_SCHEME, { type: 'http', scheme: 'bearer' })
    .addSecurity(ADMIN_SECURITY_SCHEME, { type: 'http', scheme: 'bearer' })
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, document), {
    swaggerOptions: { persistAuthorization: true },
  });
}
