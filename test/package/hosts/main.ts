// Starts an application that does nothing about the limits of bodies: node main.js app.module.js
import 'reflect-metadata';
import { pathToFileURL } from 'node:url';
import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

async function main(file: string): Promise<void> {
  const { AppModule } = (await import(pathToFileURL(file).href)) as { AppModule: Type };
  const app = await NestFactory.create(AppModule, { logger: ['error', 'fatal'] });
  app.enableShutdownHooks();
  await app.listen(0, '127.0.0.1');
  process.stdout.write(`listens at ${await app.getUrl()}\n`);
}

void main(process.argv[2] ?? '');
