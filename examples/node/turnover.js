// Adds up what was received and picked of each item, from the events stock.received and
// stock.picked.
//
//   node turnover.js
import { Malformed, NotYet, consumeForever } from './consumer.js';

const EVENTS = ['stock.received', 'stock.picked'];

// Applies an event in the transaction that remembers its id.
async function apply(db, { event, data }) {
  if (!EVENTS.includes(event)) return; // Somebody has bound the queue with more keys.
  const { item, quantity } = data ?? {};
  if (typeof item !== 'string' || !Number.isSafeInteger(quantity)) {
    throw new Malformed('data needs an item and a quantity');
  }
  if (event === 'stock.received') {
    const receive = `INSERT INTO turnover AS t (item, received) VALUES ($1, $2)
                     ON CONFLICT (item) DO UPDATE SET received = t.received + excluded.received`;
    await db.query(receive, [item, quantity]);
  } else {
    const pick = 'UPDATE turnover SET picked = picked + $2 WHERE item = $1';
    const { rowCount } = await db.query(pick, [item, quantity]);
    // Retries change the order: the first event of this item may still be on its way.
    if (rowCount === 0) throw new NotYet(`item ${item} is not known yet`);
  }
}

await consumeForever('turnover', EVENTS, apply);
