// The connection to PostgreSQL, with an inbox of the events that were applied.
import pg from 'pg';

export async function connectDatabase() {
  const db = new pg.Client({
    connectionString: process.env.DATABASE_URL,
    connectionTimeoutMillis: 10_000,
    statement_timeout: 10_000,
    query_timeout: 15_000, // For a server that does not even answer that it is too slow.
  });
  db.on('error', () => {}); // The next query fails, too.
  await db.connect();
  return db;
}

// Throws if the database is down, read-only or full.
export async function checkWritable(db) {
  const insert = 'INSERT INTO inbox (event_id) VALUES (gen_random_uuid())';
  await transaction(db, 'ROLLBACK', () => db.query(insert));
}

export async function transaction(db, end, work) {
  await db.query('BEGIN');
  try {
    await work();
    await db.query(end);
  } catch (error) {
    await db.query('ROLLBACK');
    throw error;
  }
}
