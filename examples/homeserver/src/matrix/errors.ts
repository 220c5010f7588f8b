import { HttpException } from '@nestjs/common';
import { MatrixError } from 'nestjs-room-keys';

export const badJson = (why: string) => new MatrixError(400, { errcode: 'M_BAD_JSON', error: why });

export const invalidUsername = () =>
  new MatrixError(400, {
    errcode: 'M_INVALID_USERNAME',
    error: 'A username consists of a-z, 0-9 and ._=/+-.',
  });

export const userInUse = () =>
  new MatrixError(400, { errcode: 'M_USER_IN_USE', error: 'The username is taken.' });

export const wrongPassword = () =>
  new MatrixError(403, { errcode: 'M_FORBIDDEN', error: 'Wrong username or password.' });

export const unknownLoginType = () =>
  new MatrixError(400, { errcode: 'M_UNKNOWN', error: 'Only m.login.password is supported.' });

export const missingToken = () =>
  new MatrixError(401, { errcode: 'M_MISSING_TOKEN', error: 'The access token is missing.' });

/** Asks a client to authenticate, in the one way that there is, and to send the request again. */
export const authenticationNeeded = (stage: string, error?: object) =>
  new HttpException({ flows: [{ stages: [stage] }], params: {}, session: 'none', ...error }, 401);
