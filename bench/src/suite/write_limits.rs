//! The limits of a service that writes orders: `pgbench` commits exactly the same, without a
//! service.

use crate::pgbench::Pgbench;
use crate::pipeline::OrderDatabase;

/// Numbers of concurrent clients to try; one of them suits the machine best.
const CLIENTS: [u32; 6] = [1, 4, 8, 16, 32, 64];

/// A transaction that writes an order with its event.
#[derive(Debug)]
pub(super) struct WriteLimit {
    pgbench: Pgbench,
    /// The best number of clients.
    pub(super) clients: u32,
}

impl WriteLimit {
    /// BEGIN, INSERT, INSERT, COMMIT.
    pub(super) fn two_statements(database: &OrderDatabase, customers: usize) -> Self {
        let script = include_str!("../../sql/order_in_two_statements.sql").to_owned();
        Self::new(database, customers, script)
    }

    /// The statement of the order service.
    pub(super) fn one_statement(database: &OrderDatabase, customers: usize) -> Self {
        Self::new(database, customers, one_statement())
    }

    fn new(database: &OrderDatabase, customers: usize, script: String) -> Self {
        Self { pgbench: Pgbench { url: database.url.clone(), script, customers }, clients: 64 }
    }

    /// Tries each number of clients for `seconds` and keeps the best.
    pub(super) async fn choose_clients(
        &mut self,
        database: &OrderDatabase,
        seconds: u32,
        progress: impl Fn(u32),
    ) -> anyhow::Result<()> {
        let mut best = 0.0;
        for clients in CLIENTS {
            progress(clients);
            let per_second = self.measure_with(database, clients, seconds).await?;
            if per_second > best {
                (best, self.clients) = (per_second, clients);
            }
        }
        Ok(())
    }

    /// Orders per second.
    pub(super) async fn measure(
        &self,
        database: &OrderDatabase,
        seconds: u32,
    ) -> anyhow::Result<f64> {
        self.measure_with(database, self.clients, seconds).await
    }

    async fn measure_with(
        &self,
        database: &OrderDatabase,
        clients: u32,
        seconds: u32,
    ) -> anyhow::Result<f64> {
        database.clear().await?;
        database.calm().await?;
        let report = self.pgbench.run(clients, seconds).await?;
        database.check(u64::try_from(report.transactions)?).await?;
        Ok(report.per_second)
    }
}

/// Creates the functions that the scripts call.
pub(super) async fn prepare(database: &OrderDatabase) -> anyhow::Result<()> {
    let functions = include_str!("../../sql/pgbench_functions.sql");
    Ok(database.sql.batch_execute(functions).await?)
}

/// The statement of a service that writes each order by itself, with values for its parameters.
fn one_statement() -> String {
    let statement = include_str!("../../sql/create_order.sql");
    let values = [
        ("$1", "bench_uuid_v7()"),
        ("$2", "bench_customer(:customer)"),
        ("$3", "'a bicycle bell'"),
        ("$4", "1"),
        ("$5", "12.50"),
        ("$6", "'Cra 7 #12-34, Bogot\u{e1}'"),
        ("$7", "bench_uuid_v7()"),
        ("$8", "'{}'::jsonb"),
    ];
    let statement = values
        .iter()
        .fold(statement.to_owned(), |text, (parameter, value)| text.replace(parameter, value));
    format!("\\set customer random(1, :customers)\n{};\n", statement.trim_end())
}

#[cfg(test)]
mod tests {
    use super::one_statement;

    #[test]
    fn pgbench_writes_what_the_service_writes() {
        let one = one_statement();
        assert!(!one.contains('$'), "a parameter without a value: {one}");
        let two = include_str!("../../sql/order_in_two_statements.sql");
        let columns = |text: &str, table: &str| {
            let (_, rest) = text.split_once(&format!("INSERT INTO {table} (")).expect("an INSERT");
            rest.split_once(')').expect("columns").0.to_owned()
        };
        for table in ["orders", "outbox"] {
            assert_eq!(columns(&one, table), columns(two, table));
        }
    }
}
