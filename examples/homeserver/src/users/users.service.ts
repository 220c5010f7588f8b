import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import type { TokenOwner } from 'nestjs-room-keys';
import { type EntityManager, Repository } from 'typeorm';
import { Settings } from '../settings.module.js';
import { hashPassword, isPassword } from './passwords.js';
import { Session } from './session.entity.js';
import { User } from './user.entity.js';

/** What a device calls itself when it logs in. */
export interface Device {
  deviceId?: string | undefined;
  displayName?: string | undefined;
}

export interface Login {
  userId: string;
  accessToken: string;
  deviceId: string;
}

/** Compared if the user does not exist, so that the response takes as long. */
const NOBODYS_PASSWORD = await hashPassword(randomBytes(16).toString('hex'));

/** The users of this server and their access tokens. */
@Injectable()
export class UsersService {
  constructor(
    @InjectRepository(User) private readonly users: Repository<User>,
    @InjectRepository(Session) private readonly sessions: Repository<Session>,
    private readonly settings: Settings,
  ) {}

  /** `alice` and `@alice:localhost` are the same user here. */
  fullId(user: string): string {
    return user.startsWith('@') ? user : `@${user}:${this.settings.serverName}`;
  }

  /** @returns the user id, or undefined where it is taken */
  async register(localpart: string, password: string | null): Promise<string | undefined> {
    const userId = this.fullId(localpart);
    const passwordHash = password === null ? null : await hashPassword(password);
    try {
      await this.users.insert({
        userId,
        passwordHash,
        isGuest: password === null,
        isDeactivated: false,
      });
      return userId;
    } catch (error) {
      if (await this.users.existsBy({ userId })) return undefined;
      throw error;
    }
  }

  async hasPassword(userId: string, password: string): Promise<boolean> {
    const user = await this.users.findOneBy({ userId });
    const matches = await isPassword(password, user?.passwordHash ?? NOBODYS_PASSWORD);
    return matches && user !== null;
  }

  /** Logs a device in; what it had as a token before is worth nothing from then on. */
  async logIn(userId: string, device: Device): Promise<Login> {
    const accessToken = randomBytes(32).toString('base64url');
    const deviceId = device.deviceId ?? randomBytes(6).toString('hex').toUpperCase();
    await this.sessions.delete({ userId, deviceId });
    await this.sessions.insert({
      tokenHash: hashToken(accessToken),
      userId,
      deviceId,
      displayName: device.displayName ?? null,
    });
    return { userId, accessToken, deviceId };
  }

  async logOut(token: string): Promise<void> {
    await this.sessions.delete({ tokenHash: hashToken(token) });
  }

  /** Whose token is this? For our own routes, and for those of the key backup. */
  async ownerOf(token: string): Promise<TokenOwner | null> {
    const session = await this.sessions.findOneBy({ tokenHash: hashToken(token) });
    if (!session) return null;
    const { userId, deviceId } = session;
    const user = await this.users.findOneBy({ userId });
    return user && { userId, deviceId, isGuest: user.isGuest };
  }

  /** Ends all sessions for good, in a transaction; the user id is not given out again. */
  async deactivate(userId: string, manager: EntityManager): Promise<boolean> {
    const { affected } = await manager.update(
      User,
      { userId },
      { passwordHash: null, isDeactivated: true },
    );
    await manager.delete(Session, { userId });
    return affected !== 0;
  }

  async list(): Promise<User[]> {
    return this.users.find({ order: { userId: 'ASC' }, take: 1000 });
  }

  async find(userId: string): Promise<User | null> {
    return this.users.findOneBy({ userId });
  }
}

const hashToken = (token: string) => createHash('sha256').update(token).digest('hex');
