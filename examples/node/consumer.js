// Consumes events and applies each once. docs/consumers.md explains what is done when, and why.
import { setTimeout as sleep } from 'node:timers/promises';
import amqp from 'amqplib';
import { checkWritable, connectDatabase, transaction } from './database.js';
import { Queues } from './queues.js';

// The prefetch: how many unacknowledged messages this process may have at a time.
const PREFETCH = 20;
const [FIRST_DELAY, LONGEST_DELAY] = [500, 5_000];

// Thrown by `apply` when an event can't be applied now, but later may be.
export class NotYet extends Error {}

// Thrown when a message can never be applied.
export class Malformed extends Error {}

const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => stop.abort());

// Consumes from the queue `name`, bound with `keys`, until SIGTERM or SIGINT.
export async function consumeForever(name, keys, apply) {
  let delay = FIRST_DELAY;
  while (!stop.signal.aborted) {
    const started = Date.now();
    let db, broker;
    try {
      // The database first: while it is down, nothing is consumed. When one connection is lost,
      // both are closed, so that no message is held here unacknowledged.
      db = await connectDatabase();
      await checkWritable(db);
      broker = await amqp.connect(process.env.RABBITMQ_URL, { timeout: 10_000 });
      broker.on('error', () => {}); // 'close' follows.
      const queues = await Queues.declare(broker, name, keys);
      console.log(`consuming from ${name}`);
      await consume(db, broker, queues, apply);
    } catch (error) {
      // The wait grows after each failure, and resets after a while without one: each reconnect
      // returns messages to the queue, which counts that.
      if (Date.now() - started > LONGEST_DELAY) delay = FIRST_DELAY;
      console.warn(`interrupted, trying again in at most ${delay} ms: ${error}`);
      const waiting = sleep(delay * (0.5 + Math.random() / 2), null, { signal: stop.signal });
      await waiting.catch(() => {}); // Woken by the signal.
      delay = Math.min(2 * delay, LONGEST_DELAY);
    } finally {
      await Promise.allSettled([broker?.close(), db?.end()]);
    }
  }
  console.log('stopped');
}

// Handles one message after the other until the signal to stop, or until a connection is lost.
async function consume(db, broker, queues, apply) {
  const { channel, name } = queues;
  let previous = Promise.resolve();
  let ended = false;
  try {
    await new Promise((resolve, reject) => {
      stop.signal.onabort = resolve;
      if (stop.signal.aborted) resolve();
      db.on('error', reject);
      broker.on('close', () => reject(new Error('the connection to RabbitMQ was closed')));
      channel.on('error', reject);
      const handleNext = (message) => {
        if (message === null) return reject(new Error('the queue was deleted'));
        previous = previous.then(() => ended || handle(db, queues, apply, message)).catch(reject);
      };
      channel.prefetch(PREFETCH).then(() => channel.consume(name, handleNext)).catch(reject);
    });
  } finally {
    ended = true; // Closing the connection returns the messages that are not acknowledged.
    await previous;
  }
}

async function handle(db, queues, apply, message) {
  try {
    const event = parse(message.content);
    await transaction(db, 'COMMIT', async () => {
      // The id and the effect are saved together or not at all. For a copy of an applied event the
      // INSERT returns no row; if another consumer is applying the event right now, the INSERT
      // waits for its end.
      const remember = 'INSERT INTO inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING';
      const { rowCount } = await db.query(remember, [event.event_id]);
      if (rowCount === 1) await apply(db, event);
    });
  } catch (error) {
    await checkWritable(db); // Otherwise the message is not to blame, and no retry is charged.
    // SQLSTATE class 22 (data exception): a value that no column takes.
    const canRetry = !(error instanceof Malformed || error.code?.startsWith('22'));
    await queues.redirect(message, error.message, canRetry);
  }
  // After the commit, or after the broker has confirmed the copy in the next queue: a crash before
  // this line makes a duplicate, never a loss.
  queues.channel.ack(message);
}

function parse(body) {
  let event;
  try {
    event = JSON.parse(body);
  } catch (error) {
    throw new Malformed(error.message);
  }
  for (const member of ['event_id', 'event']) {
    if (typeof event?.[member] !== 'string') throw new Malformed(`${member} is missing`);
  }
  return event;
}
