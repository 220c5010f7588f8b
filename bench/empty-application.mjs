// An empty Nest application with one route, by the packages that the server uses itself: what a
// start costs at the very least. Plain JavaScript, since what is built has no compiler to start either.
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

class HelloController {
  hello() {
    return { hello: 'world' };
  }
}
Controller()(HelloController);
Get()(
  HelloController.prototype,
  'hello',
  Object.getOwnPropertyDescriptor(HelloController.prototype, 'hello'),
);

// eslint-disable-next-line @typescript-eslint/no-extraneous-class -- a module of Nest's is a class
class EmptyModule {}
Module({ controllers: [HelloController] })(EmptyModule);

const app = await NestFactory.create(EmptyModule, { logger: false });
await app.listen(0, '127.0.0.1');
console.log(`http://127.0.0.1:${app.getHttpServer().address().port}`);
