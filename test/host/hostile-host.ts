/** A host that uses every feature of a Nest application, and is unaware of Matrix. */
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import {
  type ArgumentsHost,
  Body,
  type CallHandler,
  Catch,
  Controller,
  type DynamicModule,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  HttpException,
  Injectable,
  type LoggerService,
  Module,
  type NestApplicationOptions,
  type NestInterceptor,
  NotFoundException,
  Param,
  ParseIntPipe,
  type PipeTransform,
  Post,
  type Provider,
  Query,
  ValidationPipe,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import {
  ApiCreatedResponse,
  ApiOkResponse,
  ApiProperty,
  ApiSchema,
  DocumentBuilder,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { IsOptional, IsString } from 'class-validator';
import type { NextFunction, Request, Response } from 'express';
import { map, tap, timeout } from 'rxjs';
import {
  Column,
  DataSource,
  Entity,
  type MigrationInterface,
  PrimaryGeneratedColumn,
  type QueryRunner,
  Repository,
} from 'typeorm';
import {
  type RoomKeysExtras,
  RoomKeysModule,
  type RoomKeysOptions,
  roomKeysEntities,
  roomKeysMigrations,
} from '../../src/index.js';
import { verifyAccessToken } from '../support/application.js';
import type { TestDatabase } from '../support/databases.js';
import { keepIdleConnections } from '../support/idle-connections.js';

export interface HostOptions {
  /** False for the same host without the key backup. Default: true. */
  roomKeys?: boolean;
  /** The options of the module besides `verifyAccessToken`. */
  options?: Partial<RoomKeysOptions> & RoomKeysExtras;
  /** A database of their own for the module's tables, in a DataSource named 'keys'. */
  keysDatabase?: TestDatabase;
  entityPrefix?: string;
  nest?: NestApplicationOptions;
  /** Global enhancers as providers. */
  providers?: Provider[];
  /** What the host does to the application before all else, such as its parsers. */
  prepare?: (app: NestExpressApplication) => void;
}

export interface Host {
  url: string;
  app: NestExpressApplication;
  document: OpenAPIObject;
  /** Warnings and errors that were logged. */
  log: string[];
  close: () => Promise<void>;
}

@Entity('notes')
export class Note {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column({ type: 'text' })
  title!: string;
}

export class CreateNotes1700000000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    // TypeORM 0.3 has the second name only
    const { dataSource, connection } = queryRunner as {
      dataSource?: DataSource;
      connection: DataSource;
    };
    const prefix = (dataSource ?? connection).options.entityPrefix ?? '';
    await queryRunner.query(
      `CREATE TABLE "${prefix}notes" ("id" integer PRIMARY KEY AUTOINCREMENT, "title" text NOT NULL)`,
    );
  }

  async down(): Promise<void> {
    // nobody goes back in a test
  }
}

class CreateNoteDto {
  @ApiProperty()
  @IsString()
  title!: string;

  @ApiProperty({ required: false })
  @IsOptional()
  @IsString()
  colour?: string;
}

/** Names that the module's own schemas could have. */
@ApiSchema({ name: 'Error' })
class ErrorDto {
  @ApiProperty()
  mood!: string;
}

class Backup {
  @ApiProperty()
  tape!: string;
}

@Controller({ path: 'notes', version: '1' })
class NotesController {
  constructor(@InjectRepository(Note) private readonly notes: Repository<Note>) {}

  @Post()
  async create(@Body() { title }: CreateNoteDto) {
    const { id } = await this.notes.save({ title: title.slice(0, 100) });
    return { id, length: title.length };
  }

  @Get()
  async find(@Query() query: Record<string, unknown>) {
    return { query, count: await this.notes.count() };
  }

  @Get('moods')
  @ApiOkResponse({ type: ErrorDto })
  @ApiCreatedResponse({ type: Backup })
  mood(): ErrorDto {
    return { mood: 'fine' };
  }

  @Get(':id')
  async get(@Param('id', ParseIntPipe) id: number) {
    const note = await this.notes.findOneBy({ id });
    if (!note) throw new NotFoundException('There is no such note.');
    return note;
  }
}

/** A path below the module's own, outside of it. */
@Controller({ path: '_matrix/client/v3/room_keys_of_mine', version: '1' })
class NeighbourController {
  @Get('version')
  version() {
    return { neighbour: true };
  }
}

@Catch()
class OwnShapeFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const { status = 500, message } = error as { status?: number; message: string };
    host
      .switchToHttp()
      .getResponse<Response>()
      .status(error instanceof HttpException ? error.getStatus() : status)
      .json({ ok: false, message });
  }
}

@Injectable()
class WrapInterceptor implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

@Injectable()
class TimingInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler) {
    const request = context.switchToHttp().getRequest<Request & { took?: number }>();
    const started = performance.now();
    return next.handle().pipe(
      timeout(20_000),
      tap(() => (request.took = performance.now() - started)),
    );
  }
}

/** Tidies whatever it is given up, to its last member: it makes plain objects of all objects. */
@Injectable()
class TrimPipe implements PipeTransform {
  transform(value: unknown): unknown {
    if (typeof value === 'string') return value.trim();
    if (Array.isArray(value)) return value.map((member) => this.transform(member));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name.trim(), this.transform(member)]),
    );
  }
}

/** The headers of a middleware such as helmet. */
export const PROTECTIVE_HEADERS = {
  'content-security-policy': "default-src 'self'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
};

function protect(request: Request, response: Response, next: NextFunction): void {
  for (const [name, value] of Object.entries(PROTECTIVE_HEADERS)) response.setHeader(name, value);
  response.removeHeader('X-Powered-By');
  response.setHeader('X-Request-Id', randomUUID());
  Object.assign(request, { user: { id: 'of the host' } });
  next();
}

@Module({})
class HostModule {
  static with(database: TestDatabase, options: HostOptions): DynamicModule {
    const { roomKeys = true, keysDatabase, entityPrefix, providers = [] } = options;
    const { type } = database.dataSourceOptions;
    const shared = roomKeys && !keysDatabase;
    const prefixed = entityPrefix === undefined ? {} : { entityPrefix };
    return {
      module: HostModule,
      imports: [
        TypeOrmModule.forRoot({
          ...database.dataSourceOptions,
          ...prefixed,
          entities: [Note, ...(shared ? roomKeysEntities(type) : [])],
          migrations: [CreateNotes1700000000000, ...(shared ? roomKeysMigrations : [])],
          migrationsRun: true,
          retryAttempts: 0,
        }),
        TypeOrmModule.forFeature([Note]),
        ...(keysDatabase
          ? [
              TypeOrmModule.forRoot({
                ...keysDatabase.dataSourceOptions,
                name: 'keys',
                entities: roomKeysEntities(keysDatabase.dataSourceOptions.type),
                migrations: roomKeysMigrations,
                migrationsRun: true,
                retryAttempts: 0,
              }),
            ]
          : []),
        ...(roomKeys
          ? [
              RoomKeysModule.forRoot({
                verifyAccessToken,
                sweepIntervalMs: 0,
                securityScheme: 'bearer',
                ...options.options,
                ...(keysDatabase ? { dataSource: 'keys' } : {}),
              }),
            ]
          : []),
      ],
      controllers: [NotesController, NeighbourController],
      providers,
    };
  }
}

export async function startHost(database: TestDatabase, options: HostOptions = {}): Promise<Host> {
  const log: string[] = [];
  const app = await NestFactory.create<NestExpressApplication>(HostModule.with(database, options), {
    abortOnError: false,
    logger: collecting(log),
    ...options.nest,
  });
  options.prepare?.(app);
  app.use(protect);
  app.enableCors({ origin: 'https://only.example', credentials: true, methods: 'GET,POST' });
  app.set('query parser', 'extended');
  app.setGlobalPrefix('api', { exclude: ['_matrix/client/v3/room_keys_of_mine/version'] });
  app.useGlobalPipes(
    new TrimPipe(),
    new ValidationPipe({
      whitelist: true,
      forbidNonWhitelisted: true,
      forbidUnknownValues: true,
      transform: true,
    }),
  );
  app.useGlobalFilters(new OwnShapeFilter());
  app.useGlobalInterceptors(new WrapInterceptor(), new TimingInterceptor());
  const document = SwaggerModule.createDocument(
    app,
    new DocumentBuilder().setTitle('The host').addBearerAuth().build(),
  );
  SwaggerModule.setup('docs', app, document);
  keepIdleConnections(app);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    app,
    document,
    log,
    close: () => app.close(),
  };
}

/** The host's own rows, past the module. */
export const notesOf = (host: Host) => host.app.get(DataSource).getRepository(Note);

function collecting(log: string[]): LoggerService {
  const collect = (...words: unknown[]) => void log.push(words.map(String).join(' '));
  const ignore = () => undefined;
  return { log: ignore, warn: collect, error: collect, fatal: collect };
}
