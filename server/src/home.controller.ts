import { Controller, Get, Redirect } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { DOCS_PATH } from './listening.js';

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
