import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { ROOM_KEYS_SECURITY_SCHEME } from 'nestjs-room-keys';

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
    // the scheme that the operations of the key backup name; ours name it too
    .addBearerAuth({ type: 'http', scheme: 'bearer' }, ROOM_KEYS_SECURITY_SCHEME)
    .addBearerAuth({ type: 'http', scheme: 'bearer' }, ADMIN_SECURITY_SCHEME)
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, document), {
    swaggerOptions: { persistAuthorization: true },
  });
}
