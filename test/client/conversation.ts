import {
  ClientEvent,
  EventType,
  MatrixEvent,
  MatrixEventEvent,
  MsgType,
  Preset,
} from 'matrix-js-sdk';
import type { CryptoBackend } from 'matrix-js-sdk/lib/common-crypto/CryptoBackend.js';
import type { Device } from './device.js';
import { until } from './until.js';

/** A message that a device encrypted, alone in a Megolm session of its own. */
export interface Message {
  roomId: string;
  sessionId: string;
  senderId: string;
  text: string;
  /** Of the event `m.room.encrypted`. */
  encrypted: object;
}

/** Makes encrypted rooms, and waits until the device knows of them; it is alone in them. */
export async function createRooms(device: Device, count: number): Promise<string[]> {
  const { client } = device;
  const rooms: string[] = [];
  while (rooms.length < count) {
    const { room_id } = await client.createRoom({
      preset: Preset.PrivateChat,
      initial_state: [
        {
          type: EventType.RoomEncryption,
          state_key: '',
          content: { algorithm: 'm.megolm.v1.aes-sha2' },
        },
      ],
    });
    rooms.push(room_id);
  }
  const known = () => rooms.every((roomId) => client.getRoom(roomId)?.hasEncryptionStateEvent());
  await until(client, ClientEvent.Sync, known, () => rooms.join(', '));
  return rooms;
}

/**
 * Encrypts messages, each with a new Megolm session, in the rooms by turns; the user's other devices
 * are given the sessions as always. The messages are not sent: a homeserver takes a hundred times as
 * long for that as a client for a session.
 */
export async function encryptMessages(
  device: Device,
  rooms: readonly string[],
  count: number,
): Promise<Message[]> {
  const crypto = device.crypto as CryptoBackend;
  const messages: Message[] = [];
  for (const n of Array(count).keys()) {
    const roomId = rooms[n % rooms.length]!;
    await crypto.forceDiscardSession(roomId);
    const text = `message ${n} of ${device.client.getDeviceId()!}`;
    const event = messageEvent(device.client.getSafeUserId(), roomId, text);
    await crypto.encryptEvent(event, device.client.getRoom(roomId)!);
    messages.push({
      roomId,
      sessionId: event.getWireContent().session_id as string,
      senderId: device.client.getSafeUserId(),
      text,
      encrypted: event.getWireContent(),
    });
  }
  return messages;
}

/** Sends messages, each with a new Megolm session, in the rooms by turns; returns their texts. */
export async function sendMessages(
  device: Device,
  rooms: readonly string[],
  count: number,
): Promise<string[]> {
  const texts: string[] = [];
  for (const n of Array(count).keys()) {
    const roomId = rooms[n % rooms.length]!;
    await device.crypto.forceDiscardSession(roomId);
    const text = `sent message ${n} of ${device.client.getDeviceId()!}`;
    await device.client.sendTextMessage(roomId, text);
    texts.push(text);
  }
  return texts;
}

/** Which of the messages a device cannot read with the sessions that it has. */
export async function unreadable(device: Device, messages: readonly Message[]): Promise<Message[]> {
  const unread: Message[] = [];
  for (const [n, message] of messages.entries()) {
    const event = new MatrixEvent({
      type: EventType.RoomMessageEncrypted,
      event_id: `$${message.sessionId}-${n}`,
      room_id: message.roomId,
      sender: message.senderId,
      origin_server_ts: Date.now(),
      content: message.encrypted,
    });
    await device.client.decryptEventIfNeeded(event);
    if (event.getContent().body !== message.text) unread.push(message);
  }
  return unread;
}

/** Opens the rooms, and waits until their timelines show these texts, in any order. */
export async function timelinesShow(
  device: Device,
  rooms: readonly string[],
  texts: readonly string[],
): Promise<void> {
  const { client } = device;
  let missing = texts;
  const shown = async () => {
    const contents: unknown[] = [];
    for (const roomId of rooms) {
      const room = client.getRoom(roomId)!;
      await room.decryptAllEvents();
      for (const event of room.getLiveTimeline().getEvents())
        contents.push(event.getContent().body);
    }
    missing = texts.filter((text) => !contents.includes(text));
    return missing.length === 0;
  };
  await until(client, MatrixEventEvent.Decrypted, shown, () => missing.join(', '));
}

function messageEvent(sender: string, roomId: string, body: string): MatrixEvent {
  return new MatrixEvent({
    type: EventType.RoomMessage,
    room_id: roomId,
    sender,
    content: { msgtype: MsgType.Text, body },
  });
}
