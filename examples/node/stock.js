// Keeps stock; each change is saved in one transaction with the event that tells of it.
//
//   node stock.js receive chair 5
//   node stock.js pick chair 2 order-1
import pg from 'pg';

async function receive(client, item, quantity) {
  // The item's row is inserted or locked before the event is written: changes of one item take turns, so that their
  // events get their ids in the order in which they commit. That is the order in which the relay delivers them.
  const upsert = `INSERT INTO stock AS s (item, on_hand) VALUES ($1, $2)
                  ON CONFLICT (item) DO UPDATE SET on_hand = s.on_hand + excluded.on_hand`;
  await client.query(upsert, [item, quantity]);
  await announce(client, item, 'stock.received', { item, quantity });
}

async function pick(client, item, quantity, order) {
  // The UPDATE locks the row.
  const { rowCount } = await client.query('UPDATE stock SET on_hand = on_hand - $2 WHERE item = $1', [item, quantity]);
  if (rowCount === 0) throw new Error(`there is no ${item}`);
  await announce(client, item, 'stock.picked', { item, quantity, order });
  // The table refuses an order that was picked before. Whatever fails takes the event back with it.
  await client.query('INSERT INTO picks (order_number, item, quantity) VALUES ($1, $2, $3)', [order, item, quantity]);
}

async function announce(client, item, eventType, data) {
  // No id is asked for with RETURNING: it takes the right to read the outbox, which a writer need not have.
  const insert = `INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) VALUES ('item', $1, $2, $3)`;
  await client.query(insert, [item, eventType, data]);
}

// `client` is one connection, and work uses no other: `pool.query()` would take any of them, outside of the transaction.
async function inTransaction(client, work) {
  await client.query('BEGIN');
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

const [command, item, quantity, ...order] = process.argv.slice(2);
const work = { receive, pick }[command];
if (!work || !quantity || (work === pick) !== (order.length === 1)) {
  console.error('usage: node stock.js receive ITEM QUANTITY | pick ITEM QUANTITY ORDER');
  process.exit(2);
}
const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
try {
  await inTransaction(client, () => work(client, item, Number(quantity), ...order));
} catch (error) {
  console.error(`nothing was saved: ${error.message}`);
  process.exitCode = 1;
} finally {
  await client.end();
}
