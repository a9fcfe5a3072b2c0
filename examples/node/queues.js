// The consumer's three queues: events, those that wait for a retry, and dead letters.
const {
  RELAY_EXCHANGE: EXCHANGE = 'orders.events',
  RABBITMQ_MAX_RETRIES: MAX_RETRIES = '20',
  RABBITMQ_RETRY_TTL_MS: RETRY_TTL_MS = '10000',
} = process.env;
// The delivery limit: a message that crashes the consumer this often is dead-lettered.
const MAX_RETURNS = 20;
// Headers that a copy must not have: the broker writes them, or would route by them.
const BROKER_HEADERS = /^(x-death|x-(first|last)-death-.*|x-(opt-)?delivery-count|CC|BCC)$/;

export class Queues {
  constructor(channel, name) {
    Object.assign(this, { channel, name, retry: `${name}.retry`, deadLetters: `${name}.dlq` });
  }

  // Declares the queues on a new channel in confirm mode, and binds the first with `keys`.
  static async declare(broker, name, keys) {
    const queues = new Queues(await broker.createConfirmChannel(), name);
    queues.channel.on('error', () => {}); // What is called next rejects.
    await queues.#declare(queues.deadLetters);
    // Expired messages return to this queue alone: through the exchange every subscriber would get
    // them again.
    await queues.#declare(queues.retry, { forwardTo: name });
    const limit = { 'x-delivery-limit': MAX_RETURNS };
    await queues.#declare(name, { forwardTo: queues.deadLetters, ...limit });
    await queues.channel.assertExchange(EXCHANGE, 'topic', { durable: true });
    for (const key of keys) await queues.channel.bindQueue(name, EXCHANGE, key);
    return queues;
  }

  async #declare(queue, { forwardTo, ...more } = {}) {
    // At-least-once dead-lettering: RabbitMQ keeps a message until the next queue has confirmed it.
    // It requires reject-publish.
    const forwards = forwardTo && {
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': forwardTo,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    };
    const queueArguments = { 'x-queue-type': 'quorum', ...forwards, ...more };
    await this.channel.assertQueue(queue, { durable: true, arguments: queueArguments });
  }

  // Publishes a copy to the retry queue or, if no retry is left, to the dead-letter queue.
  // Resolves when the broker has confirmed it; rejects if it was refused or no queue took it.
  async redirect({ content, fields, properties }, reason, canRetry) {
    const before = properties.headers ?? {};
    // A message with x-tries was moved back from the dead-letter queue, and starts again with all
    // its tries.
    const isCounted = !('x-tries' in before) && Number.isSafeInteger(before['x-retry-count']);
    const retries = isCounted ? before['x-retry-count'] : 0;
    const isRetry = canRetry && retries < Number(MAX_RETRIES);
    const now = new Date().toISOString();
    const headers = {
      'x-first-failed-at': now,
      'x-original-exchange': fields.exchange,
      'x-original-routing-key': fields.routingKey,
      ...Object.fromEntries(Object.entries(before).filter(([name]) => !BROKER_HEADERS.test(name))),
      'x-last-failed-at': now,
      'x-reason': reason.slice(0, 500),
      'x-retry-count': isRetry ? retries + 1 : retries,
      'x-tries': isRetry ? undefined : retries + 1, // In the dead-letter queue only.
    };
    const queue = isRetry ? this.retry : this.deadLetters;
    const expiration = isRetry ? RETRY_TTL_MS : undefined;
    // Without user_id: the broker accepts only the connection's own user.
    const changed = { headers, expiration, userId: undefined, persistent: true };
    await this.#publish(queue, content, { ...properties, ...changed });
    const event = JSON.stringify(properties.messageId);
    console.warn(`event ${event} went to ${queue}: ${JSON.stringify(reason)}`);
  }

  // One message is in flight at a time, so a return that arrives before the confirm belongs to it.
  async #publish(queue, content, options) {
    let isReturned = false;
    const onReturn = () => { isReturned = true; };
    this.channel.on('return', onReturn);
    try {
      await new Promise((resolve, reject) => {
        const confirmed = (error) => (error ? reject(error) : resolve());
        this.channel.sendToQueue(queue, content, { ...options, mandatory: true }, confirmed);
      });
    } finally {
      this.channel.off('return', onReturn);
    }
    if (isReturned) throw new Error(`there is no queue ${queue}`);
  }
}
