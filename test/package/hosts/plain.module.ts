import { Global, Module } from '@nestjs/common';
import { RoomKeysModule, roomKeysEntities, roomKeysMigrations } from 'nestjs-room-keys';
import { DataSource } from 'typeorm';

/** A DataSource of the host's own, without @nestjs/typeorm. */
@Global()
@Module({
  providers: [
    {
      provide: DataSource,
      useFactory: () =>
        new DataSource({
          type: 'better-sqlite3',
          database: ':memory:',
          entities: [...roomKeysEntities('better-sqlite3')],
          migrations: [...roomKeysMigrations],
          migrationsRun: true,
        }).initialize(),
    },
  ],
  exports: [DataSource],
})
class DatabaseModule {}

@Module({
  imports: [
    DatabaseModule,
    RoomKeysModule.forRoot({ verifyAccessToken: (token) => ({ userId: `@${token}:hs1` }) }),
  ],
})
export class AppModule {}
