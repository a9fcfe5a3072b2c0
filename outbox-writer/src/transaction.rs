/// The statement that adds an event; its file says what the parameters are.
#[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
const WRITE_EVENT: &str = include_str!("../../sql/outbox/write_event.sql");

/// How many parameters it has.
const PARAMETERS: usize = 7;

/// An open transaction of a driver: `tokio_postgres::Transaction` with the feature
/// `tokio-postgres`, `sqlx::Transaction<'_, Postgres>` with `sqlx`. A savepoint is one, too. A pool
/// and a connection are none: an event that is written outside of the transaction is published
/// whatever becomes of the data.
#[diagnostic::on_unimplemented(
    message = "an event is written over a transaction, which `{Self}` is not",
    note = "the features `tokio-postgres` (0.7) and `sqlx` (0.8) are for the transactions of those drivers",
    note = "the transaction of deadpool-postgres is given as `&mut *transaction`"
)]
pub trait Transaction: sealed::Sealed {
    /// The driver's error.
    type Error: std::error::Error + Send + Sync + 'static;

    #[doc(hidden)]
    fn insert(
        &mut self,
        parameters: [Option<&str>; PARAMETERS],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

mod sealed {
    pub trait Sealed {}
}

#[cfg(feature = "tokio-postgres")]
mod of_tokio_postgres {
    use tokio_postgres::types::{ToSql, Type};

    use super::{PARAMETERS, Transaction, WRITE_EVENT, sealed};

    impl sealed::Sealed for tokio_postgres::Transaction<'_> {}

    impl Transaction for tokio_postgres::Transaction<'_> {
        type Error = tokio_postgres::Error;

        async fn insert(
            &mut self,
            parameters: [Option<&str>; PARAMETERS],
        ) -> Result<(), Self::Error> {
            // With their types the statement takes one round trip.
            let typed = parameters.each_ref().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT));
            self.execute_typed(WRITE_EVENT, &typed).await.map(drop)
        }
    }
}

#[cfg(feature = "sqlx")]
mod of_sqlx {
    use sqlx::query::Query;

    use super::{PARAMETERS, Transaction, WRITE_EVENT, sealed};

    impl sealed::Sealed for sqlx::Transaction<'_, sqlx::Postgres> {}

    impl Transaction for sqlx::Transaction<'_, sqlx::Postgres> {
        type Error = sqlx::Error;

        async fn insert(
            &mut self,
            parameters: [Option<&str>; PARAMETERS],
        ) -> Result<(), Self::Error> {
            // A statement with a name would be missing on another connection of a pooler.
            let insert = sqlx::query(WRITE_EVENT).persistent(false);
            let insert = parameters.into_iter().fold(insert, Query::bind);
            insert.execute(&mut **self).await.map(drop)
        }
    }
}
